"""`WebSocketLLM`: the LLM of an AgentSession is a server that speaks the protocol of `/llm`."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Any
from urllib.parse import urlsplit

from livekit.agents import llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import is_given

from .pool import Pool
from .stream import WebSocketLLMStream

POOL_SIZE = 10
"""Connections per event loop. A session uses a second connection while an interrupted answer is being cancelled."""


class WebSocketLLM(llm.LLM[Any]):
    """An LLM behind a WebSocket: `AgentSession(llm=WebSocketLLM(ws_url="ws://localhost:8765"))`.

    The protocol is described in `docs/websocket-llm.md`; any server that answers `chat` with `delta` and `complete` will do.
    One instance can serve many sessions, on several event loops. In a LiveKit job, LiveKit closes the connections at its
    end; elsewhere call `aclose()`.

    Args:
        ws_url: The server, as `ws://`, `wss://`, `http://` or `https://`. Raises ValueError for anything else.
        token: Sent as `Authorization: Bearer …`.
        connect_timeout: Seconds to open a connection. Default: the session's `conn_options.timeout` (10 s).
        response_timeout: Seconds without a frame after which an answer is given up. Default: as `connect_timeout`.
        pool_size: Connections per event loop. Requests beyond that wait for a connection, at most `connect_timeout`.
    """

    def __init__(
        self,
        *,
        ws_url: str,
        token: str | None = None,
        connect_timeout: float | None = None,
        response_timeout: float | None = None,
        pool_size: int = POOL_SIZE,
    ) -> None:
        super().__init__()
        self._server = _server_of(ws_url)
        if pool_size < 1:
            raise ValueError("pool_size must be 1 or more")
        self._url, self._token, self._pool_size = ws_url, token, pool_size
        self._connect_timeout, self._response_timeout = connect_timeout, response_timeout
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def model(self) -> str:
        return "websocket"

    @property
    def provider(self) -> str:
        """Host and port of the server, without the rest of the URL, which may hold a secret."""
        return self._server

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002  the protocol has no field for them
    ) -> WebSocketLLMStream:
        options: dict[str, Any] = {}
        if is_given(parallel_tool_calls):
            options["parallel_tool_calls"] = parallel_tool_calls
        if is_given(tool_choice):
            options["tool_choice"] = tool_choice
        connect, silence = self._timeouts(conn_options)
        return WebSocketLLMStream(
            self,
            pool=self._pool(),
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=conn_options,
            connect_timeout=connect,
            response_timeout=silence,
            options=options,
        )

    def _timeouts(self, conn_options: APIConnectOptions) -> tuple[float, float]:
        """Seconds to connect, and seconds without a frame."""
        default = conn_options.timeout
        connect = default if self._connect_timeout is None else self._connect_timeout
        silence = default if self._response_timeout is None else self._response_timeout
        return connect, silence

    def _pool(self) -> Pool:
        """The connections of the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            pool = self._pools.get(loop)
            if pool is None:
                pool = self._pools[loop] = Pool(self._url, self._server, self._token, self._pool_size)
                pool.closed = self._closed
            return pool

    async def aclose(self) -> None:
        """Close all connections. Requests in progress fail, and so do later requests."""
        await super().aclose()
        with self._lock:
            self._closed = True
            pools = list(self._pools.items())
        here = asyncio.get_running_loop()
        for loop, pool in pools:
            if loop is here:
                await pool.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(pool.aclose(), loop))

    async def _prewarm_impl(self) -> None:
        """Open a connection ahead of the first request."""
        pool = self._pool()
        pool.put(await pool.get(self._timeouts(DEFAULT_API_CONNECT_OPTIONS)[0]))


def _server_of(url: str) -> str:
    """`wss://user:secret@host:8765/llm?x` → `host:8765`. Raises ValueError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise ValueError("ws_url must be the URL of a WebSocket, such as ws://localhost:8765")
    return f"{parts.hostname}:{port}" if port else parts.hostname
