"""Serving the two busiest routes without gunicorn, whose request and response objects take two thirds of the time.

A connection whose requests are POSTs of events or GETs of the stream is served here: llhttp parses the head, and the same
WSGI application answers it. Everything out of the ordinary is left to gunicorn, with the bytes received so far: other
routes, HTTP/1.0, chunked bodies, `Expect`, a repeated header, anything that is not valid. So only plain requests are
understood here, and all others are answered, or refused, in one place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import gevent
import httptools

from ..http.body import RECEIVED
from ..http_date import http_date

POST, STREAM = b"POST /api/agent/data", b"GET /api/stream"
_ROUTES = (POST, STREAM)
_LONGEST = max(map(len, _ROUTES))
HEAD = 8 << 10
"""Bytes of a head that is parsed here."""
_FIELDS = 64
PIECE = 64 << 10
"""Bytes received at a time."""
_OTHERS = frozenset(
    (
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"trailer",
        b"proxy-connection",
        b"x-forwarded-protocol",
        b"x-forwarded-ssl",
    )
)
"""Headers whose requests are left to gunicorn."""
_WAITS = 10.0
"""Seconds that a client may take for the rest of a head."""


class Connection(Protocol):
    """What `DirectServer` needs of a connection (`worker.MeteredConnection`)."""

    waited: bool
    unsent: Unsent | None

    def receive(self, size: int) -> bytes: ...
    def recv(self, size: int) -> bytes: ...
    def sendall(self, data: bytes) -> None: ...
    def between_requests(self) -> None: ...
    def idle(self) -> None: ...
    def take_turn(self) -> None: ...


class Head:
    """A parsed head. `plain`: it can be served here."""

    __slots__ = ("fields", "keep_alive", "length", "method", "plain", "uri")

    def __init__(self, data: bytes) -> None:
        self.uri = b""
        self.fields: dict[bytes, bytes] = {}
        self.plain = True
        self.length = 0
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.plain = False
            return
        method = self.method = parser.get_method()
        path = self.uri.partition(b"?")[0]
        line = b"%b %b HTTP/1.1\r\n" % (method, self.uri)
        length = self.fields.get(b"content-length")
        connection = self.fields.get(b"connection", b"")
        # Not the parser's `should_keep_alive`: it has forgotten the header once a request without a body is complete.
        self.keep_alive = connection.strip().lower() != b"close"
        self.plain = (
            self.plain
            and method + b" " + path in _ROUTES
            and data.startswith(line)
            and self.uri.isascii()
            and b"#" not in self.uri
            and len(self.fields) <= _FIELDS
            and not parser.should_upgrade()
            and b"," not in connection
            and (length is None if method == b"GET" else length is not None and 0 < len(length) < 16)
        )
        if self.plain and length is not None:
            self.length = int(length)

    # -- called by the parser

    def on_url(self, url: bytes) -> None:
        self.uri += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self.fields or name in _OTHERS or b"_" in name:
            self.plain = False
        self.fields[name] = value

    # -- for the application

    def environ(self) -> dict[str, Any]:
        """The part of the WSGI environ that the head determines."""
        environ: dict[str, Any] = {}
        for name, value in self.fields.items():
            environ["HTTP_" + name.decode().replace("-", "_").upper()] = value.decode("latin-1").strip(" \t")
        for special in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if "HTTP_" + special in environ:
                environ[special] = environ.pop("HTTP_" + special)
        environ["REQUEST_METHOD"] = self.method.decode()
        environ["RAW_URI"] = self.uri.decode()
        environ["PATH_INFO"], _, environ["QUERY_STRING"] = environ["RAW_URI"].partition("?")
        return environ


class Body:
    """`wsgi.input` of a body with a known length, of which the beginning has been received."""

    def __init__(self, connection: Connection | None, received: bytes, length: int) -> None:
        """`connection`: None if all of it was received."""
        self._connection: Any = connection
        self._received = received
        self.left = length - len(received)
        """Bytes that have not been received yet."""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, all if negative; fewer only if the client ends the connection."""
        have = self._received
        size = len(have) + self.left if size < 0 else min(size, len(have) + self.left)
        if size <= len(have):
            self._received = have[size:]
            return have[:size]
        pieces, missing = [have], size - len(have)
        self._received = b""
        while missing:
            piece = self._connection.recv(min(missing, PIECE))
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
            self.left -= len(piece)
        return b"".join(pieces)

    def discard(self) -> bool:
        """Receive what the application has not read, so that the next request can follow. False: the client has gone."""
        while self.left:
            self._connection.idle()  # it is closed if nothing comes, or if others need its slot
            piece = self._connection.recv(min(self.left, PIECE))
            if not piece:
                return False
            self.left -= len(piece)
        return True


class _Response:
    """`start_response`, and the head that it makes."""

    __slots__ = ("keep_alive", "lines", "sized", "status")

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self.status = ""
        self.sized = False
        self.lines: list[str] = []

    def start(self, status: str, headers: Iterable[tuple[str, str]], _error: Any = None) -> None:
        self.status = status
        self.lines = [f"{name}: {value}\r\n" for name, value in headers]
        self.sized = any(name == "Content-Length" for name, _ in headers)

    def head(self, date: str) -> bytes:
        connection = "keep-alive" if self.keep_alive else "close"
        coding = "" if self.sized else "Transfer-Encoding: chunked\r\n"
        first = f"HTTP/1.1 {self.status}\r\nServer: gunicorn\r\nDate: {date}\r\nConnection: {connection}\r\n{coding}"
        return (first + "".join(self.lines) + "\r\n").encode("latin-1")


class StreamRequest(NamedTuple):
    """A plain GET of the stream, from any client. `environ`: without the client's address and connection."""

    environ: dict[str, Any]
    keep_alive: bool


class Unsent:
    """An answer that has not been sent yet, to the first request of a connection."""

    __slots__ = ("answer", "response")

    def __init__(self, response: _Response, answer: Iterable[bytes]) -> None:
        self.response = response
        self.answer = answer


class DirectServer:
    """Serves the connections of one worker. `base`: the part of the WSGI environ that all requests have in common."""

    def __init__(self, app: Any, base: dict[str, Any]) -> None:
        self._app = app
        self._base = {**base, "SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http"}

    def serve(self, connection: Connection, facts: dict[str, Any], has_room: Callable[[], bool]) -> bytes | None:
        """Serve requests until the connection is to be closed; or return the bytes received of a request that is for
        gunicorn. `facts`: the connection's part of the environ; `has_room`: whether the connection may be
        kept open for another request."""
        unsent, connection.unsent = connection.unsent, None
        if unsent is not None and not self._send(connection, unsent.response, unsent.answer):
            return None
        buffer = b""
        while True:
            if not buffer:
                connection.idle()
                buffer = connection.receive(PIECE)
                if not buffer:
                    return None
            end = buffer.find(b"\r\n\r\n") + 4
            if end < 4 or not buffer.startswith(_ROUTES):
                buffer, end = self._complete(connection, buffer)
            if not 4 <= end <= HEAD:
                return buffer
            head = Head(buffer[:end])
            if not head.plain:
                return buffer
            if head.method == b"GET" or not connection.waited:
                connection.take_turn()
            connection.waited = False
            begun = buffer[end : end + head.length]
            body = Body(connection, begun, head.length)
            buffer = buffer[end + head.length :]
            if not self._respond(connection, facts, head, body, has_room()):
                return None
            if body.left:
                connection.between_requests()
                if not body.discard():
                    return None

    def stream_request(self, facts: dict[str, Any], data: bytes) -> StreamRequest | None:
        """The request for a stream whose head is `data`; None if it is not a plain one. `facts`: what the environ of every
        connection has in common."""
        head = Head(data)
        if not head.plain or head.method != b"GET":
            return None
        environ = {**self._base, **facts, **head.environ(), "wsgi.input": Body(None, b"", 0), RECEIVED: True}
        return StreamRequest(environ, head.keep_alive)

    def open_stream(self, environ: dict[str, Any], keep_alive: bool) -> tuple[_Response, Iterable[bytes]]:
        """Open a stream on the connection in `environ` (`sockets.BareConnection`). Raises StopIteration if it has been taken
        over; returns the answer if the request was refused."""
        response = _Response(keep_alive)
        return response, self._app(environ, response.start)

    def _complete(self, connection: Connection, buffer: bytes) -> tuple[bytes, int]:
        """Receive the rest of a head, if it may be one for here; returns what was received, and where the head ends (0 if
        it is left to gunicorn)."""
        with gevent.Timeout(_WAITS, False):  # type: ignore[arg-type]  # False: raise nothing
            while len(buffer) < HEAD and (buffer.startswith(_ROUTES) or _begins_route(buffer)):
                end = buffer.find(b"\r\n\r\n") + 4
                if end >= 4:
                    return buffer, end
                more = connection.receive(PIECE)
                if not more:
                    break
                buffer += more
        return buffer, 0

    def _respond(self, connection: Connection, facts: dict[str, Any], head: Head, body: Body, serving: bool) -> bool:
        """Answer one request; returns whether another may follow."""
        return self._send(connection, *self._ask(facts, head, body, serving))

    def _ask(self, facts: dict[str, Any], head: Head, body: Body, serving: bool) -> tuple[_Response, Iterable[bytes]]:
        """The application's answer to one request."""
        environ = {**self._base, **facts, **head.environ()}
        environ["wsgi.input"] = body
        environ[RECEIVED] = not body.left
        response = _Response(head.keep_alive and serving)
        return response, self._app(environ, response.start)

    def _send(self, connection: Connection, response: _Response, answer: Iterable[bytes]) -> bool:
        """Send an answer; returns whether another request may follow."""
        try:
            data = [response.head(http_date(int(time.time())))]
            if response.sized:
                data.extend(answer)
                connection.sendall(b"".join(data))
            else:
                for piece in answer:
                    connection.sendall(b"".join([*data, b"%x\r\n%b\r\n" % (len(piece), piece)]))
                    data = []
                connection.sendall(b"".join([*data, b"0\r\n\r\n"]))
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        return response.keep_alive


def _begins_route(buffer: bytes) -> bool:
    """Whether `buffer` is the beginning of a request for here."""
    return len(buffer) < _LONGEST and any(route.startswith(buffer) for route in _ROUTES)
