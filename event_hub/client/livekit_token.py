"""Short-lived LiveKit tokens with which an agent publishes to a hub that has the same LiveKit keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

import msgspec

LIFETIME = 600
"""Seconds that a token is valid. Its holder could also register as a worker with the LiveKit server, so it is short; but the
clocks of agent and hub may differ by minutes."""
_REMADE_AFTER = 60.0
"""Seconds after which a new one is made."""


def signed_token(key: str, secret: str, room: str | None, last: tuple[str, float]) -> tuple[str, float]:
    """A token for publishing to `room` (None: to any), and when it was made. `last`: the previous result, which is
    returned while it is fresh; `("", 0.0)` at first."""
    now = time.time()
    if last[0] and 0.0 <= now - last[1] < _REMADE_AFTER:
        return last
    video: dict[str, Any] = {"agent": True, **({"room": room} if room else {})}
    claims = {"iss": key, "sub": "publisher", "exp": int(now) + LIFETIME, "video": video}
    return _sign(claims, secret), now


def recording_token(key: str, secret: str) -> str:
    """A token for uploading recordings and traces, as LiveKit's agents make it."""
    now = int(time.time())
    claims = {"iss": key, "sub": "", "nbf": now, "exp": now + LIFETIME, "observability": {"write": True}}
    return _sign(claims, secret)


def expiry(token: str) -> float | None:
    """When a token expires, in epoch seconds, without verifying it; None if it does not say."""
    try:
        claims = msgspec.json.decode(_from_base64(token.split(".")[1]), type=dict[str, Any])
    except (ValueError, IndexError, RecursionError):
        return None
    exp = claims.get("exp")
    return float(exp) if isinstance(exp, int | float) else None


def _sign(claims: dict[str, Any], secret: str) -> str:
    """The claims as a JSON Web Token (HS256). PyJWT would take 0.3 s to import, in a voice agent's process."""
    head, body = (_base64(msgspec.json.encode(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signed = f"{head}.{body}"
    return f"{signed}.{_base64(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
