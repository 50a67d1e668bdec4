"""LLM servers in the test's own event loop: ours, and a server that does only what the original protocol says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agent.gateway.llm import LLMServer, Piece
from event_hub.websocket_protocols.llm import ChatRequest

from ...hubs import PATIENCE, free_port

Generate = Callable[[ChatRequest], AsyncIterator[Piece]]


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(body(), 4 * PATIENCE)

    asyncio.run(limited())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def three_words(_request: ChatRequest) -> AsyncIterator[Piece]:
    for word in ("One", " two", " three."):
        yield word


async def for_ever(_request: ChatRequest) -> AsyncIterator[Piece]:
    while True:
        yield "word "
        await asyncio.sleep(0.005)


class Model(LLMServer):
    """Answers with what `generate` yields, and records the requests."""

    def __init__(self, generate: Generate, **options: Any) -> None:
        super().__init__(**options)
        self.generate = generate
        self.requests: list[ChatRequest] = []
        self.ended = 0
        """Generators that are over, cancelled ones too."""

    async def _generate_streaming_response(self, request: ChatRequest) -> AsyncIterator[Piece]:
        self.requests.append(request)
        try:
            async for piece in self.generate(request):
                yield piece
        finally:
            self.ended += 1


@asynccontextmanager
async def serving(model: LLMServer, *, port: int | None = None, **options: Any) -> AsyncIterator[str]:
    """A server of its own for `model`; yields its address."""
    stop, number = asyncio.Event(), port or free_port()
    task = asyncio.create_task(model.serve("127.0.0.1", number, stop=stop, **options))
    try:
        while not await _accepts(number):
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        yield f"ws://127.0.0.1:{number}"
    finally:
        stop.set()
        await task


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def connections(url: str) -> int:
    """How many WebSockets are open at our server."""
    async with aiohttp.ClientSession() as session, session.get(url.replace("ws", "http", 1) + "/health") as response:
        return int((await response.json())["connections"])


class SeedServer:
    """Speaks `chat`, `delta`, `complete` and `error`, and nothing else: no request ids, tools, cancel or pings.

    It answers with the words of `text`. `script`: takes over a connection's first requests, in turn.
    """

    def __init__(self, text: str = "Hello there friend.") -> None:
        self.text = text
        self.received: list[dict[str, Any]] = []
        self.sockets = 0
        self.open: set[ServerConnection] = set()
        self.script: list[Callable[[ServerConnection], Awaitable[None]]] = []

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets += 1
        self.open.add(socket)
        try:
            async for text in socket:
                data = json.loads(text)
                self.received.append(data)
                if data.get("type") != "chat":
                    await socket.send(json.dumps({"type": "error", "message": f"Unknown type: {data.get('type')}"}))
                elif self.script:
                    await self.script.pop(0)(socket)
                else:
                    await self.answer(socket)
        except ConnectionClosed:
            pass
        finally:
            self.open.discard(socket)

    async def answer(self, socket: ServerConnection) -> None:
        pieces = [word + " " for word in self.text.split(" ")]
        pieces[-1] = pieces[-1].rstrip()
        for piece in pieces:
            await socket.send(json.dumps({"type": "delta", "content": piece}))
        await socket.send(json.dumps({"type": "complete", "content": self.text}))

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[str]:
        async with serve(self._serve, "127.0.0.1", options.pop("port", 0), **options) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"ws://127.0.0.1:{port}"
