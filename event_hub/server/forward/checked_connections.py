"""HTTP connections to addresses that are checked: after the name is resolved, and before the hub connects.

A check of the name alone would not do: it can resolve to another address a moment later (DNS rebinding). A check of the
connection alone would come late: whether it is accepted tells which ports of the network are open.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from ...exception_chain import timed_out


class InternalAddress(OSError):
    """A receiver's name resolves only to addresses that it may not have; `address` is the first."""

    def __init__(self, address: str) -> None:
        address = address.partition("%")[0]
        text = f"its name resolves to {address}, an internal address: if that is right, add it to HUB_FORWARD_INTERNAL"
        super().__init__(errno.EACCES, text)


class CheckedAdapter(HTTPAdapter):
    """Connects only to addresses for which `allowed(host, address)` is true, and skips a name's other addresses. What goes
    through a proxy is resolved there, and not checked."""

    def __init__(self, allowed: Callable[[str, str], bool]) -> None:
        self._allowed = allowed
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        allowed = self._allowed

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, super()._new_conn, allowed)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return _connect(self, super()._new_conn, allowed)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _connect(
    connection: HTTPConnection, new_socket: Callable[[], socket.socket], allowed: Callable[[str, str], bool]
) -> socket.socket:
    """Connect to the first allowed address that accepts; raises `InternalAddress` or another OSError, as `new_socket` does.

    `new_socket` resolves `connection.host`. While it runs, that is an address, so that the name is resolved only here.
    """
    name = connection._dns_host  # `host` lacks a final dot, which matters to the resolver
    found = socket.getaddrinfo(name.strip("[]"), connection.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    permitted = [address for address in addresses if allowed(name, address)]
    if not permitted:
        raise InternalAddress(addresses[0])
    try:
        for number, address in enumerate(permitted, 1):
            connection.host = address
            try:
                return new_socket()
            except (OSError, HTTPError) as error:
                if number == len(permitted) or timed_out(error):  # there is one limit for all
                    raise
    finally:
        connection.host = name
    raise AssertionError("the last address returns or raises")
