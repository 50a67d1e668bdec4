"""The hub's address: `HUB_URL`."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

DEFAULT_URL = "http://localhost:5000"


def hub_url(given: str | None = None) -> str:
    """The hub's address without a trailing slash: `given`, else `HUB_URL`, else http://localhost:5000.

    The scheme defaults to http. Raises ValueError, with examples of valid URLs.
    """
    text = (given if given is not None else os.environ.get("HUB_URL") or DEFAULT_URL).strip()
    whole = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _invalid(text) from None
    if (
        parts.scheme.lower() not in ("http", "https")
        or not host
        or any(c.isspace() or not c.isprintable() for c in text)
    ):
        raise _invalid(text)
    if host.isdigit() and port is None:
        raise _invalid(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError("A hub URL cannot contain a user name or password: put the key into HUB_KEY.")
    if parts.query or parts.fragment or "/api/" in f"{parts.path}/":
        raise _invalid(text)
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}"


def _invalid(text: str) -> ValueError:
    shown = text if "@" not in text else "this"  # it may contain a password
    return ValueError(
        f"{shown!r} is not a hub URL: a hub URL looks like http://localhost:5000 or https://hub.example.org, "
        "the address of the hub itself, without /api."
    )
