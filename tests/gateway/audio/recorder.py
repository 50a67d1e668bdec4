"""A gateway with the recording endpoint alone, which starts at once: `python -m tests.gateway.audio.recorder`."""

from __future__ import annotations

import asyncio
import os

from agent import running
from agent.gateway.endpoints import Endpoint, Route
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings

ENDPOINTS = (Endpoint("/ws/audio-stream", "audio:record", "records audio to a file", prepare="audio:prepare"),)
ROUTES = (Route("GET", "/uploads/{file}", "audio:download", "a recording"),)


async def serve(stop: asyncio.Event) -> None:
    gateway = Gateway(GatewaySettings.of(os.environ), endpoints=ENDPOINTS, routes=ROUTES)
    await gateway.start()
    try:
        await stop.wait()
    finally:
        await gateway.stop()


if __name__ == "__main__":
    running.exit_on_signals()
    running.run(serve)
