"""HTTP connections whose peer is checked after it is resolved and before anything is sent.

A check of the name alone would not do: it can resolve to another address a moment later (DNS rebinding).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class InternalAddress(OSError):
    """A receiver's name resolves to an address that it may not have."""

    def __init__(self, address: str) -> None:
        text = f"its name resolves to {address}, an internal address: if that is right, add it to HUB_FORWARD_INTERNAL"
        super().__init__(errno.EACCES, text)


class CheckedAdapter(HTTPAdapter):
    """Connects only to addresses for which `allowed(host, address)` is true. What goes through a proxy is resolved there,
    and not checked."""

    def __init__(self, allowed: Callable[[str, str], bool]) -> None:
        self._allowed = allowed
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        allowed = self._allowed

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _checked(super()._new_conn(), self.host, allowed)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _checked(super()._new_conn(), self.host, allowed)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _checked(connected: socket.socket, host: str, allowed: Callable[[str, str], bool]) -> socket.socket:
    address = str(connected.getpeername()[0])
    if not allowed(host, address):
        connected.close()
        raise InternalAddress(address)
    return connected
