"""Webhook signatures according to Standard Webhooks. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
_LEAST, _MOST = 24, 64
"""Minimum and maximum length of a key in bytes, from the specification."""


def new_secret() -> str:
    """A new secret: 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def keys(text: str) -> tuple[bytes, ...]:
    """The keys in `text`: `whsec_<base64>`, several separated by white space.

    Raises ValueError with a text that contains no part of a secret.
    """
    return tuple(_key(number, part) for number, part in enumerate(text.split(), 1))


def _key(number: int, text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise ValueError(
            f"secret {number} does not start with {PREFIX}: write {PREFIX} and {_LEAST} to {_MOST} bytes in base64"
        )
    encoded = text.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"secret {number} is not valid base64 after {PREFIX}") from None
    if not _LEAST <= len(key) <= _MOST:
        raise ValueError(f"secret {number} has {len(key)} bytes after {PREFIX}: it must have {_LEAST} to {_MOST}")
    return key


def signatures(keys: tuple[bytes, ...], id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature per key, so that a receiver can check either.

    `timestamp`: epoch seconds, as in the header `webhook-timestamp`.
    """
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
