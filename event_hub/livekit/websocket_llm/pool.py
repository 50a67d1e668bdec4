"""The connections of one event loop to one LLM server: opened when needed, used again, never more than `size`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import aiohttp
from livekit.agents import APIConnectionError, APITimeoutError, utils

from .errors import of_connecting
from .socket import Socket

HEARTBEAT = 20.0
"""Seconds between WebSocket pings, which find a server that vanished without closing, and keep proxies from closing."""
MAX_FRAME = 4 * 1024 * 1024
"""Bytes of a frame from the server. A larger frame closes the connection."""
_CLOSE_WAIT = 1.0
"""Seconds for the server to confirm that the connection is closed."""


class Pool:
    """A socket belongs to one request between `get` and exactly one of `put`, `cancel` and `discard`."""

    def __init__(self, url: str, server: str, token: str | None, size: int) -> None:
        self.server = server
        self._url, self._size = url, size
        self._headers = {"Authorization": f"Bearer {token}"} if token else None
        self._free = asyncio.Semaphore(size)
        self._idle: list[Socket] = []
        self._open: set[Socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._owned = False
        self.closed = False

    async def get(self, timeout: float, *, fresh: bool = False) -> Socket:
        """An idle socket, or a new socket within `timeout` seconds. `fresh`: always a new socket; idle sockets are closed.

        Raises APIConnectionError, APITimeoutError and APIStatusError.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._free.acquire()
        except TimeoutError:
            raise APITimeoutError(
                f"All {self._size} connections to the LLM server at {self.server} are in use: set a larger pool_size"
            ) from None
        try:
            while self._idle:  # the most recently used first, so that the others can grow old and be closed
                socket = self._idle.pop()
                if not fresh and not socket.closed:
                    return socket
                self._close(socket)
            return await self._connect(timeout)
        except BaseException:
            self._free.release()
            raise

    def put(self, socket: Socket) -> None:
        """Return a socket whose request is over."""
        socket.rest()
        if socket.closed or self.closed:
            self._close(socket)
        else:
            self._idle.append(socket)
        self._free.release()

    def discard(self, socket: Socket) -> None:
        """Return a socket that cannot be used again."""
        self._close(socket)
        self._free.release()

    def cancel(self, socket: Socket) -> None:
        """Return a socket whose request is not over: it is cancelled in the background, and used again if that succeeds."""
        self._run(self._cancel(socket))

    async def aclose(self) -> None:
        """Close all sockets, those in use too."""
        self.closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._open:
            await asyncio.gather(*(socket.close() for socket in self._open))
        self._open.clear()
        self._idle.clear()
        if self._session is not None and self._owned:
            await self._session.close()

    async def _connect(self, timeout: float) -> Socket:
        if self.closed:
            raise APIConnectionError("This WebSocketLLM is closed", retryable=False)
        try:
            async with asyncio.timeout(timeout):
                connection = await self._http().ws_connect(
                    self._url,
                    headers=self._headers,
                    heartbeat=HEARTBEAT,
                    max_msg_size=MAX_FRAME,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_WAIT),
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise of_connecting(error, self.server, timeout) from error
        socket = Socket(connection)
        self._open.add(socket)
        return socket

    def _http(self) -> aiohttp.ClientSession:
        """LiveKit's session in a job, which closes it when the job has ended; elsewhere the pool's own."""
        if self._session is None or self._session.closed:
            try:
                self._session, self._owned = utils.http_context.http_session(), False
            except RuntimeError:
                self._session, self._owned = aiohttp.ClientSession(), True
        return self._session

    async def _cancel(self, socket: Socket) -> None:
        usable = False
        try:
            usable = await socket.cancel()
        finally:
            if usable:
                self.put(socket)
            else:
                self.discard(socket)

    def _close(self, socket: Socket) -> None:
        if not self.closed:  # otherwise `aclose` closes it
            self._run(self._close_now(socket))

    async def _close_now(self, socket: Socket) -> None:
        await socket.close()
        self._open.discard(socket)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="WebSocketLLM.pool")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
