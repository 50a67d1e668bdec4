"""Where a hub is and what opens it: `HUB_URL` and `HUB_KEY`."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

DEFAULT_URL = "http://localhost:5000"


def hub_url(given: str | None = None) -> str:
    """The address of a hub, without a slash at its end: what is given, else `HUB_URL`, else http://localhost:5000.

    Without a scheme it counts as http. Raises ValueError, saying what a hub's URL looks like.
    """
    text = (given if given is not None else os.environ.get("HUB_URL") or DEFAULT_URL).strip()
    whole = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _bad(text) from None
    if (
        parts.scheme.lower() not in ("http", "https")
        or not host
        or any(c.isspace() or not c.isprintable() for c in text)
    ):
        raise _bad(text)
    if host.isdigit() and port is None:
        raise _bad(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError("A hub's URL has no user or password in it: put the key into HUB_KEY.")
    if parts.query or parts.fragment or "/api/" in f"{parts.path}/":
        raise _bad(text)
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}"


def hub_key(given: str | None = None) -> str | None:
    """The key for a hub: what is given, else `HUB_KEY`, else None. Raises ValueError for one that no header can carry."""
    key = (given if given is not None else os.environ.get("HUB_KEY", "")).strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("A hub's key (HUB_KEY) is one word of ASCII characters; this one is not.")
    return key or None


def _bad(text: str) -> ValueError:
    shown = text if "@" not in text else "this"
    return ValueError(
        f"{shown!r} is no hub's URL: it looks like http://localhost:5000 or https://hub.example.org, "
        "and is the address of the hub itself, without /api."
    )
