"""What all stand-ins share: an HTTP and WebSocket server on loopback, in a thread of its own, so that the tests' own loop
and processes can use it. A client that does not keep to the protocol is refused, and fails the test at the end.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

KEY = "stand-in-key"
"""The key that a stand-in accepts at first."""
PATIENCE = 20.0
_SOCKET = web.RequestKey("_SOCKET", web.WebSocketResponse)


@dataclass
class Trouble:
    """What goes wrong with the next connections or requests, instead of an answer."""

    status: int = 0
    """HTTP status of the answer."""
    cut: bool = False
    """The connection ends in the middle of the answer, without a word."""
    drop: bool = False
    """The connection ends when the answer should begin."""
    stall: bool = False
    """Connected, and then nothing, until the stand-in is closed."""
    times: int = 1


@dataclass(frozen=True)
class Asked:
    """What a client asked for."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)


class Violation(Exception):
    """The client does not keep to the vendor's protocol."""


class Standin:
    """Subclasses define the routes. `with` runs it; leaving it raises AssertionError where a client broke the protocol."""

    def __init__(self) -> None:
        self.key = KEY
        """The key that is accepted."""
        self.trouble = Trouble(times=0)
        self.asked: list[Asked] = []
        self.violations: list[str] = []
        self.connections = 0
        """WebSockets that are open."""
        self.closed = 0
        """WebSockets that ended in order, at the client's wish."""
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def note(self, request: web.Request, body: dict[str, Any] | None = None) -> None:
        """Record what was asked for."""
        query, headers = dict(request.query), {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.path, query, headers, body or {}))

    def take_trouble(self) -> Trouble:
        """The trouble for this request; one without effect if there is none."""
        if self.trouble.times <= 0:
            return Trouble(times=0)
        self.trouble.times -= 1
        return self.trouble

    async def stalled(self) -> None:
        """Wait until the stand-in is closed."""
        assert self._closing is not None
        await self._closing.wait()

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(ready),), name=type(self).__name__)
        self._thread.start()
        assert ready.wait(PATIENCE), "the stand-in does not start"

    def stop(self) -> None:
        assert self._loop is not None
        assert self._closing is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the stand-in does not stop"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None:
            assert not self.violations, self.violations

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        # One thread, started now: a test that uses a shared stand-in must not find a thread more at its end.
        self._loop.set_default_executor(ThreadPoolExecutor(1, type(self).__name__))
        await asyncio.to_thread(lambda: None)
        app = web.Application(middlewares=[self._guard], client_max_size=1 << 22)
        app.router.add_routes(self.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        ready.set()
        await self._closing.wait()
        await runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionError:
            raise  # the client left, as clients may
        except Exception as violation:
            self.violations.append(f"{type(self).__name__} {request.path}: {violation!r}")
            socket = request.get(_SOCKET)
            if socket is not None:
                await socket.close(code=1008, message=str(violation).encode()[:120])
                return socket
            return web.json_response({"error": f"stand-in: {violation}"}, status=400)

    @asynccontextmanager
    async def socket(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        """The request as a WebSocket, counted while it is open."""
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        socket.headers["x-request-id"] = f"req_{len(self.asked)}"
        await socket.prepare(request)
        request[_SOCKET] = socket
        self.connections += 1
        try:
            yield socket
        finally:
            self.connections -= 1


def require(condition: object, sentence: str) -> None:
    """Raise Violation unless `condition` holds."""
    if not condition:
        raise Violation(sentence)


def decoded(text: str) -> dict[str, Any]:
    """A JSON object that a client sent."""
    try:
        value = json.loads(text)
    except ValueError:
        raise Violation("a text frame is not JSON") from None
    require(isinstance(value, dict), "a text frame is not a JSON object")
    return dict(value)


def cut(request: web.Request) -> None:
    """End the connection after what was sent: without a closing handshake, and without the end of a body."""
    if request.transport is not None:
        request.transport.close()
