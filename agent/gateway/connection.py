"""One WebSocket of one client, within its limits."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from event_hub.websocket_protocols.base import Error, Frame, Ping, Pong

from .errors import ERRORS
from .settings import GatewaySettings

logger = logging.getLogger("agent.gateway")

QUEUE = 16
"""Frames that are received ahead of the endpoint; after that the client's TCP connection waits."""
HARD_LIMIT = 16
"""A frame that is this many times larger than GATEWAY_MAX_FRAME closes the connection: it would have to be received to
be refused."""
CLOSED_IDLE, CLOSED_UNAUTHORIZED, CLOSED_ORIGIN, CLOSED_PATH = 4408, 4401, 4403, 4404
_LONGEST_PING = 200


class Gone(Exception):
    """The client has left, or took nothing of what it was sent for GATEWAY_STALL."""


class Connection:
    """One client at one endpoint. `left` is set as soon as the client is known to be gone.

    `answers_pings`: whether JSON pings are answered here; the echo endpoint returns them like all text.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        request: web.Request,
        settings: GatewaySettings,
        path: str,
        *,
        answers_pings: bool = True,
    ) -> None:
        self.id = f"ws_{uuid.uuid4().hex[:12]}"
        self.path = path
        self.query = request.query
        self.left = asyncio.Event()
        self._socket, self._request, self._settings = socket, request, settings
        self._answers_pings = answers_pings
        self._received: asyncio.Queue[str | bytes | None] = asyncio.Queue(QUEUE)
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._full = self._pinged = False
        self._draining = self._ended = False
        self._reader = asyncio.create_task(self._read(), name=f"{self.id} reader")

    # -- receiving -----------------------------------------------------------------------------------------------------

    async def frames(self) -> AsyncIterator[str | bytes]:
        """Text and binary frames, in order. Ends when the client leaves or the gateway drains."""
        while not (self._ended and self._received.empty()):
            if (frame := await self._received.get()) is None:
                break
            yield frame

    def end_input(self) -> None:
        """End `frames` after what was received so far. Called when the gateway drains; the client is still there, so `left`
        is not set."""
        self._draining = True
        self._reader.cancel()

    async def _read(self) -> None:
        pace = _Pace(self._settings.rate, self._loop.time())
        try:
            while True:
                if wait := pace.wait(self._loop.time()):
                    if pace.warn(self._loop.time()):
                        await self.error(
                            "too_fast",
                            f"More than {self._settings.rate:g} frames a second: they are read more slowly, none is lost.",
                        )
                    await asyncio.sleep(wait)
                try:
                    message = await self._socket.receive(timeout=self._settings.idle)
                except TimeoutError:
                    await self.error("idle", f"Nothing was received for {self._settings.idle:g} s: connect again.")
                    await self.close(CLOSED_IDLE, "idle")
                    return
                self._last, self._pinged = self._loop.time(), False
                if message.type is WSMsgType.PING:
                    await self._write(self._socket.pong(message.data))
                elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    if await self._accept(message.data):
                        self._full = self._received.full()
                        await self._received.put(message.data)
                        self._full = False
                elif message.type is not WSMsgType.PONG:  # closed, or an invalid WebSocket frame
                    return
        except Gone:
            return
        finally:
            if not self._draining:
                self.left.set()
            self._end()

    async def _accept(self, data: str | bytes) -> bool:
        """Whether a frame is for the endpoint. Too large ones and pings are answered here."""
        size = len(data) if isinstance(data, bytes) or len(data) * 4 <= self._settings.max_frame else len(data.encode())
        if size > self._settings.max_frame:
            await self.error(
                "frame_too_large",
                f"The frame has {size} bytes and was ignored: at most {self._settings.max_frame} are accepted.",
            )
            return False
        if self._answers_pings and isinstance(data, str) and len(data) < _LONGEST_PING and '"ping"' in data:
            ping = _ping(data)
            if ping is not None:
                await self.send(Pong(id=ping.id))
                return False
        return True

    def _end(self) -> None:
        """End `frames` once everything that was received is taken."""
        self._ended = True
        if not self._received.full():  # otherwise the endpoint is behind, and need not be woken
            self._received.put_nowait(None)

    # -- sending -------------------------------------------------------------------------------------------------------

    async def send(self, frame: Frame) -> None:
        """Send a JSON text frame. Waits while the client does not read, at most GATEWAY_STALL; raises Gone."""
        await self.send_text(frame.to_json())

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is. Raises Gone."""
        await self._write(self._socket.send_str(text))

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame. Raises Gone."""
        await self._write(self._socket.send_bytes(data))

    async def error(
        self, code: str, sentence: str, *, request_id: str | None = None, retryable: bool | None = None
    ) -> None:
        """Send an error of the catalogue. Raises Gone."""
        if code not in ERRORS:
            raise KeyError(code)
        both = sentence if self.path.startswith("/ws") else None
        await self.send(Error(message=sentence, code=code, error=both, request_id=request_id, retryable=retryable))

    async def _write(self, sending: object) -> None:
        try:
            async with asyncio.timeout(self._settings.stall):
                await sending  # type: ignore[misc]
        except TimeoutError:
            logger.info("%s took nothing for %g s and is disconnected", self.id, self._settings.stall)
            self.abort()
            raise Gone from None
        except (ConnectionError, RuntimeError) as error:  # aiohttp raises RuntimeError once the socket is closed
            self.left.set()
            raise Gone from error

    # -- the end -------------------------------------------------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket with a close frame, if the client still reads."""
        try:
            async with asyncio.timeout(self._settings.stall):
                await self._socket.close(code=code, message=reason.encode()[:120], drain=False)
        except (TimeoutError, ConnectionError, RuntimeError):
            self.abort()

    def abort(self) -> None:
        """Cut the TCP connection."""
        self.left.set()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def finish(self) -> None:
        """Release everything. Called once the endpoint has returned."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def check_alive(self) -> None:
        """Ping a client that has been silent for a heartbeat interval; disconnect it after two. Called by the sweep."""
        silent = self._loop.time() - self._last
        if self._full or silent < self._settings.heartbeat:
            return  # while the queue is full nothing is read, so silence means nothing
        if self._pinged and silent > 2 * self._settings.heartbeat:
            logger.info("%s has been silent for %g s and is disconnected", self.id, silent)
            self.abort()
        elif not self._pinged:
            self._pinged = True
            try:
                await self._write(self._socket.ping())
            except Gone:
                pass


def _ping(text: str) -> Ping | None:
    try:
        fields = json.loads(text)
        return Ping.model_validate(fields) if isinstance(fields, dict) and fields.get("type") == "ping" else None
    except ValueError:
        return None


class _Pace:
    """A token bucket: `rate` frames a second, twice as many at once. Time comes in as an argument."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._burst = rate, 2 * rate
        self._tokens, self._at = self._burst, now
        self._warned = -1.0

    def wait(self, now: float) -> float:
        """Seconds to wait before the next frame is read."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def warn(self, now: float) -> bool:
        """Whether to tell the client now: once a second."""
        if now - self._warned < 1.0 and self._warned >= 0:
            return False
        self._warned = now
        return True
