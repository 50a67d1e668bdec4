"""Content Security Policies for pages that are made of known files: nothing runs but what the server itself has written.

Inline scripts and styles are allowed by the SHA-256 hash of their text (https://www.w3.org/TR/CSP3/), so that a page needs
neither `unsafe-inline` nor a nonce, and still opens from disk. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_ATTRIBUTE = re.compile(r"<[a-zA-Z][^<>]*?\sstyle=\"([^\"]*)\"")
_CLOUD = ".livekit.cloud"


@lru_cache(maxsize=256)
def policy(
    page: str, *, connect: tuple[str, ...] = (), frames: tuple[str, ...] = (), styles: tuple[str, ...] = ()
) -> str:
    """The policy for the HTML of a page. `connect`: where else its scripts may connect to; `frames`: origins that may frame
    it; `styles`: sources of styles that its scripts add."""
    scripts = _hashes(_SCRIPT.findall(page))
    allowed = [*_hashes(_STYLE.findall(page)), *styles]
    if attributes := _hashes(_ATTRIBUTE.findall(page)):
        allowed += ["'unsafe-hashes'", *attributes]
    rules: dict[str, Iterable[str]] = {
        "default-src": ("'none'",),
        "script-src": ("'self'", *scripts),
        "style-src": ("'self'", *allowed),
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
    host = f"*{_CLOUD}" if (parts.hostname or "").endswith(_CLOUD) else parts.netloc.rpartition("@")[2]
    return (f"wss://{host}", f"https://{host}") if secure else (f"ws://{host}", f"http://{host}")


def _hashes(texts: Iterable[str]) -> list[str]:
    digests = (hashlib.sha256(text.encode()).digest() for text in dict.fromkeys(texts))
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
