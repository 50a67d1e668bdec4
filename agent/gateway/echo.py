"""`/ws`: returns every text frame, to test a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .connection import Connection

if TYPE_CHECKING:
    from .server import Gateway


async def serve(connection: Connection, _gateway: Gateway) -> None:
    """Return text frames as they are; refuse binary ones."""
    async for frame in connection.frames():
        if isinstance(frame, str):
            await connection.send_text(frame)
        else:
            await connection.error("unexpected_binary", "/ws returns text frames; audio goes to /ws/audio-stream.")
