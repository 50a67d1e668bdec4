"""Responses that several routes give."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response


def json_response(value: Any, status: int = 200) -> Response:
    """`value` as JSON that is not cached."""
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(value) + b"\n", status, headers, mimetype="application/json")
