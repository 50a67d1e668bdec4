"""One connection to an LLM server. It carries one request at a time, and notices while idle when the server closes it."""

from __future__ import annotations

import asyncio
import json
import logging

import aiohttp
from pydantic import ValidationError

from ...websocket_protocols.base import Frame
from ...websocket_protocols.llm import SERVER, CancelRequest, ChatRequest, Complete, LLMError
from .errors import SocketClosed

logger = logging.getLogger("event_hub.livekit")

MAX_UNREAD = 256
"""Frames read ahead of the request. Beyond that the socket is not read, which slows down the server."""
CANCEL_WAIT = 2.0
"""Seconds for the server to confirm a `cancel`; after that the socket is closed instead of being used again."""
_FRAMES: dict[str, type[Frame]] = {str(model.model_fields["type"].default): model for model in SERVER}
_PASSING = frozenset({"idle", "too_fast"})
"""Codes of errors that fail no request: the server announces that it closes an idle socket, or that it reads slowly."""


class Socket:
    """`reused`: it has been idle since it was opened or since its last request, so the server may be gone."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(MAX_UNREAD)
        self._request: str | None = None
        self._last_error: LLMError | None = None
        self.closed = False
        self.reused = False
        self.echoes_ids = False
        """Whether the server has repeated a request id, as those servers do that know `cancel`."""
        self._reader = asyncio.create_task(self._read(), name="WebSocketLLM.read")

    async def ask(self, request: ChatRequest) -> None:
        """Send a request. Raises SocketClosed."""
        self._request = request.request_id
        self._frames = asyncio.Queue(MAX_UNREAD)
        if self.closed:
            raise self._why()
        await self._send(request)

    async def receive(self, timeout: float) -> Frame:
        """The request's next frame. Raises TimeoutError if none comes for `timeout` seconds, and SocketClosed."""
        async with asyncio.timeout(timeout):
            frame = await self._frames.get()
        if frame is None:
            raise self._why()
        return frame

    def rest(self) -> None:
        """The request is over: whatever still comes for it is ignored."""
        self._request = self._last_error = None
        self.reused = True

    async def cancel(self) -> bool:
        """Stop the request. Returns whether the server confirmed that it is over, so that the socket can be used again."""
        if self.closed or not self.echoes_ids:
            return False
        try:
            async with asyncio.timeout(CANCEL_WAIT):
                await self._send(CancelRequest(request_id=self._request))
                while not isinstance(frame := await self._frames.get(), (Complete, LLMError)):
                    if frame is None:
                        return False
        except (TimeoutError, SocketClosed):
            return False
        return True

    async def close(self) -> None:
        """Close the connection; it never raises."""
        self._reader.cancel()
        await asyncio.wait([self._reader])
        self.closed = True
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(None)  # for a request that is still being read
        try:
            await self._connection.close()
        except Exception as error:  # it is over either way
            logger.debug("closing a connection to the LLM server: %r", error)

    async def _send(self, frame: Frame) -> None:
        try:
            await self._connection.send_str(frame.to_json())
        except (aiohttp.ClientError, ConnectionError, RuntimeError) as error:
            raise SocketClosed(self._connection.close_code, str(error), self._last_error) from error

    def _why(self) -> SocketClosed:
        exception = self._connection.exception()
        return SocketClosed(self._connection.close_code, str(exception or ""), self._last_error)

    async def _read(self) -> None:
        try:
            async for message in self._connection:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                frame = _parsed(message.data)
                if frame is not None:
                    await self._deliver(frame)
        except _NotAnLLM as error:
            self._last_error = LLMError.model_construct(message=str(error), code="wrong_endpoint", retryable=False)
        finally:
            self.closed = True
        if self._request is not None:
            await self._frames.put(None)

    async def _deliver(self, frame: Frame) -> None:
        """Pass on the current request's frames. Those of earlier requests, and sent without a request, are ignored."""
        request_id = getattr(frame, "request_id", None)
        if isinstance(frame, LLMError) and request_id is None:
            if frame.code in _PASSING:
                logger.info("the LLM server says: %s", frame.message)
                return
            self._last_error = frame
        if request_id is not None:
            self.echoes_ids = True
        if self._request is not None and request_id in (None, self._request):
            await self._frames.put(frame)


class _NotAnLLM(Exception):
    pass


def _parsed(text: str) -> Frame | None:
    """The frame; None for a type that this client does not know. Raises _NotAnLLM for what no LLM server sends."""
    try:
        value = json.loads(text)
        model = _FRAMES.get(value["type"])
        return None if model is None else model.model_validate(value)
    except (ValueError, LookupError, TypeError, ValidationError):
        raise _NotAnLLM(
            f"The server does not speak the LLM protocol: it sent a frame of {len(text)} characters."
        ) from None
