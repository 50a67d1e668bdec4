"""The gateway's server: its listeners, its connections, and the orderly end of both."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import logging
import os
import socket
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from event_hub.client import Publisher

from ..failure import UNREACHABLE, Failure
from . import pages
from .access import Access
from .connection import CLOSED_ORIGIN, CLOSED_PATH, CLOSED_UNAUTHORIZED, HARD_LIMIT, Connection, Gone
from .endpoints import ENDPOINTS, LLM_ENDPOINTS, ROUTES, Endpoint, Route, built
from .frames import FrameError
from .parts import Parts
from .reporting import ReportedSession, SharedSession
from .settings import GatewaySettings

logger = logging.getLogger("agent.gateway")

CLOSED_DRAINING, CLOSED_INTERNAL = 1001, 1011
_CLOSE_CODES = {
    "unauthorized": CLOSED_UNAUTHORIZED,
    "forbidden_origin": CLOSED_ORIGIN,
    "no_such_endpoint": CLOSED_PATH,
}
_STATUS = {"unauthorized": 401, "forbidden_origin": 403, "no_such_endpoint": 404}


class Gateway:
    """One gateway in one event loop. `parts`: None where no endpoint needs LiveKit, as in the stand-alone LLM server.

    `publisher`: where conversations are reported; None: nowhere. `closing` is set when the orderly end begins.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        parts: Parts | None = None,
        publisher: Publisher | None = None,
        endpoints: Sequence[Endpoint] = ENDPOINTS,
        routes: Sequence[Route] = ROUTES,
    ) -> None:
        self.settings, self.publisher = settings, publisher
        self.closing = asyncio.Event()
        self.on_close: list[Callable[[], Awaitable[None]]] = []
        """Called when the gateway stops, once all connections are closed: endpoints add what they have to end."""
        self.state: dict[str, Any] = {}
        """What endpoints keep across connections, by their name."""
        self._parts = parts
        self._access = Access(settings)
        self._endpoints = endpoints if endpoints is not ENDPOINTS else built(ENDPOINTS)
        self._routes = routes if routes is not ROUTES else built(ROUTES)
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._sessions: weakref.WeakValueDictionary[str, SharedSession] = weakref.WeakValueDictionary()
        self._runners: list[web.AppRunner] = []
        self._sweep: asyncio.Task[None] | None = None
        self._context: contextvars.Context = contextvars.copy_context()
        self.port = settings.port

    @property
    def parts(self) -> Parts:
        """STT, LLM and TTS. Raises RuntimeError in a gateway that was made without them."""
        if self._parts is None:
            raise RuntimeError("this gateway was made without parts")
        return self._parts

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        return len(self._connections)

    def report(self, *, session: str, participant: str, mode: str, job: str | None = None) -> ReportedSession:
        """A conversation without an AgentSession, as the hub will show it. `job`: as for `ReportedSession`."""
        shared = self._sessions.get(session)
        if shared is None:
            shared = self._sessions[session] = SharedSession()
        return ReportedSession(
            self.publisher,
            session=session,
            room=self.settings.room,
            participant=participant,
            mode=mode,
            shared=shared,
            job=job,
        )

    # -- start and stop ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the endpoints and listen. Raises Failure if a port cannot be had.

        Call it in the context in which connections are to run: LiveKit's HTTP session is a context variable.
        """
        self._context = contextvars.copy_context()
        app = await asyncio.to_thread(self._app, self._endpoints, self._routes)
        for endpoint in self._endpoints:
            endpoint.prepare_in(self)
        self.port = await self._listen(app, self.settings.port, "GATEWAY_PORT")
        if self.settings.llm_port:
            llm_app = await asyncio.to_thread(self._app, LLM_ENDPOINTS, ())
            await self._listen(llm_app, self.settings.llm_port, "GATEWAY_LLM_PORT")
        self._sweep = asyncio.create_task(self._check_connections(), name="gateway sweep")

    async def stop(self) -> None:
        """Stop: no new connections, replies in progress have GATEWAY_DRAIN seconds, then everything is closed."""
        self.closing.set()
        for runner in self._runners:
            for site in list(runner.sites):
                await site.stop()
        for connection in list(self._connections):
            connection.end_input()
        tasks = list(self._connections.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.settings.drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.gather(self._sweep, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        for close in self.on_close:
            await close()
        if self._parts is not None:
            await self._parts.aclose()

    async def _listen(self, app: web.Application, port: int, setting: str) -> int:
        """Listen on every address of the host; returns the port. Port 0 means any free one, the same on all addresses."""
        runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        for number, address in enumerate(_addresses(self.settings.host)):
            try:
                site = web.TCPSite(runner, address, port, reuse_address=os.name == "posix")
                await site.start()
            except OSError as error:
                if number and error.errno != errno.EADDRINUSE:
                    continue  # no IPv6
                raise Failure(
                    _cannot_listen(self.settings.host, port, setting, error), "gateway", UNREACHABLE
                ) from None
            port = port or runner.addresses[0][1]
        return port

    # -- requests ------------------------------------------------------------------------------------------------------

    def _app(self, endpoints: Sequence[Endpoint], routes: Sequence[Route]) -> web.Application:
        """Runs in a thread: loading LiveKit takes seconds."""
        app = web.Application(middlewares=[self._guard], client_max_size=HARD_LIMIT * self.settings.max_frame)
        for endpoint in endpoints:
            app.router.add_get(endpoint.path, self._websocket(endpoint))
        for route in routes:
            app.router.add_route(route.method, route.path, self._route(route))
        app.router.add_get("/health", self._health)
        for path, name in pages.PAGES.items():
            app.router.add_get(path, pages.handler(name))
        app.router.add_get("/favicon.ico", pages.icon)
        app.router.add_get("/static/{path:.+}", pages.static_file)
        app.router.add_route("*", "/{path:.*}", self._nothing_here(endpoints))
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Check HTTP requests, except those for pages, and add the headers that browsers need."""
        origin = request.headers.get("Origin")
        if _is_websocket(request):
            return await handler(request)
        if request.method == "OPTIONS":
            response: web.StreamResponse = web.Response(status=204)
        else:
            try:
                if not _is_page(request):
                    self._access.check(request.headers, request.query)
                response = await handler(request)
            except FrameError as error:
                response = _refusal(error, _STATUS.get(error.code, 400))
        if origin is not None and "Access-Control-Allow-Origin" not in response.headers and not response.prepared:
            if self._access.allows(origin) or self.settings.token:
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Allow-Headers"] = "Content-Type, Authorization, Range"
                response.headers["Access-Control-Allow-Methods"] = "GET, POST"
            response.headers["Vary"] = "Origin"
        return response

    def _websocket(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        serve = endpoint.load()

        async def handle(request: web.Request) -> web.StreamResponse:
            if not _is_websocket(request):
                if endpoint.path == "/":
                    return await pages.page("voice.html" if self._parts is not None else "chat_client.html")
                return _refusal(FrameError("bad_frame", f"{endpoint.path} is a WebSocket: {endpoint.about}."), 426)
            if self.closing.is_set() or len(self._connections) >= self.settings.connections:
                sentence = f"{self.settings.connections} connections are open: try again later."
                return _refusal(FrameError("too_many_connections", sentence), 503, {"Retry-After": "5"})
            return await self._connect(request, endpoint, serve)

        return handle

    async def _connect(self, request: web.Request, endpoint: Endpoint, serve: Any) -> web.StreamResponse:
        """Serve one connection to its end."""
        ws = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=HARD_LIMIT * self.settings.max_frame, timeout=2.0
        )
        await ws.prepare(request)
        path = endpoint.protocol_path or endpoint.path
        connection = Connection(ws, request, self.settings, path, answers_pings=endpoint.answers_pings)
        task = asyncio.create_task(self._serve(connection, request, serve), name=connection.id, context=self._context)
        self._connections[connection] = task
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            self._connections.pop(connection, None)
        return ws

    async def _serve(self, connection: Connection, request: web.Request, serve: Any) -> None:
        code = 1000
        try:
            self._access.check(request.headers, request.query)
            await serve(connection, self)
            if self.closing.is_set():
                code = CLOSED_DRAINING
        except Gone:
            pass
        except FrameError as error:
            code = _CLOSE_CODES.get(error.code, 1008)
            with contextlib.suppress(Gone):
                await connection.error(error.code, error.sentence)
        except Failure as failure:
            code = CLOSED_INTERNAL
            with contextlib.suppress(Gone):
                await connection.error("not_configured", failure.sentence)
        except asyncio.CancelledError:
            code = CLOSED_DRAINING
        except Exception:
            code = CLOSED_INTERNAL
            logger.exception("%s at %s failed", connection.id, connection.path)
            with contextlib.suppress(Gone):
                await connection.error("internal", "The gateway has a fault: see its log, and connect again.")
        finally:
            await connection.close(code)
            await connection.finish()

    def _route(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        handle = route.load()

        async def run(request: web.Request) -> web.StreamResponse:
            # In a task of its own, because LiveKit's HTTP session is a variable of the context.
            task = asyncio.create_task(_as_coroutine(handle(request, self)), context=self._context)
            try:
                return await task
            finally:
                task.cancel()

        return run

    def _nothing_here(self, endpoints: Sequence[Endpoint]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        known = ", ".join(endpoint.path for endpoint in endpoints)
        error = FrameError("no_such_endpoint", f"There is nothing at this path: the endpoints are {known}.")

        async def refuse(_connection: Connection, _gateway: Gateway) -> None:
            raise error

        async def handle(request: web.Request) -> web.StreamResponse:
            if _is_websocket(request):
                return await self._connect(request, Endpoint(request.path, "", ""), refuse)
            raise error

        return handle

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok", "connections": self.connections})

    async def _check_connections(self) -> None:
        """The sweep: pings silent clients, disconnects those that do not answer."""
        while True:
            await asyncio.sleep(self.settings.heartbeat / 4)
            for connection in list(self._connections):
                if not connection.left.is_set():
                    await connection.check_alive()


async def _as_coroutine(awaitable: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    return await awaitable


def _is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_page(request: web.Request) -> bool:
    """Pages and their modules contain nothing private, and a page without a token must be able to ask for one."""
    path = request.path
    return path in ("/", "/health", "/favicon.ico") or path in pages.PAGES or path.startswith("/static/")


def _refusal(error: FrameError, status: int, headers: dict[str, str] | None = None) -> web.Response:
    fields = {"error": error.sentence, "message": error.sentence, "code": error.code}
    return web.json_response(fields, status=status, headers=headers)


def _addresses(host: str) -> list[str]:
    """The addresses to listen on: `localhost` is 127.0.0.1 and ::1."""
    return ["127.0.0.1", "::1"] if host == "localhost" and socket.has_ipv6 else [host]


def _cannot_listen(host: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} is taken, perhaps by another gateway or by an example server (websocket_server.py, "
            f"ws_llm_server.py): stop it, or choose another port with --port {port + 1} or {setting}."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has: choose one above 1023 with --port or {setting}."
    return f"The gateway cannot listen on {host}:{port} ({error.strerror or error}): correct GATEWAY_HOST."
