"""LiveKit's tokens and webhook signatures, made and checked with PyJWT alone: `livekit.api` would cost every hub a second
and 53 MB."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
import warnings
from types import ModuleType
from typing import Any

from ..events import Event
from .errors import HubError
from .queries import TokenBody
from .settings import Settings

TOKEN_SECONDS = 15 * 60
"""How long a token may be used to *join*: who is in the room stays there, for the server renews it. LiveKit's own default
is six hours; a token is in an address, and a page asks for a new one each time."""
_LEEWAY = 60
"""Seconds by which the clocks of LiveKit's server and ours may differ, as in LiveKit's own libraries."""
_NAMED = frozenset({"event", "room", "participant", "track", "createdAt", "id"})
"""Parts of a webhook that have a place of their own in the event."""
_SECRET = re.compile(
    r"(?:.*(?:password|secret|accesskey|secretkey|accountkey|streamkey|signingkey|privatekey|sessiontoken))"
    r"|credentials?|token|accesstoken|assumerolearn|assumeroleexternalid"
)
"""Names, in lower case and without underscores, of what is nobody's business: with a room's `turnPassword` strangers could
use the TURN server, with an ingress's `streamKey` be the stream, with those of an egress read and write its store."""
_LONGEST_TOKEN = 16 << 10
"""Bytes: it is a part of an address, and servers and proxies take no longer ones."""
_NOT_IN_A_TYPE = re.compile(r"[^A-Za-z0-9_.:-]")
_LONGEST_TYPE = 64
_LONGEST_ID = 128
_LONGEST_NAME = 256


def _jwt() -> ModuleType:
    """PyJWT, when it is needed. It warns of secrets under 32 bytes; that of `livekit-server --dev` has six."""
    import jwt

    warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)
    return jwt


def configured(settings: Settings) -> tuple[str, str, str]:
    """Address, key and secret of the LiveKit server; raises `HubError` that names what is not set."""
    missing = settings.livekit_missing
    if missing or settings.livekit_url is None or settings.livekit_key is None or settings.livekit_secret is None:
        names = " and ".join(missing)
        raise HubError(
            "livekit_not_configured", f"{names} {'is' if len(missing) == 1 else 'are'} not set", missing=missing
        )
    return settings.livekit_url, settings.livekit_key, settings.livekit_secret.get_secret_value()


def token(settings: Settings, asked: TokenBody) -> dict[str, str]:
    """What a client needs to join a room, under the names of all of LiveKit's clients; raises `HubError`."""
    jwt = _jwt()
    url, key, secret = configured(settings)
    room = asked.room_name or f"room-{secrets.token_hex(4)}"
    identity = asked.participant_identity or f"guest-{secrets.token_hex(4)}"
    name = asked.participant_name or identity
    now = int(time.time())
    config = asked.room_config.as_protobuf_json() if asked.room_config else {}
    if "agents" not in config and settings.agent_name:
        config["agents"] = [{"agentName": settings.agent_name}]
    if config.get("agents") == []:  # nobody, in so many words
        del config["agents"]
    grants = {"roomJoin": True, "room": room, "canPublish": True, "canSubscribe": True, "canPublishData": True}
    claims = {
        "iss": key,
        "sub": identity,
        "nbf": now,
        "exp": now + TOKEN_SECONDS,
        "name": name,
        "metadata": asked.participant_metadata,
        "attributes": asked.participant_attributes,
        "video": grants,
        "roomConfig": config,
    }
    signed = jwt.encode({k: v for k, v in claims.items() if v}, secret, algorithm="HS256")
    if len(signed) > _LONGEST_TOKEN:
        parts = {
            "participant_metadata": asked.participant_metadata,
            "participant_attributes": asked.participant_attributes,
            "room_config": config,
        }
        largest = max(parts, key=lambda part: len(str(parts[part])))
        raise HubError(
            "bad_field",
            f"{largest}: the token would take {len(signed)} bytes, the limit is {_LONGEST_TOKEN}",
            field=largest,
        )
    server = re.sub(r"^http", "ws", url)
    return {
        "server_url": server,
        "participant_token": signed,
        "room_name": room,
        "participant_name": name,
        "participant_identity": identity,
        "serverUrl": server,
        "participantToken": signed,
        "roomName": room,
        "participantName": name,
        "participantIdentity": identity,
    }


def check_signature(settings: Settings, header: str | None, body: bytes) -> None:
    """Raise `HubError` unless LiveKit has signed exactly this body."""
    jwt = _jwt()
    _, key, secret = configured(settings)
    if not header:
        raise HubError("bad_signature", "the header Authorization is missing: this is no webhook of LiveKit's")
    signed = header.strip()
    if signed[:7].lower() == "bearer ":
        signed = signed[7:].strip()
    try:
        claims = jwt.decode(
            signed,
            secret,
            algorithms=["HS256"],
            leeway=_LEEWAY,
            options={"require": ["exp", "iss"], "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise HubError("bad_signature", "the signature is too old; are both clocks right?") from None
    except jwt.ImmatureSignatureError:
        raise HubError("bad_signature", "the signature is of a time to come; are both clocks right?") from None
    except jwt.MissingRequiredClaimError as error:
        lacks = "end (exp)" if error.claim == "exp" else "issuer (iss)"
        raise HubError("bad_signature", f"the signature has no {lacks}: this is no webhook of LiveKit's") from None
    except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
        raise HubError("bad_signature", "it is not signed with LIVEKIT_API_SECRET") from None
    if not hmac.compare_digest(_bytes(claims["iss"]), _bytes(key)):
        raise HubError("bad_signature", "it is not signed for LIVEKIT_API_KEY; see webhook.api_key of the server")
    digest = base64.b64encode(hashlib.sha256(body).digest())
    if not hmac.compare_digest(_bytes(claims.get("sha256", "")), digest):
        raise HubError("bad_signature", "the signature is of another body")


def event(webhook: dict[str, Any]) -> dict[str, Any]:
    """A webhook as an event of ours; raises `HubError`. What LiveKit says is passed on unchanged, but for credentials,
    under our names where the envelope has one."""
    try:
        webhook = _public(webhook)
    except RecursionError:
        raise HubError("bad_json", "the webhook is nested too deeply") from None
    name = webhook.get("event")
    if not isinstance(name, str) or not name:
        raise HubError("bad_field", "event: is missing or no text", field="event")
    result: dict[str, Any] = {"type": f"livekit_{_NOT_IN_A_TYPE.sub('_', name)}"[:_LONGEST_TYPE]}
    room, participant, track = (_object(webhook, part) for part in ("room", "participant", "track"))
    about = next((_object(webhook, part) for part in ("egressInfo", "ingressInfo") if part in webhook), {})
    result["room"] = _name(room.get("name") or about.get("roomName"))
    result["participant"] = _name(participant.get("identity") or about.get("participantIdentity"))
    result["timestamp"] = _number(webhook.get("createdAt"))
    delivery = webhook.get("id")
    if isinstance(delivery, str) and delivery:
        event_id = f"livekit-{delivery}"
        result["event_id"] = event_id if len(event_id) <= _LONGEST_ID else _short(event_id)
    result["participant_info"], result["room_info"], result["track"] = participant, room, track
    for part, value in webhook.items():
        if part not in _NAMED and _snake(part) not in result and _snake(part) not in Event.model_fields:
            result[_snake(part)] = value
    return {part: value for part, value in result.items() if value not in (None, {})}


def _public(value: Any) -> Any:
    """`value` without what would let a reader act as somebody else."""
    if isinstance(value, dict):
        return {k: _public(v) for k, v in value.items() if not _SECRET.fullmatch(k.replace("_", "").lower())}
    return [_public(one) for one in value] if isinstance(value, list) else value


def _bytes(value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


def _object(webhook: dict[str, Any], part: str) -> dict[str, Any]:
    value = webhook.get(part) or {}
    if not isinstance(value, dict):
        raise HubError("bad_field", f"{part}: must be an object", field=part)
    return value


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME else None


def _number(value: Any) -> float | None:
    """Seconds; in protobuf's JSON, large integers are text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 1e11 else None


def _short(text: str) -> str:
    return f"livekit-{hashlib.sha256(text.encode()).hexdigest()}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
