"""Serves the gateway's pages and their modules from static/."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

import event_hub
from event_hub.browser_policy import COMMON_HEADERS, policy

PAGES = {
    "/voice.html": "voice.html",
    "/websocket_client.html": "websocket_client.html",
    "/chat_client.html": "chat_client.html",
}
"""Path → file in static/gateway/."""
HEADERS = {
    "Cache-Control": "no-cache",
    **dict(COMMON_HEADERS),
    # Modules are public; pages that are opened from a file load them from here.
    "Access-Control-Allow-Origin": "*",
}


def static_folder() -> Path:
    """`static/` of the checkout, or of the installed package."""
    package = Path(event_hub.__file__).parent
    installed = package / "static"
    return installed if installed.is_dir() else package.parent / "static"


async def page(name: str) -> web.StreamResponse:
    """One of the pages, by its file name. Its scripts may connect anywhere, because it can be pointed at other gateways."""
    html = (static_folder() / "gateway" / name).read_text(encoding="utf-8")
    security = policy(html, connect=("http:", "https:", "ws:", "wss:"))
    headers = {
        **HEADERS,
        "Content-Security-Policy": security,
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
    return web.Response(text=html, content_type="text/html", headers=headers)


def handler(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that serves one of the pages."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        return await page(name)

    return handle


async def icon(_request: web.Request) -> web.StreamResponse:
    """GET /favicon.ico, which browsers ask for because the pages name no icon."""
    return web.FileResponse(static_folder() / "icon.svg", headers=HEADERS)


async def static_file(request: web.Request) -> web.StreamResponse:
    """GET /static/…: a file of static/, nothing outside it."""
    folder = static_folder().resolve()
    try:
        file = (folder / request.match_info["path"]).resolve()
        if file.is_relative_to(folder) and file.is_file():
            return web.FileResponse(file, headers=HEADERS)
    except (ValueError, OSError):  # a null character, or a name that is too long
        pass
    raise web.HTTPNotFound(text="No such file.\n")
