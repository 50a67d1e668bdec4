"""Streaming on a socket that was taken over from the server that accepted it.

Under gunicorn's gevent worker a route may take the connection's descriptor, write the response itself, and end the request
by raising StopIteration, as Flask's WebSocket extensions do: the greenlet with its stack is freed. What remains of a
subscriber is one small object, a non-blocking socket and a libev watcher that fires when the peer leaves; a second watcher
exists only while a send is incomplete.

The chunked coding of HTTP/1.1 is applied here. Each live frame is a chunk of its own: clients that read by size
(`requests`, 512 bytes at a time) see each event at once, and a torn frame can be completed without the ones after it. A
page of a replay is one chunk.
"""

from __future__ import annotations

import time
from _socket import (  # the plain one: gevent's and Python's weigh more
    MSG_DONTWAIT,
    SHUT_RDWR,
    SHUT_WR,
    SOCK_STREAM,
    socket,
)
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.ssl import SSLSocket

from ... import sse
from ..access.limits import FREE_SEAT, Seat
from ..access.principal import Principal
from ..http_date import http_date
from . import notices, tcp_info
from .broadcast import Broadcast
from .log import Batch
from .subscriber import Subscriber

_READ, _WRITE = 1, 2
_RESUMED = 128 << 10
"""Bytes that a slow subscriber is offered each time it becomes writable: its buffer has room for little more."""
_CHATTER = 64 << 10
"""Bytes that a subscriber may send after its request before it is dropped: it has no reason to send any."""


class BareConnection:
    """A connection that its server has not wrapped yet: a plain socket that does not block."""

    __slots__ = ("socket",)

    def __init__(self, socket: socket) -> None:
        self.socket = socket


def can_take_over(environ: dict[str, Any]) -> bool:
    """Whether this request arrived on a plain socket of gunicorn's gevent worker, from a client that understands chunks.

    Only the socket's own type counts: `wsgi.url_scheme` may be what a proxy, or a client, has said in a header.
    """
    connection = environ.get("gunicorn.socket")
    if type(connection) is BareConnection:
        return True
    plain = isinstance(connection, gevent_socket.socket) and not isinstance(connection, SSLSocket)
    return plain and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"


class Taken:
    """A connection taken over: its descriptor, which the server no longer has."""

    def __init__(self, environ: dict[str, Any]) -> None:
        connection = environ["gunicorn.socket"]
        if type(connection) is BareConnection:
            self.socket = connection.socket
            return
        family, proto = connection.family, connection.proto
        self.socket = socket(family, SOCK_STREAM, proto, connection.detach())
        self.socket.setblocking(False)


@lru_cache(maxsize=16)
def head(headers: tuple[tuple[str, str], ...], second: int) -> bytes:
    """The response head at a time in epoch seconds. The body is chunked, and the connection is not reused."""
    first = f"HTTP/1.1 200 OK\r\nDate: {http_date(second)}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    return (first + "".join([f"{name}: {value}\r\n" for name, value in headers]) + "\r\n").encode("latin-1")


class SocketSubscriber(Subscriber):
    """A subscriber on a socket taken over. It takes nothing until `release`: its replay comes first."""

    __slots__ = ("_broadcast", "_chatter", "_reader", "_rest", "_socket", "_writer")
    path = "socket"

    def __init__(
        self, id: int, now: float, principal: Principal, taken: Taken, broadcast: Broadcast, seat: Seat = FREE_SEAT
    ) -> None:
        super().__init__(id, now, principal, seat)
        self.blocked = True
        self._socket = taken.socket
        self._broadcast = broadcast
        self._rest: bytes | memoryview = b""
        self._chatter = 0
        self._reader: Any = None
        self._writer: Any = None

    # -- what the flush loop and the sweep call ----------------------------------------------------------------------

    def take(self, batch: Batch, now: float) -> None:
        data = batch.joined(sse.chunk)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.leave()
            return
        if sent == len(data):
            self.position = batch.position
            self.offset = batch.offset
            self.last = self.active = now
            return
        self._tear(batch, sent)
        self._broadcast.counters.sent_bytes += sent
        self._block(sent, now)

    def write(self, frame: bytes, now: float) -> None:
        data = sse.chunk(frame)
        sent = self._send(data)
        if sent is None:
            return
        if sent == len(data):
            self.last = self.active = now
        else:
            self._rest = data[sent:]
            self._block(sent, now)

    def begin(self, first: bytes, page: bytes = b"") -> bool:
        """Send a part of the response's beginning, then a page that others share, once all before it was sent; returns
        whether the socket has taken it all."""
        if not first:
            return True
        try:
            sent = self._socket.sendmsg((first, page)) if page else self._socket.send(first)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.leave()
            return False
        begun = sent - len(first)
        self._rest = memoryview(page)[begun:] if begun >= 0 else first[sent:] + page
        return not self._rest

    def offer(self, data: bytes) -> None:
        """During its replay: what comes next for it, once all before it was sent."""
        self._rest = data

    def send_rest(self, ready: Callable[[SocketSubscriber], None]) -> bool:
        """During its replay: send what was offered. If the socket does not take it all, return False and call `ready` when
        it is writable again."""
        if not self._rest:
            return True
        sent = self._send(self._rest)
        if sent is None:
            return False
        if sent:
            self.last = self.active = time.monotonic()
        if sent == len(self._rest):
            self._rest = b""
            return True
        self._rest = memoryview(self._rest)[sent:]
        if self._writer is None:
            self._writer = gevent.get_hub().loop.io(self._socket.fileno(), _WRITE)
        self._writer.start(_writable_again, self, ready)
        return False

    def release(self) -> None:
        """Its replay is over: from now on it gets live events."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.notice_leaving()
        view = self.view
        if view is not None and self.position == view.head and not self._rest and self.finishing is None:
            self.blocked = False  # it is where the log is, as most new subscribers are
        else:
            self._resume()

    def notice_leaving(self) -> None:
        """From now on it is closed as soon as its peer leaves."""
        if self._reader is None and not self.closed:
            self._reader = gevent.get_hub().loop.io(self._socket.fileno(), _READ)
            self._reader.start(_readable, self)

    def finish(self, retry_ms: int) -> None:
        self.finishing = retry_ms
        if not self.blocked:
            self._resume()

    def expel(self, reason: str) -> None:
        if self.blocked:  # a frame after half a frame would be garbage
            self._broadcast.counters.dropped[reason] += 1
            self.drop()
        else:
            self.dismiss(reason)

    def dismiss(self, reason: str) -> None:
        """As `expel`, where the last frame was sent whole."""
        self._broadcast.counters.dropped[reason] += 1
        self._say_goodbye(notices.RETRY_MS, reason)

    def drop(self) -> None:
        """Close in both directions, so that a peer that reads nothing learns of it at once."""
        self._close(SHUT_RDWR)

    def has_vanished(self, seconds: float) -> bool:
        return tcp_info.has_vanished(self._socket, seconds)

    def address(self) -> str | None:
        try:
            host, port = self._socket.getpeername()[:2]
        except (OSError, ValueError):  # gone, or a unix socket
            return None
        return f"{host}:{port}"

    def leave(self) -> None:
        """The peer has gone."""
        if not self.closed:
            self._broadcast.counters.left += 1
            self._close(None)

    def _send(self, data: bytes | memoryview) -> int | None:
        """The number of bytes that the socket has taken; None if the peer has gone. `take`, the hot path, does the same
        without the call."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.leave()
            return None

    # -- incomplete sends -----------------------------------------------------------------------------------------------

    def _tear(self, batch: Batch, sent: int) -> None:
        """Only `sent` bytes of `batch` were sent. Keep the rest of the one torn frame; the others are in the log.

        If the ring has moved past those meanwhile, keep all the bytes instead of creating a gap.
        """
        count, rest = batch.split(sent, sse.chunk)
        view = self.view
        if view is not None and batch.start + count < view.first:
            count, rest = len(batch.frames), batch.joined(sse.chunk)[sent:]
        self._rest = rest
        if count:
            self.position = batch.start + count
            self.offset = batch.offsets[count - 1]

    def _block(self, sent: int, now: float) -> None:
        """A send was incomplete: wait until the socket is writable."""
        if sent:
            self.active = self.last = now
        self.blocked = True
        if self._writer is None:
            self._writer = gevent.get_hub().loop.io(self._socket.fileno(), _WRITE)
            self._writer.start(_writable, self)

    def _resume(self) -> None:
        """It is writable: send the rest of the torn frame, then what the log has for it."""
        now = time.monotonic()
        while not self.closed:
            batch = None if self._rest else self._next()
            data = self._rest or (batch.joined(sse.chunk) if batch else b"")
            if not data:
                break
            sent = self._send(data)
            if sent is None:
                return
            counters = self._broadcast.counters
            if batch is None:
                self._rest = data[sent:]
            else:
                before = self.position
                if sent == len(data):
                    self.position, self.offset = batch.position, batch.offset
                else:
                    self._tear(batch, sent)
                counters.deliveries += self.position - before
            counters.sent_bytes += sent
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
            self._say_goodbye(self.finishing, "shutdown")

    def _next(self) -> Batch | None:
        """The next batch for it; None if it has caught up, or if a gap, now in `_rest`, comes first."""
        view, broadcast = self.view, self._broadcast
        if view is None:
            return None
        with broadcast.lock:
            gap = broadcast.gap(self)
            if gap:
                self._rest = sse.chunk(gap)
                return None
            return view.read(self.position, _RESUMED) if self.position < view.head else None

    def _say_goodbye(self, retry_ms: int, reason: str) -> None:
        cursor = self._broadcast.epochs.cursor(self.offset)
        frame = notices.closing(cursor, self._broadcast.wall(), retry_ms=retry_ms, reason=reason)
        try:
            self._socket.send(sse.chunk(frame) + sse.LAST_CHUNK)
        except OSError:
            pass  # its buffer is full or it has gone; either way it can resume from its cursor
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
        self.seat.release()
        self._broadcast.detach(self)


def _readable(subscriber: SocketSubscriber) -> None:
    """The peer has sent something, or has left.

    A peer that closes only its sending half counts as gone: until something is sent to it, it cannot be distinguished
    from a peer that has closed altogether, and a subscriber that left must not be counted until then.
    """
    try:
        received = subscriber._socket.recv(16384, MSG_DONTWAIT)
    except BlockingIOError:
        return
    except OSError:
        received = b""
    if not received:
        subscriber.leave()
        return
    subscriber._chatter += len(received)
    if subscriber._chatter > _CHATTER:
        subscriber._broadcast.counters.dropped["chatter"] += 1
        subscriber.drop()


def _writable_again(subscriber: SocketSubscriber, ready: Callable[[SocketSubscriber], None]) -> None:
    subscriber._writer.stop()
    ready(subscriber)


def _writable(subscriber: SocketSubscriber) -> None:
    subscriber._resume()
