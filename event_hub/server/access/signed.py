"""Tokens that the hub signs itself: share links, sign-in cookies, and the credentials of agents that it starts.

`KIND.PAYLOAD.SIGNATURE`: the payload is JSON, the signature HMAC-SHA256 over kind and payload, both in URL-safe base64.
The kind is part of what is signed, so a token of one kind is never accepted as another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Literal

import msgspec

Kind = Literal["share", "cookie", "agent"]
LONGEST = 8 << 10
"""Characters: a token is part of a URL."""


def sign(kind: Kind, payload: dict[str, Any], key: bytes) -> str:
    """The token for `payload`."""
    body = _encode(msgspec.json.encode(payload))
    return f"{kind}.{body}.{_encode(_signature(kind, body, key))}"


def verify(text: str, kind: Kind, key_of: Callable[[dict[str, Any]], bytes | None]) -> dict[str, Any] | None:
    """The payload of a token of this kind; None unless it is signed with the key that `key_of` names for its payload."""
    if len(text) > LONGEST or not text.isascii():
        return None
    prefix, _, rest = text.partition(".")
    body, _, signature = rest.partition(".")
    if prefix != kind:
        return None
    try:
        payload = msgspec.json.decode(_decode(body))
        given = _decode(signature)
    except (ValueError, RecursionError):
        return None
    key = key_of(payload) if isinstance(payload, dict) else None
    if key is None or not hmac.compare_digest(_signature(kind, body, key), given):
        return None
    return dict(payload)


def _signature(kind: str, body: str, key: bytes) -> bytes:
    return hmac.new(key, f"{kind}.{body}".encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
