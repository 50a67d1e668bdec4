"""Streaming the plain WSGI way, wherever a socket cannot be taken over: TLS in gunicorn, other servers, test clients.

The same log, the same bytes, the same guarantees; a greenlet or a thread per subscriber. Where the server lets its
socket be seen, one that left is noticed within half a second, else with the next write.
"""

from __future__ import annotations

import _socket
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from .. import sse
from . import notices
from .broadcast import Broadcast, Subscriber

MSG_DONTWAIT = getattr(_socket, "MSG_DONTWAIT", 0)
_LOOK = 0.5
"""Seconds between two looks whether the peer is still there."""


def visible_socket(environ: dict[str, Any]) -> Any:
    """The connection, where this server shows it; else None."""
    for name in ("gunicorn.socket", "werkzeug.socket", "hub.socket"):  # the last: `serve`'s handler for gevent's server
        if environ.get(name) is not None:
            return environ[name]
    return None


class GeneratorSubscriber(Subscriber):
    """A subscriber that a WSGI server iterates over. What it is given waits in one place until the server asks."""

    __slots__ = ("_broadcast", "_mail", "_socket", "_wake")
    path = "generator"

    def __init__(self, id: int, now: float, sock: Any, broadcast: Broadcast) -> None:
        super().__init__(id, now)
        self._broadcast = broadcast
        self._socket = sock
        self._mail: list[bytes] = []
        self._wake = threading.Event()

    def take(self, chunk: bytes, position: int, offset: int, now: float) -> None:
        self.position = position
        self.offset = offset
        self.write(sse.unchunk(chunk), now)

    def write(self, data: bytes, now: float) -> None:
        self.active = self.last = now
        self.blocked = True
        self._mail.append(data)
        self._wake.set()

    def finish(self, retry_ms: int) -> None:
        self.finishing = retry_ms
        self._wake.set()

    def drop(self) -> None:
        self.closed = True
        self._wake.set()
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)  # the write that hangs in it fails now
            except OSError:
                pass

    def stalled(self, now: float, stall: float) -> bool:
        # Where the connection tells (`worker.Connection`), what it took of a write that is still under way counts.
        return super().stalled(now, stall) and now - getattr(self._socket, "progress", 0.0) > stall

    def address(self) -> str | None:
        try:
            host, port = self._socket.getpeername()[:2]
        except (OSError, AttributeError):
            return None
        return f"{host}:{port}"

    def frames(self) -> Iterator[bytes]:
        """What the server writes, until one side ends it."""
        figures = self._broadcast.figures
        try:
            while not self.closed:
                if self._mail:
                    mail, self._mail = self._mail, []
                    yield b"".join(mail)
                    self._taken()
                elif self.finishing is not None and self._caught_up():
                    broadcast = self._broadcast
                    cursor = broadcast.epochs.cursor(self.offset)
                    yield notices.closing(cursor, broadcast.wall(), retry_ms=self.finishing)
                    self.closed = True
                elif not self._wake.wait(_LOOK) and self._gone():
                    break
                else:
                    self._wake.clear()
        finally:
            if not self.closed:  # the peer has ended it, or the server's write has given up
                if self.blocked and self.stalled(time.monotonic(), self._broadcast.stall * 0.9):
                    figures.dropped["stalled"] += 1
                else:
                    figures.left += 1
                self.closed = True
            self._broadcast.detach(self)

    def _taken(self) -> None:
        """The server asks for more: what it had is written. Whatever came meanwhile is for the next flush."""
        self.active = time.monotonic()
        self.blocked = False
        self._broadcast.rejoin(self)

    def _caught_up(self) -> bool:
        return self.view is None or self.position >= self.view.head

    def _gone(self) -> bool:
        """Look without waiting, whatever kind of socket the server has made of the descriptor."""
        if not MSG_DONTWAIT:  # Windows: the next write tells
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
