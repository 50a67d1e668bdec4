"""Closing a connection: after a response to a request whose body was not read to its end, and within a response."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from ..streaming.generator import visible_socket

UNREAD = frozenset({"bad_body", "body_too_large", "body_timeout", "unsupported_encoding"})
"""Errors that leave part of the body unread: the connection cannot be reused."""
_LINGER, _LINGER_BYTES = 2.0, 64 << 20
"""Maximum seconds and bytes to keep reading from a client that continues to send, so that it gets to read the response."""


class ThenClose:
    """A response after which the connection is closed: what the client sends next is the rest of a body, not a request."""

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


def cut(environ: dict[str, Any]) -> ConnectionResetError:
    """What a response raises to end before it is complete, so that its client notices: servers then close the connection
    without the last chunk, and log nothing. HTTP/1.0 has no chunks, so there the connection is reset."""
    connection = visible_socket(environ)
    if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return ConnectionResetError(errno.ECONNRESET, "the response ends before it is complete")


def _hang_up(connection: Any) -> None:
    """Close, but continue to read for a moment: a reset would discard the response for a client that is still sending."""
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
