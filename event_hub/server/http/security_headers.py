"""Headers that make browsers careful with what the hub sends: no foreign code, no guessed types, no frames, no referrer."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from ...browser_policy import COMMON_HEADERS, livekit_sources, policy
from ..settings import Settings


def hardening(settings: Settings) -> Callable[[Response], Response]:
    """For `Flask.after_request`: adds the headers to a response.

    The hub's pages have no inline scripts or styles, so one policy fits them all. An open hub's page may show other hubs
    (`?hub=`), so its scripts may connect anywhere; where credentials are required, only to this hub and to LiveKit.
    """
    anywhere = ("http:", "https:", "ws:", "wss:")
    frames = settings.frame_ancestors
    connect = livekit_sources(settings.livekit_url) if settings.access_required else anywhere
    pages = [
        ("Content-Security-Policy", policy(connect=connect, frames=frames)),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        *([] if frames else [("X-Frame-Options", "DENY")]),
    ]
    # A SharedWorker has the policy of its script.
    worker = ("Content-Security-Policy", policy(connect=connect))

    def harden(response: Response) -> Response:
        headers = response.headers
        for name, value in COMMON_HEADERS:
            headers[name] = value
        if response.mimetype == "text/html":
            headers.update(pages)
        elif (response.mimetype or "").endswith("/javascript"):
            headers.update([worker])
        return response

    return harden
