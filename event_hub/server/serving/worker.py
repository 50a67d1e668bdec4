"""gunicorn's gevent worker for the hub: fair between connections, and with an orderly drain at its end."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import signal
import socket
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.event import Event
from gevent.pool import Pool
from gunicorn.http.errors import ConfigurationProblem, InvalidHeader, UnsupportedTransferCoding
from gunicorn.http.wsgi import base_environ
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from ..errors import RequestError
from ..http.body import Metered
from . import ending, patching, protocol_errors
from .acceptor import Acceptor, peer
from .balance import Balance
from .dead_peers import detect_dead_peers
from .direct import DirectServer, Unsent
from .idle import IdleConnections
from .turnstile import Turnstile

_PR_SET_PDEATHSIG = 1
_DIRECT = 0.2
"""What a request served directly costs, in requests served by gunicorn."""
_BEAT = 1.0
"""Seconds between two signs of life to the master."""
_DISCARDED = 1 << 20
"""Bytes of an unread body that are discarded before the connection is closed."""


class MeteredConnection(gevent_socket.socket, Metered):
    """A client's connection. gunicorn waits forever for a client that does not read, and reads without a pause from a
    client that sends without end; here neither affects other clients."""

    _sock: Any  # gevent's own: the plain socket below it, which does not block

    def __init__(
        self, family: int, proto: int, descriptor: int, *, stall: float, turnstile: Turnstile, idle: IdleConnections
    ) -> None:
        super().__init__(family, socket.SOCK_STREAM, proto, fileno=descriptor)
        self.setblocking(True)
        self.progress = time.monotonic()
        """When the peer last took something."""
        self.received = False
        """Something was received since the last request: the next request was not yet in the buffer."""
        self._stall = stall
        self._turnstile = turnstile
        self._idle = idle
        self.waited = False
        """Others could run since the last request that was served directly: the next one was not there yet."""
        self.unsent: Unsent | None = None
        """The answer to its first request, if that was made before it had a greenlet."""
        self._left: int | None = None
        self._pending = b""
        self._discarding = False
        """Between two requests: gunicorn discards what a route has not read of a body."""

    def meter(self, limit: int | None) -> None:
        self._left = limit
        self._discarding = False

    def between_requests(self) -> None:
        """Until the next request: a client may not keep the loop busy with a body that no route reads."""
        self._left = _DISCARDED
        self._discarding = True
        self.received = False

    def end_input(self) -> None:
        """Let the greenlet that waits for a request read the end of the connection. (gevent's own `shutdown` would raise an
        error in it.)"""
        self._sock.shutdown(socket.SHUT_RDWR)

    def receive(self, size: int) -> bytes:
        """Up to `size` bytes of a head, without the meter. Sets `waited` if there were none yet."""
        received: bytes
        if self._pending:
            received, self._pending = self._pending[:size], self._pending[size:]
        else:
            try:
                received = self._sock.recv(size)
            except BlockingIOError:
                received = super().recv(size)
                self.waited = True
        self._idle.busy(self)
        return received

    def idle(self) -> None:
        """It waits for a request."""
        self._idle.add(self)

    def take_turn(self) -> None:
        """Return when a request served directly may proceed that reads, or for which the loop did not have to wait."""
        self._turnstile.wait(_DIRECT)

    def unread(self, data: bytes) -> None:
        """The next `receive` or `recv` begins with `data`."""
        self._pending = data + self._pending

    def recv(self, *arguments: Any) -> bytes:
        received: bytes
        if self._pending:
            size = arguments[0]
            received, self._pending = self._pending[:size], self._pending[size:]
        else:
            received = super().recv(*arguments)
        first, self.received = not self.received, True
        self._idle.busy(self)
        if received.startswith(b"GET "):
            self._turnstile.wait()
        if self._left is not None:
            self._left -= len(received)
            if self._left < 0:
                if self._discarding:
                    raise ConnectionResetError(errno.ECONNRESET, "the client keeps sending a body that no route reads")
                raise RequestError("bad_body", "the body consists almost entirely of chunk headers")
            if not (first and self._discarding):
                gevent.sleep(0)
        return received

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            sent = self._sock.send(data, flags)  # nearly always takes all of a response
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
            raise ConnectionResetError(errno.ECONNRESET, "the client does not read") from None
        finally:
            self.settimeout(None)


class HubWorker(GeventWorker):
    """Accepts connections until it is told to stop, then drains the hub. gunicorn's own worker would wait for streams that
    never end, and check for the signal only once a second."""

    def init_process(self) -> None:
        self._stop: Event = Event()
        self._reload = False
        protocol_errors.install()
        if sys.platform == "linux":
            # Without a master no worker is restarted, and the next hub needs our port and our history.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        super().init_process()

    def run(self) -> None:
        application: Any = self.wsgi
        hub = application.hub()
        # What is loaded by now stays: exempt it from collection. And collect less often: a batch allocates thousands.
        gc.collect()
        patching.serving()
        gc.set_threshold(20_000, 20, 20)
        self._stall = hub.settings.stall
        self._turnstile = Turnstile()
        # A stream on a socket that was taken over leaves the pool at once; one through WSGI keeps its slot.
        self._pool = Pool(hub.max_connections + hub.streams.max_subscribers)
        self._idle = IdleConnections()
        self._direct = self._direct_server(application)
        self.direct = self._direct if hub.settings.takeover else None
        self._balance = Balance() if self.cfg.workers > 1 else None
        self._hub = hub
        servers = []
        for listener in self.sockets:
            listener.setblocking(True)
            detect_dead_peers(listener, self._stall)
            facts = _server(listener.getsockname())
            server = Acceptor(listener, self, facts, partial(self.handle, listener, facts), self._pool)
            server.start()
            servers.append(server)
        while self.alive:
            self.notify()
            if self._reload:
                self._reload = False
                hub.access.reload()
                hub.insight.reload()
            self._idle.end_older(self.cfg.keepalive)
            self._stop.wait(_BEAT)
        until = time.monotonic() + hub.settings.drain
        alone = self.cfg.workers > 1 and not ending.of_the_hub()
        if not alone:
            hub.end_agents()
        for server in servers:
            server.close()
        if self._balance is not None:
            self._balance.leave()
        hub.drain(until - time.monotonic(), alone=alone)

    def init_signals(self) -> None:
        super().init_signals()
        signal.signal(signal.SIGHUP, self._handle_hup)

    def _handle_hup(self, sig: int, frame: FrameType | None) -> None:
        """Keys and prices are read again within a second; no stream of a key that stays is affected."""
        self._reload = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False
        self._stop.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C loses nothing either."""
        self.handle_exit(sig, frame)

    def connection(self, family: int, proto: int, descriptor: int) -> MeteredConnection:
        """For `Acceptor`."""
        return MeteredConnection(
            family, proto, descriptor, stall=self._stall, turnstile=self._turnstile, idle=self._idle
        )

    def handle(self, listener: Any, server: dict[str, str], client: Any, addr: Any) -> None:  # type: ignore[override]
        connection: MeteredConnection = client  # from `Acceptor`
        self._idle.add(connection)
        if self._pool.free_count() < 1:
            self._idle.evict(connection)
        try:
            if self._direct is None or self._left_to_gunicorn(self._direct, server, connection, addr):
                AsyncWorker.handle(self, listener, connection, addr)
        finally:
            self._idle.busy(connection)

    def _direct_server(self, application: Any) -> DirectServer | None:
        """None if gunicorn is to do something with every request that only gunicorn can."""
        cfg = self.cfg
        if cfg.accesslog or cfg.statsd_host or cfg.proxy_protocol not in (False, "off") or "SCRIPT_NAME" in os.environ:
            return None
        return DirectServer(application, {**base_environ(cfg), "wsgi.multithread": True})

    def _left_to_gunicorn(
        self, direct: DirectServer, server: dict[str, str], connection: MeteredConnection, addr: Any
    ) -> bool:
        """Whether the connection is left to gunicorn."""
        facts = {"gunicorn.socket": connection, **server, **peer(addr)}
        try:
            rest = direct.serve(connection, facts, self.has_room)
        except StopIteration:  # as under gunicorn: nothing more is to be done with this connection
            rest = None
        except Exception as error:
            self.failed(connection, addr, error)
            return False
        except BaseException:
            connection.close()
            raise
        if rest is None:
            connection.close()
            return False
        connection.unread(rest)
        return True

    def failed(self, connection: MeteredConnection, addr: Any, error: Exception) -> None:
        """Serving a connection directly has failed: close it, and say why, unless its client has gone."""
        if not isinstance(error, OSError):
            self.handle_error(None, connection, addr, error)
        elif error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF):
            self.log.error("a connection failed", exc_info=error)
        connection.close()

    def ahead(self) -> bool:
        """Whether another worker process should accept the next connections."""
        if self._balance is None:
            return False
        hub = self._hub
        return self._balance.ahead(hub.broadcast.count + hub.counters.opening.count + len(self._pool))

    def has_room(self) -> bool:
        """Whether a connection may be kept open for another request."""
        return bool(self.alive) and self._pool.free_count() > 0

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """gunicorn answers two faults of a request with 500 and 501: a transfer coding that it does not know, and, from a
        proxy, a path outside SCRIPT_NAME. Neither is a fault of the hub, so both get 400."""
        if isinstance(exc, UnsupportedTransferCoding):
            exc = InvalidHeader("TRANSFER-ENCODING")
        elif isinstance(exc, ConfigurationProblem):
            exc = InvalidHeader("SCRIPT_NAME")
        super().handle_error(req, client, addr, exc)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """gunicorn serves pipelined requests without a pause: a request that was already in the buffer waits its turn."""
        self._idle.busy(sock)
        if not sock.received:
            self._turnstile.wait()
        sock.meter(None)
        if self._pool.free_count() < 1:
            req.force_close()  # others wait for a slot
        again = super().handle_request(listener_name, req, sock, addr)
        sock.between_requests()
        self._idle.add(sock)
        return again


def _server(address: Any) -> dict[str, str]:
    """The address of a listener as WSGI names it; that of a Unix socket is a path, without a port."""
    host, port = address[:2] if isinstance(address, tuple) else (address, "")
    return {"SERVER_NAME": str(host), "SERVER_PORT": str(port)}
