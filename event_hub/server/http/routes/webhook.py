"""`POST /api/livekit/webhook`: LiveKit's webhooks, verified and broadcast as `livekit_…` events."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request

from ... import livekit_tokens, livekit_webhooks
from ...errors import RequestError
from ...hub import EventHub
from .. import body
from ..responses import json_response

PATH = "/api/livekit/webhook"


def webhook(hub: EventHub) -> Response:
    """200 once the event is stored. A repeated delivery is recognized by its id and not broadcast again."""
    settings = hub.settings
    livekit_tokens.configured(settings)
    try:
        raw = body.read(request.environ, settings.max_event, settings.body_timeout)
    except RequestError as error:
        if error.kind.code == "body_too_large":
            error.more["advice"] = "Raise HUB_MAX_EVENT on the hub: each webhook becomes one event."
        raise
    livekit_tokens.check_signature(settings, request.headers.get("Authorization"), raw)
    published = hub.publish([livekit_webhooks.event(_object(raw))], batch=False)
    return json_response({"status": "ok", "id": published.first, "duplicate": bool(published.duplicates)})


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        raise RequestError("bad_json", "the webhook is signed, but not JSON") from None
    if not isinstance(value, dict):
        raise RequestError("bad_field", "a webhook must be a JSON object", field="")
    return value
