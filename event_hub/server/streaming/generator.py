"""Streaming through WSGI, wherever a socket cannot be taken over: HTTP/1.0, other servers, test clients.

The same log, the same frames and the same guarantees, at the cost of a greenlet or thread per subscriber. If the server
exposes its socket, a subscriber that leaves is detected within half a second, otherwise with the next write.
"""

from __future__ import annotations

import _socket
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..access.limits import FREE_SEAT, Seat
from ..access.principal import Principal
from . import notices, tcp_info
from .broadcast import Broadcast
from .log import Batch
from .subscriber import Subscriber

MSG_DONTWAIT = getattr(_socket, "MSG_DONTWAIT", 0)
_LOOK = 0.5
"""Seconds between two checks whether the peer is still connected."""


def visible_socket(environ: dict[str, Any]) -> Any:
    """The connection of a request, if its server exposes it; otherwise None."""
    for name in ("gunicorn.socket", "werkzeug.socket", "hub.socket"):  # the last: `serve`'s handler for gevent's server
        if environ.get(name) is not None:
            return environ[name]
    return None


class GeneratorSubscriber(Subscriber):
    """A subscriber that a WSGI server iterates over. At most one flush waits in its mailbox until the server asks for it."""

    __slots__ = ("_broadcast", "_expelled", "_mail", "_socket", "_wake")
    path = "generator"

    def __init__(
        self, id: int, now: float, principal: Principal, sock: Any, broadcast: Broadcast, seat: Seat = FREE_SEAT
    ) -> None:
        super().__init__(id, now, principal, seat)
        self._broadcast = broadcast
        self._socket = sock
        self._expelled: str | None = None
        self._mail: list[bytes] = []
        self._wake = threading.Event()

    def take(self, batch: Batch, now: float) -> None:
        self.position = batch.position
        self.offset = batch.offset
        self.write(batch.joined(), now)

    def write(self, frame: bytes, now: float) -> None:
        self.active = self.last = now
        self.blocked = True
        self._mail.append(frame)
        self._wake.set()

    def finish(self, retry_ms: int) -> None:
        self.finishing = retry_ms
        self._wake.set()

    def expel(self, reason: str) -> None:
        if self._expelled is None:
            self._broadcast.counters.dropped[reason] += 1
            self._expelled = reason
            self._mail.clear()
            self.blocked = True  # no event is added
            self._wake.set()

    def drop(self) -> None:
        self.closed = True
        self._wake.set()
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # a write that is blocked on it fails now
            except OSError:
                pass

    def stalled(self, now: float, stall: float) -> bool:
        # If the connection records its progress (`serving.worker`), a write that is still in progress counts.
        return super().stalled(now, stall) and now - getattr(self._socket, "progress", 0.0) > stall

    def has_vanished(self, seconds: float) -> bool:
        return self._socket is not None and tcp_info.has_vanished(self._socket, seconds)

    def address(self) -> str | None:
        try:
            host, port = self._socket.getpeername()[:2]
        except (OSError, AttributeError, ValueError):
            return None
        return f"{host}:{port}"

    def frames(self) -> Iterator[bytes]:
        """What the server writes, until either side closes the stream."""
        counters = self._broadcast.counters
        try:
            while not self.closed:
                if self._expelled is not None:
                    yield self._closing(notices.RETRY_MS, self._expelled)
                    self.closed = True
                elif self._mail:
                    mail, self._mail = self._mail, []
                    yield b"".join(mail)
                    self._taken()
                elif self.finishing is not None and self._caught_up():
                    yield self._closing(self.finishing, "shutdown")
                    self.closed = True
                elif not self._wake.wait(_LOOK) and self._gone():
                    break
                else:
                    self._wake.clear()
        finally:
            if not self.closed:  # the peer has left, or the server's write has failed
                if self.blocked and self.stalled(time.monotonic(), self._broadcast.stall * 0.9):
                    counters.dropped["stalled"] += 1
                else:
                    counters.left += 1
                self.closed = True
            self._broadcast.detach(self)

    def _closing(self, retry_ms: int, reason: str) -> bytes:
        broadcast = self._broadcast
        return notices.closing(broadcast.epochs.cursor(self.offset), broadcast.wall(), retry_ms=retry_ms, reason=reason)

    def _taken(self) -> None:
        """The server asks for more, so the mailbox is written. The next flush sends what has arrived meanwhile."""
        self.active = time.monotonic()
        self.blocked = False
        self._broadcast.rejoin(self)

    def _caught_up(self) -> bool:
        return self.view is None or self.position >= self.view.head

    def _gone(self) -> bool:
        """Check without blocking, whatever kind of socket the server wraps the descriptor in."""
        if not MSG_DONTWAIT:  # Windows: only the next write shows it
            return False
        try:
            peek = _socket.socket(fileno=self._socket.fileno())
        except (OSError, AttributeError):
            return False
        try:
            return not peek.recv(1, _socket.MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            peek.detach()
