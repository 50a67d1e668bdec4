"""gunicorn's gevent worker, with the drain of a hub at its end."""

from __future__ import annotations

import ctypes
import errno
import gc
import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from .body import Metered
from .errors import HubError
from .turnstile import Turnstile

_PR_SET_PDEATHSIG = 1
_ACCEPT = 8
"""Connections that are taken in one turn of the loop: all of their requests come before anything else that is due."""
_BEAT = 1.0
"""Seconds between two signs of life to the master."""


class Connection(gevent_socket.socket, Metered):
    """A client's connection. gunicorn waits for ever for a client that does not read, and reads without a pause what
    one sends without end: neither may cost the others anything."""

    _sock: Any  # gevent's own: the plain socket below it, which does not wait

    def __init__(self, accepted: gevent_socket.socket, stall: float, turnstile: Turnstile) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.setblocking(True)
        self.progress = time.monotonic()
        """When it last took something."""
        self._stall = stall
        self._turnstile = turnstile
        self._left: int | None = None

    def meter(self, limit: int | None) -> None:
        self._left = limit

    def recv(self, *arguments: Any) -> bytes:
        received: bytes = super().recv(*arguments)
        if received.startswith(b"GET "):
            self._turnstile.wait()
        if self._left is not None:
            self._left -= len(received)
            if self._left < 0:
                raise HubError("bad_body", "the body's chunks are nearly all wrapping")
            gevent.sleep(0)
        return received

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            sent = self._sock.send(data, flags)  # nearly always takes all of an answer
        except BlockingIOError:
            sent = 0
        self.progress = time.monotonic()
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        self.settimeout(self._stall)
        try:
            while rest:
                rest = rest[self.send(rest, flags) :]
                self.progress = time.monotonic()
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client takes nothing") from None
        finally:
            self.settimeout(None)


class HubWorker(GeventWorker):
    """Accepts connections until it is told to stop; then no new event and no new stream, and everybody is let go in
    order. gunicorn's own worker would wait for streams that never end, and look for the signal once a second."""

    def init_process(self) -> None:
        self._stop: Event = Event()
        if sys.platform == "linux":
            # Without a master nobody restarts us, and the next hub needs our port and our history.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        super().init_process()

    def run(self) -> None:
        application: Any = self.wsgi
        hub = application.hub()
        # What is loaded stays: never looked at again. And no collection every 700 new objects: a batch makes thousands.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        self._stall = hub.settings.stall
        self._turnstile = Turnstile()
        servers = []
        # A stream whose socket is taken over leaves the pool at once; one that goes through WSGI keeps its place.
        pool = Pool(hub.max_connections + hub.max_subscribers)
        for listener in self.sockets:
            listener.setblocking(True)
            server = StreamServer(listener, handle=partial(self.handle, listener), spawn=pool)
            server.max_accept = _ACCEPT
            server.start()
            servers.append(server)
        while self.alive:
            self.notify()
            self._stop.wait(_BEAT)
        until = time.monotonic() + hub.settings.drain
        hub.end_agents()
        for server in servers:
            server.close()
        hub.drain(until - time.monotonic())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False
        self._stop.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C, too, loses nothing."""
        self.handle_exit(sig, frame)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        AsyncWorker.handle(self, listener, Connection(client, self._stall, self._turnstile), addr)
