"""LiveKit's webhooks as events."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ..events import Event
from .errors import RequestError

_NAMED = frozenset({"event", "room", "participant", "track", "createdAt", "id"})
"""Parts of a webhook that become fields of the event's envelope, or are renamed."""
_SECRET = re.compile(
    r"(?:.*(?:password|secret|accesskey|secretkey|accountkey|streamkey|signingkey|privatekey|sessiontoken))"
    r"|credentials?|token|accesstoken|assumerolearn|assumeroleexternalid"
)
"""Names of credentials, in lower case and without underscores. With a room's `turnPassword` a reader could use the TURN
server, with an ingress's `streamKey` publish the stream, with those of an egress read and write its storage."""
_NOT_IN_A_TYPE = re.compile(r"[^A-Za-z0-9_.:-]")
_LONGEST_TYPE = 64
_LONGEST_ID = 128
_LONGEST_NAME = 256


def event(webhook: dict[str, Any]) -> dict[str, Any]:
    """The event for a webhook; raises `RequestError`. Fields pass unchanged, except that credentials are removed and the
    envelope uses the hub's names."""
    try:
        webhook = _public(webhook)
    except RecursionError:
        raise RequestError("bad_json", "the webhook is nested too deeply") from None
    name = webhook.get("event")
    if not isinstance(name, str) or not name:
        raise RequestError("bad_field", "event: is missing or not a string", field="event")
    result: dict[str, Any] = {"type": f"livekit_{_NOT_IN_A_TYPE.sub('_', name)}"[:_LONGEST_TYPE]}
    room, participant, track = (_object(webhook, part) for part in ("room", "participant", "track"))
    info = next((_object(webhook, part) for part in ("egressInfo", "ingressInfo") if part in webhook), {})
    result["room"] = _name(room.get("name") or info.get("roomName"))
    result["participant"] = _name(participant.get("identity") or info.get("participantIdentity"))
    result["timestamp"] = _number(webhook.get("createdAt"))
    delivery = webhook.get("id")
    if isinstance(delivery, str) and delivery:
        event_id = f"livekit-{delivery}"
        result["event_id"] = event_id if len(event_id) <= _LONGEST_ID else _hashed(event_id)
    result["participant_info"], result["room_info"], result["track"] = participant, room, track
    for part, value in webhook.items():
        if part not in _NAMED and _snake(part) not in result and _snake(part) not in Event.model_fields:
            result[_snake(part)] = value
    return {part: value for part, value in result.items() if value not in (None, {})}


def _public(value: Any) -> Any:
    """`value` without credentials."""
    if isinstance(value, dict):
        return {k: _public(v) for k, v in value.items() if not _SECRET.fullmatch(k.replace("_", "").lower())}
    return [_public(item) for item in value] if isinstance(value, list) else value


def _object(webhook: dict[str, Any], part: str) -> dict[str, Any]:
    value = webhook.get(part) or {}
    if not isinstance(value, dict):
        raise RequestError("bad_field", f"{part}: must be an object", field=part)
    return value


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME else None


def _number(value: Any) -> float | None:
    """Seconds; protobuf's JSON writes large integers as strings."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 1e11 else None


def _hashed(text: str) -> str:
    return f"livekit-{hashlib.sha256(text.encode()).hexdigest()}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
