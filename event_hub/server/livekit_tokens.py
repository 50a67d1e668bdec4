"""LiveKit's access tokens and webhook signatures. With PyJWT alone: importing `livekit.api` takes a second and 53 MB."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from typing import Any

from .access.livekit import pyjwt
from .errors import RequestError
from .http.queries import TokenBody
from .settings import Settings

TOKEN_SECONDS = 15 * 60
"""How long a token can be used to *join*; participants stay, because the server renews their tokens. LiveKit's default is
six hours, but tokens appear in URLs, and the page requests a new one for each call."""
_LEEWAY = 60
"""Maximum difference in seconds between the clocks of LiveKit's server and the hub, as in LiveKit's libraries."""
_LONGEST_TOKEN = 16 << 10
"""Bytes: a token is part of a URL, whose length servers and proxies limit."""


def configured(settings: Settings) -> tuple[str, str, str]:
    """URL, key and secret of the LiveKit server; raises `RequestError` with the names of missing settings."""
    missing = settings.livekit_missing
    if missing or settings.livekit_url is None or settings.livekit_key is None or settings.livekit_secret is None:
        names = " and ".join(missing)
        raise RequestError(
            "livekit_not_configured", f"{names} {'is' if len(missing) == 1 else 'are'} not set", missing=missing
        )
    return settings.livekit_url, settings.livekit_key, settings.livekit_secret.get_secret_value()


def token(settings: Settings, request: TokenBody) -> dict[str, str]:
    """What a client needs to join a room, in the spellings of all LiveKit clients; raises `RequestError`."""
    jwt = pyjwt()
    url, key, secret = configured(settings)
    room = request.room_name or f"room-{secrets.token_hex(4)}"
    identity = request.participant_identity or f"guest-{secrets.token_hex(4)}"
    name = request.participant_name or identity
    now = int(time.time())
    config = request.room_config.as_protobuf_json() if request.room_config else {}
    if "agents" not in config and settings.agent_name:
        config["agents"] = [{"agentName": settings.agent_name}]
    if config.get("agents") == []:  # explicitly no agent
        del config["agents"]
    grants = {"roomJoin": True, "room": room, "canPublish": True, "canSubscribe": True, "canPublishData": True}
    claims = {
        "iss": key,
        "sub": identity,
        "nbf": now,
        "exp": now + TOKEN_SECONDS,
        "name": name,
        "metadata": request.participant_metadata,
        "attributes": request.participant_attributes,
        "video": grants,
        "roomConfig": config,
    }
    signed = jwt.encode({k: v for k, v in claims.items() if v}, secret, algorithm="HS256")
    if len(signed) > _LONGEST_TOKEN:
        parts = {
            "participant_metadata": request.participant_metadata,
            "participant_attributes": request.participant_attributes,
            "room_config": config,
        }
        largest = max(parts, key=lambda part: len(str(parts[part])))
        raise RequestError(
            "bad_field",
            f"{largest}: the token would have {len(signed)} bytes, the limit is {_LONGEST_TOKEN}",
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
    """Raise `RequestError` unless LiveKit signed exactly this body."""
    jwt = pyjwt()
    _, key, secret = configured(settings)
    if not header:
        raise RequestError(
            "bad_signature", "the header Authorization is missing, so this is not a webhook from LiveKit"
        )
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
        raise RequestError("bad_signature", "the signature is too old; are both clocks right?") from None
    except jwt.ImmatureSignatureError:
        raise RequestError("bad_signature", "the signature is not valid yet; are both clocks right?") from None
    except jwt.MissingRequiredClaimError as error:
        claim = "expiry (exp)" if error.claim == "exp" else "issuer (iss)"
        raise RequestError(
            "bad_signature", f"the signature has no {claim}, so this is not a webhook from LiveKit"
        ) from None
    except (jwt.PyJWTError, ValueError, OverflowError, RecursionError):
        raise RequestError("bad_signature", "the request is not signed with LIVEKIT_API_SECRET") from None
    if not hmac.compare_digest(_bytes(claims["iss"]), _bytes(key)):
        raise RequestError(
            "bad_signature", "the request is not signed for LIVEKIT_API_KEY; see webhook.api_key of the server"
        )
    digest = base64.b64encode(hashlib.sha256(body).digest())
    if not hmac.compare_digest(_bytes(claims.get("sha256", "")), digest):
        raise RequestError("bad_signature", "the signature is for a different body")


def _bytes(value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")
