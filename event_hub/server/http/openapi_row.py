"""One row of the table that describes the API."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

JSON = "application/json"


class Row(NamedTuple):
    """One operation. `answers`: media type → schema of a successful response. `body`: the model of the request body."""

    path: str
    method: str
    tag: str
    summary: str
    query: type[BaseModel] | None
    answers: dict[str, Any]
    errors: tuple[str, ...] = ()
    success: tuple[str, ...] = ("200",)
    body: type[BaseModel] | None = None


BODY_ERRORS = (
    "bad_json",
    "bad_body",
    "body_timeout",
    "body_too_large",
    "unsupported_media_type",
    "unsupported_encoding",
)
"""The errors of a route that reads a body."""
