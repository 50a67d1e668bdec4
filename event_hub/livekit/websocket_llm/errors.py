"""What went wrong at the LLM server, as the errors by which LiveKit decides whether to retry."""

from __future__ import annotations

import asyncio

import aiohttp
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from ...websocket_protocols.llm import LLMError

_STATUS = {
    "backend_busy": 429,
    "bad_json": 400,
    "bad_frame": 400,
    "duplicate_request_id": 409,
    "forbidden_origin": 403,
    "frame_too_large": 413,
    "no_such_endpoint": 404,
    "too_many_requests": 429,
    "unauthorized": 401,
    "wrong_endpoint": 404,
}
"""Code of an `error` frame → the HTTP status that means the same. LiveKit does not retry 4xx, except 429."""
BACKEND_FAILED = 502
_PERMANENT = frozenset({"not_configured"})
_CLOSE_STATUS = {1008: 403, 1009: 413, 4401: 401, 4403: 403, 4404: 404}
"""Close code → status. All other codes count as a lost connection, which is worth a retry."""


class SocketClosed(Exception):
    """The connection ended. `code`: the close code, if any. `error`: what the server sent before."""

    def __init__(self, code: int | None = None, reason: str = "", error: LLMError | None = None) -> None:
        super().__init__(reason or (f"close code {code}" if code else "the connection was lost"))
        self.code, self.reason, self.error = code, reason, error


def of_frame(frame: LLMError) -> APIError:
    """The error for an `error` frame. Without `retryable`, a retry is worthwhile, as it is for any failed backend."""
    retryable = frame.code not in _PERMANENT if frame.retryable is None else frame.retryable
    if frame.code == "backend_timeout":
        return APITimeoutError(frame.message, retryable=retryable)
    return APIStatusError(
        frame.message,
        status_code=_STATUS.get(frame.code, BACKEND_FAILED),
        request_id=frame.request_id,
        body={"code": frame.code} if frame.code else None,
        retryable=retryable,
    )


def of_close(closed: SocketClosed, server: str) -> APIError:
    """The error for a connection that ended before `complete`."""
    if closed.error is not None:
        return of_frame(closed.error)
    status = _CLOSE_STATUS.get(closed.code or 0)
    if status:
        return APIStatusError(f"The LLM server at {server} refused the connection: {closed}", status_code=status)
    return APIConnectionError(
        f"The LLM server at {server} closed the connection before the answer was complete: {closed}"
    )


def of_connecting(error: Exception, server: str, timeout: float) -> APIError:
    """The error for a connection that could not be opened."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        hint = {401: "the token is missing or wrong", 403: "access is forbidden", 404: "there is no LLM at this path"}
        why = hint.get(error.status, f"HTTP {error.status}")
        # A redirect or a 200 is an answer of something that is not an LLM server: asking again changes nothing.
        return APIStatusError(
            f"The LLM server at {server} refused the connection: {why}",
            status_code=error.status,
            retryable=error.status >= 400,
        )
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return APITimeoutError(f"The LLM server at {server} did not accept the connection within {timeout:g} s")
    return APIConnectionError(f"The LLM server at {server} cannot be reached: {error}")
