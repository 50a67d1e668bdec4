"""`POST /api/agent/data`: where publishers send their events.

Served as plain WSGI in front of Flask's dispatch, which would cost as much again as all the rest of a POST.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .. import body
from ..access import Origins
from ..errors import HubError
from ..generator import visible_socket
from ..hub import MAX_BATCH, Hub, Published

PATH = "/api/agent/data"
_STATUS = {
    400: "400 Bad Request",
    408: "408 Request Timeout",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    422: "422 Unprocessable Content",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}
UNREAD = frozenset({"bad_body", "body_too_large", "body_timeout", "unsupported_encoding"})
"""Errors that leave some of the body unread: the connection cannot be used again."""
_LINGER = 2.0
"""Seconds, and …"""
_LINGER_BYTES = 64 << 20
"""… bytes that are still read from a client that goes on sending, so that it gets to see the answer."""

Start = Callable[..., Any]

logger = logging.getLogger(__name__)


class DataRoute:
    """The route as a WSGI application. `hub`: gives the hub of this process."""

    def __init__(self, hub: Callable[[], Hub], origins: Origins) -> None:
        self._hub = hub
        self._origins = origins

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        hub = self._hub()
        # A publisher whose next request is there already would be served on and on: nobody else, not even the flush
        # of what it has just published, would get a turn.
        time.sleep(0)
        hub.active += 1
        try:
            answer = self._publish(hub, environ)
        except HubError as error:
            return self._refuse(hub, error, environ, start_response)
        except Exception:
            logger.exception("a POST has failed")
            return self._refuse(hub, HubError("internal", "the hub has failed"), environ, start_response)
        finally:
            hub.active -= 1
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(answer))),
            *self._origins.headers(environ.get("HTTP_ORIGIN")),
        ]
        start_response("200 OK", headers)
        return [answer]

    def _publish(self, hub: Hub, environ: dict[str, Any]) -> bytes:
        settings = hub.settings
        raw = body.read(environ, settings.max_body, settings.body_timeout)
        events, batch = body.decode(raw, environ.get("CONTENT_TYPE", ""), MAX_BATCH)
        return _answer(hub.publish(events, batch=batch), batch)

    def _refuse(self, hub: Hub, error: HubError, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        hub.figures.refused[error.kind.code] += 1
        answer = error.body()
        headers = error.headers()
        headers += [("Content-Length", str(len(answer))), *self._origins.headers(environ.get("HTTP_ORIGIN"))]
        start_response(_STATUS[error.status], headers)
        return ThenClose(answer, environ) if error.kind.code in UNREAD else [answer]


def _answer(published: Published, batch: bool) -> bytes:
    first, last = published.first, published.last
    if not batch:
        duplicate = b"true" if published.duplicates else b"false"
        return b'{"status":"ok","clients_notified":%d,"id":"%s","duplicate":%s}\n' % (
            published.notified,
            (first or "").encode(),
            duplicate,
        )
    first_id, last_id = (b'"%s"' % one.encode() if one else b"null" for one in (first, last))
    return b'{"status":"ok","accepted":%d,"duplicates":%d,"clients_notified":%d,"first_id":%s,"last_id":%s}\n' % (
        published.accepted,
        published.duplicates,
        published.notified,
        first_id,
        last_id,
    )


class ThenClose:
    """An answer after which the connection ends, however much the client still has to say: what it sends next is the
    rest of a body, not a request."""

    def __init__(self, answer: bytes, environ: dict[str, Any]) -> None:
        self._answer = answer
        self._socket = visible_socket(environ)
        self._gunicorn = "gunicorn.socket" in environ

    def __iter__(self) -> Iterator[bytes]:
        yield self._answer

    def close(self) -> None:
        if self._socket is not None:
            _hang_up(self._socket)
        if self._gunicorn:
            raise StopIteration  # ends gunicorn's keep-alive loop, as in `sockets`


def _hang_up(connection: Any) -> None:
    """Close, but read on for a moment first: a reset would take the answer from a client that is still sending."""
    until = time.monotonic() + _LINGER
    received = 0
    try:
        connection.shutdown(socket.SHUT_WR)
        while received < _LINGER_BYTES and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            piece = connection.recv(65536)
            if not piece:
                break
            received += len(piece)
            time.sleep(0)
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
