"""Security headers for browsers: those of every response, and the Content Security Policy of a page, which allows only our
own scripts. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

COMMON_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),  # an address may contain a token
)
"""Headers of every response."""
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_CLOUD = ".livekit.cloud"


@lru_cache(maxsize=64)
def policy(file: str = "", *, connect: tuple[str, ...] = (), frames: tuple[str, ...] = ()) -> str:
    """The policy of a page, which allows nothing inline and nothing from elsewhere.

    `file`: the HTML of a page that people copy as a single file. Its inline scripts are allowed by the SHA-256 hash of their
    text (https://www.w3.org/TR/CSP3/). Pass only what was read from a file: a script that a request could put into this text
    would run. `connect`: where else the page's scripts may connect to; `frames`: origins that may frame it.
    """
    rules: dict[str, Iterable[str]] = {
        "default-src": ("'none'",),
        "script-src": ("'self'", *_hashes(_SCRIPT.findall(file))),
        "style-src": ("'self'",),
        "img-src": ("'self'", "data:"),
        "media-src": ("'self'", "blob:"),
        "worker-src": ("'self'",),
        "connect-src": ("'self'", *connect),
        "base-uri": ("'none'",),
        "form-action": ("'self'",),
        "frame-ancestors": frames or ("'none'",),
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in rules.items())


def livekit_sources(url: str | None) -> tuple[str, ...]:
    """What LiveKit's client in a page connects to: the server, and for LiveKit Cloud its regions."""
    if not url:
        return ()
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    if ":" in (parts.hostname or ""):  # a policy cannot name an IPv6 address
        return ("wss:", "https:") if secure else ("ws:", "http:")
    host = f"*{_CLOUD}" if (parts.hostname or "").endswith(_CLOUD) else parts.netloc.rpartition("@")[2]
    return (f"wss://{host}", f"https://{host}") if secure else (f"ws://{host}", f"http://{host}")


def _hashes(texts: Iterable[str]) -> list[str]:
    digests = (hashlib.sha256(text.encode()).digest() for text in dict.fromkeys(texts))
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
