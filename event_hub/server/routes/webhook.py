"""`POST /api/livekit/webhook`: LiveKit's own webhooks, checked and broadcast as `livekit_…` events."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request

from .. import body, livekit
from ..errors import HubError
from ..hub import Hub
from .agent import answer

PATH = "/api/livekit/webhook"


def webhook(hub: Hub) -> Response:
    """200 when it is kept. A delivery that was here before is recognised by its id, and not broadcast again."""
    settings = hub.settings
    livekit.configured(settings)
    try:
        raw = body.read(request.environ, settings.max_event, settings.body_timeout)
    except HubError as error:
        if error.kind.code == "body_too_large":
            error.more["advice"] = "Raise HUB_MAX_EVENT on the hub: a webhook becomes one event."
        raise
    livekit.check_signature(settings, request.headers.get("Authorization"), raw)
    published = hub.publish([livekit.event(_object(raw))], batch=False)
    return answer({"status": "ok", "id": published.first, "duplicate": bool(published.duplicates)})


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        raise HubError("bad_json", "the webhook is signed, but not JSON") from None
    if not isinstance(value, dict):
        raise HubError("bad_field", "a webhook is a JSON object", field="")
    return value
