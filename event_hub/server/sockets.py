"""Taking a response's socket over from the server that accepted it.

Under gunicorn's gevent worker a view may write the response head itself, keep a duplicate of the connection's
descriptor, and end the request by raising StopIteration, as Flask's WebSocket extensions do: gunicorn closes its own
copy, and the greenlet with its stack is gone. What is left of a subscriber is one small object, a non-blocking socket
and a libev watcher that tells when it leaves; a second watcher exists only while a send was short.
"""

from __future__ import annotations

import os
import time
from _socket import MSG_DONTWAIT, SHUT_RDWR, SHUT_WR, socket  # the plain one: gevent's and Python's weigh more
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

import gevent
from gevent import socket as gevent_socket

from .. import sse
from . import notices
from .broadcast import CHUNK, Broadcast, Subscriber
from .log import View

_READ, _WRITE = 1, 2
_CHATTER = 64 << 10
"""Bytes that a subscriber may send after its request (it has nothing to say) before it is cut off."""


def can_take_over(environ: dict[str, Any]) -> bool:
    """Whether this request came in on a plain socket of gunicorn's gevent worker, from a client that knows chunks."""
    sock = environ.get("gunicorn.socket")
    return isinstance(sock, gevent_socket.socket) and (
        environ.get("wsgi.url_scheme"),
        environ.get("SERVER_PROTOCOL"),
    ) == ("http", "HTTP/1.1")


class Taken:
    """A connection that is ours from here on: a duplicate of its descriptor. Raises OSError where none is to be had."""

    def __init__(self, environ: dict[str, Any]) -> None:
        descriptor = os.dup(environ["gunicorn.socket"].fileno())
        try:
            self.socket = socket(fileno=descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self.socket.setblocking(False)

    def send_all(self, data: bytes, stall: float) -> None:
        """Send all of it, waiting for the peer where it must; raises OSError where it has gone or takes nothing."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                self._wait_writable(stall)

    def _wait_writable(self, stall: float) -> None:
        hub = gevent.get_hub()
        watcher = hub.loop.io(self.socket.fileno(), _WRITE)
        try:
            with gevent.Timeout(stall, TimeoutError("the subscriber takes nothing")):
                hub.wait(watcher)
        finally:
            watcher.close()


def head(headers: Iterable[tuple[str, str]]) -> bytes:
    """The response's head. Its body is chunked; the connection is not used for anything after it."""
    date = formatdate(usegmt=True)
    lines = ["HTTP/1.1 200 OK", f"Date: {date}", "Connection: close", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class SocketSubscriber(Subscriber):
    """A subscriber whose socket is ours. It takes nothing until `release`: its replay comes first."""

    __slots__ = ("_broadcast", "_chatter", "_reader", "_rest", "_socket", "_writer")
    path = "socket"

    def __init__(self, id: int, now: float, taken: Taken, broadcast: Broadcast) -> None:
        super().__init__(id, now)
        self.blocked = True
        self._socket = taken.socket
        self._broadcast = broadcast
        self._rest = b""
        self._chatter = 0
        self._reader: Any = None
        self._writer: Any = None

    # -- what the flush loop and the sweep call ----------------------------------------------------------------------

    def take(self, chunk: bytes, position: int, offset: int, now: float) -> None:
        try:
            sent = self._socket.send(chunk)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.leave()
            return
        if sent == len(chunk):
            self.position = position
            self.offset = offset
            self.last = self.active = now
            return
        view = self.view
        assert view is not None
        if self.position < view.first:  # the ring has moved on since `chunk` was read: keep the bytes themselves
            self.position, self.offset, self._rest = position, offset, chunk[sent:]
        else:
            self._tear(view, sent)
        self._broadcast.figures.sent_bytes += sent
        self._block(sent, now)

    def write(self, data: bytes, now: float) -> None:
        data = sse.chunk(data)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.leave()
            return
        if sent == len(data):
            self.last = self.active = now
        else:
            self._rest = data[sent:]
            self._block(sent, now)

    def release(self) -> None:
        """Its replay is over: from here on it gets what is live."""
        self._reader = gevent.get_hub().loop.io(self._socket.fileno(), _READ)
        self._reader.start(_readable, self)
        self._resume()

    def finish(self, retry_ms: int) -> None:
        self.finishing = retry_ms
        if not self.blocked:
            self._resume()

    def drop(self) -> None:
        """The rest of what was sent is of no use to a peer that takes nothing: cut, so that it learns at once."""
        self._close(SHUT_RDWR)

    def address(self) -> str | None:
        try:
            host, port = self._socket.getpeername()[:2]
        except OSError:
            return None
        return f"{host}:{port}"

    def leave(self) -> None:
        """The peer has gone."""
        if not self.closed:
            self._broadcast.figures.left += 1
            self._close(None)

    # -- short sends -----------------------------------------------------------------------------------------------

    def _tear(self, view: View, sent: int) -> None:
        """`sent` bytes from its place on went out. Kept is the rest of the one torn frame; the others are in the log."""
        self.position, self._rest = view.after(self.position, sent)
        self.offset = view.offset_at(self.position)

    def _block(self, sent: int, now: float) -> None:
        """A send was short: wait until it can be written to again."""
        if sent:
            self.active = self.last = now
        self.blocked = True
        if self._writer is None:
            self._writer = gevent.get_hub().loop.io(self._socket.fileno(), _WRITE)
            self._writer.start(_writable, self)

    def _resume(self) -> None:
        """It can be written to: the rest of the torn frame, then what the log has for it."""
        now = time.monotonic()
        while not self.closed:
            data, position, offset = self._next()
            if not data:
                break
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.leave()
                return
            view, before, figures = self.view, self.position, self._broadcast.figures
            if self._rest or position == before or view is None:
                self._rest = data[sent:]
            elif sent == len(data):
                self.position, self.offset = position, offset
            else:
                self._tear(view, sent)
            figures.deliveries += self.position - before
            figures.sent_bytes += sent
            if sent < len(data):
                self._block(sent, now)
                return
            self.active = self.last = now
        if self.closed:
            return
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.blocked = False
        if self.finishing is not None:
            self._last_words()

    def _next(self) -> tuple[bytes, int, int]:
        """What is to be sent next, and the place and offset after it; b"" when it has caught up."""
        view, broadcast = self.view, self._broadcast
        if self._rest or view is None:
            return self._rest, self.position, self.offset
        with broadcast.lock:
            gap = broadcast.gap(self)
            if gap or self.position >= view.head:
                return sse.chunk(gap) if gap else b"", self.position, self.offset
            data, position = view.read(self.position, CHUNK)
            return data, position, view.offset_at(position)

    def _last_words(self) -> None:
        assert self.finishing is not None
        frame = notices.closing(
            self._broadcast.epochs.cursor(self.offset), self._broadcast.wall(), retry_ms=self.finishing
        )
        try:
            self._socket.send(sse.chunk(frame) + sse.LAST_CHUNK)
        except OSError:
            pass  # it is full or gone: the next hub resumes it from its cursor all the same
        self._close(SHUT_WR)

    def _close(self, how: int | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            self._writer.close()
        if how is not None:
            try:
                self._socket.shutdown(how)
            except OSError:
                pass
        self._socket.close()
        self._broadcast.detach(self)


def _readable(subscriber: SocketSubscriber) -> None:
    """It says something, or leaves.

    A peer that closes only its sending half counts as gone: it cannot be told from one that has closed altogether
    until something is sent to it, and a viewer that left is not to be counted until then.
    """
    try:
        said = subscriber._socket.recv(16384, MSG_DONTWAIT)
    except BlockingIOError:
        return
    except OSError:
        said = b""
    if not said:
        subscriber.leave()
        return
    subscriber._chatter += len(said)
    if subscriber._chatter > _CHATTER:
        subscriber._broadcast.figures.dropped["chatter"] += 1
        subscriber.drop()


def _writable(subscriber: SocketSubscriber) -> None:
    subscriber._resume()
