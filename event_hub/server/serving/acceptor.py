"""Accepting connections, a bounded number in each turn of the event loop.

After a restart all subscribers come back at once. A connection whose first request is a plain GET of the stream is served
where it was accepted, without a greenlet and a gevent socket of its own: its request is nearly always there already, and its
descriptor belongs to the broadcast right after. If that has to wait, the next turn of the loop accepts in another greenlet.
Every other connection gets a greenlet, with the bytes received so far. While descriptors are exhausted, new ones wait.
"""

from __future__ import annotations

import errno
import logging
import time
from _socket import SOCK_STREAM, socket
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Protocol

from gevent.server import StreamServer

from ..streaming.sockets import BareConnection
from .direct import HEAD, PIECE, STREAM, DirectServer, StreamRequest, Unsent

logger = logging.getLogger(__name__)

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of `accept` that end when others close something."""
_PAUSE = 0.1
"""Seconds until the next attempt; meanwhile, connections wait in the listener's backlog."""
_QUIET = 60.0
"""Seconds between two lines in the log."""
_MOMENT = 0.001
"""Seconds for which connections are left to another worker process, …"""
_LEFT = 5
"""… at most this often in a row: it may be busy."""
_STREAMS = 16
"""Connections accepted in one turn of the loop."""
_OTHERS = 8
"""Those of them that may get a greenlet: all of their requests come before anything else that is due."""
_SLICE = 0.001
"""Seconds after which a turn accepts no more: that is how long everything else that is due waits."""
_KNOWN = 64
"""Heads of requests that are kept parsed: those who come back at once mostly send the same one."""


class Owner(Protocol):
    """What an `Acceptor` needs of the worker that it accepts for."""

    direct: DirectServer | None
    """Serves streams where they were accepted; None: every connection gets a greenlet."""

    def connection(self, family: int, proto: int, descriptor: int) -> Any:
        """A connection with a greenlet of its own (`worker.MeteredConnection`)."""

    def ahead(self) -> bool:
        """Whether another worker process should accept the next connections."""

    def has_room(self) -> bool:
        """Whether a connection may be kept open for another request."""

    def failed(self, connection: Any, address: Any, error: Exception) -> None:
        """Serving a connection has failed: log or answer it, and close."""


class Acceptor(StreamServer):
    """Accepts the connections of one listener. `facts`: the part of the WSGI environ that they all have in common; `handle`:
    serves a connection that has a greenlet of its own, to its end."""

    def __init__(
        self, listener: Any, owner: Owner, facts: dict[str, Any], handle: Callable[[Any, Any], None], pool: Any
    ):
        super().__init__(listener, handle=handle, spawn=pool)
        self.max_accept = 1
        self._owner = owner
        self._pool = pool
        self._alone = handle
        self._left = 0
        """How often in a row the next connections were left to another worker process."""
        self._due = False
        """`_accept_some` has not begun yet."""
        self._logged = float("-inf")
        direct = owner.direct
        self._known = None if direct is None else lru_cache(_KNOWN)(partial(direct.stream_request, facts))

    def do_read(self) -> Any:
        listener: Any = self.socket
        try:
            descriptor, address = listener._accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._wait(error)
            return None
        return self._owner.connection(listener.family, listener.proto, descriptor), address

    def _wait(self, error: OSError) -> None:
        """Wait until others close something."""
        if time.monotonic() - self._logged > _QUIET:
            self._logged = time.monotonic()
            logger.warning("new connections have to wait: %s (raise `ulimit -n`)", error.strerror)
        self._pause(_PAUSE)

    def _pause(self, seconds: float) -> None:
        """Stop accepting: the listener stays readable, so the loop would try again at once."""
        self.stop_accepting()
        self._timer: Any = self.loop.timer(seconds)  # gevent's own: `stop_accepting` and `close` stop it
        self._timer.start(self._again)

    def _again(self) -> None:
        if self.started:
            self.start_accepting()

    def _do_read(self) -> None:
        """Called in each turn of the loop in which connections wait."""
        if self.full():
            super()._do_read()  # type: ignore[misc]  # stops accepting until a slot is free
        elif not self._due:
            if self._left < _LEFT and self._owner.ahead():
                self._left += 1
                self._pause(_MOMENT)
                return
            self._left = 0
            self._due = True
            self._pool.spawn(self._accept_some)

    def _accept_some(self) -> None:
        self._due = False
        until = time.perf_counter() + _SLICE
        others = 0
        for _ in range(_STREAMS):
            if self.closed:
                return
            listener: Any = self.socket
            try:
                descriptor, address = listener._accept()
            except BlockingIOError:
                return
            except OSError:
                super()._do_read()  # type: ignore[misc]  # meets the same error, and accepts nothing for a moment
                return
            self.delay = self.min_delay
            connection = self._serve(listener.family, listener.proto, descriptor, address)
            if connection is not None:
                if self._pool.full():
                    self._handle_and_close(connection, address)  # in the slot of this greenlet
                    return
                self._pool.spawn(self._handle_and_close, connection, address)
                others += 1
            if others == _OTHERS or time.perf_counter() > until:
                return

    def _handle_and_close(self, connection: Any, address: Any) -> None:
        try:
            self._alone(connection, address)
        finally:
            connection.close()

    def _serve(self, family: int, proto: int, descriptor: int, address: Any) -> Any:
        """Serve a stream at once; returns the connection if it needs a greenlet of its own, otherwise None."""
        owner, known = self._owner, self._known
        if known is None:
            return owner.connection(family, proto, descriptor)
        plain = socket(family, SOCK_STREAM, proto, descriptor)
        plain.setblocking(False)
        try:
            data = plain.recv(PIECE)
        except BlockingIOError:
            return owner.connection(family, proto, plain.detach())
        except OSError:
            data = b""
        if not data:
            plain.close()
            return None
        end = data.find(b"\r\n\r\n") + 4
        unsent = None
        try:
            if 4 <= end <= HEAD and data.startswith(STREAM) and (request := known(data[:end])) is not None:
                unsent = self._open_stream(request, plain, address)
                data = data[end:]
        except StopIteration:  # the broadcast has it now
            return None
        except Exception as error:
            owner.failed(owner.connection(family, proto, plain.detach()), address, error)
            return None
        except BaseException:
            plain.close()
            raise
        connection = owner.connection(family, proto, plain.detach())
        connection.unsent = unsent
        connection.unread(data)
        return connection

    def _open_stream(self, request: StreamRequest, plain: socket, address: Any) -> Unsent:
        """Raises StopIteration if the stream is open, and returns the answer if it was refused."""
        owner = self._owner
        assert owner.direct is not None
        environ = request.environ.copy()
        environ["gunicorn.socket"] = BareConnection(plain)
        environ.update(peer(address))
        response, answer = owner.direct.open_stream(environ, request.keep_alive and owner.has_room())
        return Unsent(response, answer)


def peer(address: Any) -> dict[str, str]:
    """A client's address as WSGI names it; empty for a Unix socket."""
    if isinstance(address, tuple) and address:
        return {"REMOTE_ADDR": address[0], "REMOTE_PORT": str(address[1])}
    return {"REMOTE_ADDR": ""}
