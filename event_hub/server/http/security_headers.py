"""Headers that make browsers careful with what the hub sends: no foreign code, no guessed types, no frames, no referrer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import Response

from ...browser_policy import livekit_sources, policy
from ..settings import Settings

_SWAGGER_STYLES = ("'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='",)
"""The style in the picture that Swagger UI shows as its logo."""


def hardening(settings: Settings, static: Path) -> Callable[[Response], Response]:
    """For `Flask.after_request`: adds the headers to a response.

    An open hub's page may show other hubs (`?hub=`), so its scripts may connect anywhere; where credentials are required,
    only to this hub and to LiveKit.
    """
    anywhere = ("http:", "https:", "ws:", "wss:")
    connect = livekit_sources(settings.livekit_url) if settings.access_required else anywhere
    frames = settings.frame_ancestors
    pages = _Pages(static)

    def harden(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")  # the page's address may have had a token
        if response.mimetype == "text/html":
            html = pages.text() if response.direct_passthrough else response.get_data(as_text=True)
            styles = _SWAGGER_STYLES if "swagger-ui-bundle.js" in html else ()
            headers["Content-Security-Policy"] = policy(html, connect=connect, frames=frames, styles=styles)
            headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
            if not frames:
                headers.setdefault("X-Frame-Options", "DENY")
        return response

    return harden


class _Pages:
    """The text of the page, the only HTML file that is sent as a file; read again when it changes."""

    def __init__(self, static: Path) -> None:
        self._folder = static
        self._read: dict[Path, tuple[tuple[int, int], str]] = {}

    def text(self) -> str:
        """All HTML files of the folder that a route can send."""
        return "".join(self._of(path) for path in (self._folder / "stream-test.html", *self._gateway()))

    def _gateway(self) -> list[Path]:
        return sorted((self._folder / "gateway").glob("*.html"))

    def _of(self, path: Path) -> str:
        try:
            stat = path.stat()
            key = (stat.st_mtime_ns, stat.st_size)
            if path not in self._read or self._read[path][0] != key:
                self._read[path] = (key, path.read_text(encoding="utf-8"))
            return self._read[path][1]
        except OSError:
            return ""
