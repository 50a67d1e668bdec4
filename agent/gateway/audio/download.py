"""`GET /uploads/<file>`: a finished recording. aiohttp answers Range requests, so players can seek."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from aiohttp import web

from .formats import is_recording
from .uploads import uploads_of

if TYPE_CHECKING:
    from ..server import Gateway

TYPES = {
    "wav": "audio/wav",
    "webm": "audio/webm",
    "ogg": "audio/ogg",
    "mp4": "audio/mp4",
    "bin": "application/octet-stream",
}


async def download(request: web.Request, gateway: Gateway) -> web.StreamResponse:
    """The recording, or 404 for any name that is not a recording's: nothing else in the folder can be read."""
    uploads = uploads_of(gateway)
    name = request.match_info["file"]
    path = uploads.folder / name

    def exists() -> bool:
        try:
            return stat.S_ISREG(path.lstat().st_mode)  # a link could lead anywhere
        except OSError:
            return False

    if not is_recording(name) or not await uploads.in_thread(exists):
        sentence = "No such recording. Use the url of a recording_saved frame."
        fields = {"error": sentence, "message": sentence, "code": "no_such_recording"}
        return web.json_response(fields, status=404)
    return web.FileResponse(
        path,
        headers={
            "Content-Type": TYPES[path.suffix[1:]],
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, max-age=31536000, immutable",
        },
    )
