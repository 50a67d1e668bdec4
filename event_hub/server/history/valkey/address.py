"""Where a Valkey or Redis server is, from the URL in `HUB_HISTORY`.

`redis://user:password@host:6379/0`, `rediss://` (TLS), `unix:///path/to/socket`, and, where the address of the server
changes: `redis+sentinel://host:26379,host:26379/service` and `redis+cluster://host:6379,host:6379`. `valkey:///var/valkey`
is a server that the hub starts itself, with its data in that folder (as in `sqlite:///`, a fourth slash makes the path
absolute). `?prefix=` names the keys, so that several hubs can use one server for different histories.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..base import HistoryError

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "valkey")
SOCKET = "valkey.sock"
_PORTS = {"redis": 6379, "rediss": 6379, "redis+sentinel": 26379, "redis+cluster": 6379}
_PREFIX = re.compile(r"[\w.-]{1,64}", re.ASCII)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::(\d{1,5}))?")
CONNECT_TIMEOUT = 2.0
TIMEOUT = 5.0
"""Seconds to connect, and to wait for an answer."""

INSTALL = "install the packages for it: pip install 'livekit-event-hub[valkey]'"


class ServerAddress:
    """A parsed URL. `connection()` makes a connection to the server that takes writes now."""

    def __init__(self, url: str) -> None:
        """Raises ValueError with a sentence that does not contain the password."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"{parts.scheme}:// is not an address of Valkey or Redis: write redis://host:6379")
        self._scheme = parts.scheme
        query = dict(parse_qsl(parts.query))
        self.prefix = query.pop("prefix", "hub")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError("prefix has up to 64 letters, digits, _, . and -")
        self._tls = parts.scheme == "rediss" or query.pop("tls", "0") == "1"
        self._tls_options = {name: query.pop(name) for name in list(query) if name.startswith("ssl_")}
        if query:
            raise ValueError(f"{next(iter(query))} is unknown: after the ? come prefix=, tls=1 or ssl_…=")
        self._user, self._password = _unquoted(parts.username), _unquoted(parts.password)
        self._service = ""
        self._database = 0
        self._hosts: list[tuple[str, int]] = []
        path = parts.path.strip("/").split("/") if parts.path.strip("/") else []
        self.folder: Path | None = None
        """Of a server that the hub starts itself."""
        if parts.scheme in ("unix", "valkey"):
            if parts.netloc.rpartition("@")[2] or not path:
                raise ValueError(f"the path is missing: write {parts.scheme}:/// and an absolute path")
            self._path = unquote(parts.path)
            if parts.scheme == "valkey":
                self.folder = Path(self._path.removeprefix("/"))
                self._path = str(self.folder.absolute() / SOCKET)
            path = []
        else:
            self._hosts = _hosts(parts.netloc.rpartition("@")[2], _PORTS[parts.scheme])
        if parts.scheme == "redis+sentinel":
            if not path:
                raise ValueError("the name of the service is missing: redis+sentinel://host:26379/mymaster")
            self._service = unquote(path.pop(0))
        if path:
            if len(path) > 1 or not path[0].isdigit() or parts.scheme == "redis+cluster":
                raise ValueError(f"/{'/'.join(path)[:40]} is not the number of a database")
            self._database = int(path[0])
        if len(self._hosts) > 1 and "+" not in parts.scheme:
            raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")

    @property
    def shown(self) -> str:
        """The URL without user and password, for messages."""
        if self.folder is not None:
            return f"the hub's own Valkey in {self.folder}"
        if self._scheme == "unix":
            return f"unix://{self._path}"
        hosts = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self._hosts)
        path = f"/{quote(self._service)}" if self._service else ""
        return f"{self._scheme}://{hosts}{path}{f'/{self._database}' if self._database else ''}{self._more}"

    @property
    def _more(self) -> str:
        return f"?{urlencode({'prefix': self.prefix})}" if self.prefix != "hub" else ""

    @property
    def elected(self) -> bool:
        """Which server takes writes is decided elsewhere, so that one has to ask it for its role."""
        return self._scheme == "redis+sentinel"

    def connection(self, timeout: float = TIMEOUT) -> Any:
        """A new connection of redis-py's, not yet connected. Raises redis-py's errors, and `HistoryError` if that is not
        installed."""
        kind, options = self._kind_and_options(timeout)
        return kind(**options)

    def pool(self, size: int) -> Any:
        """A pool of up to `size` connections, for a library that needs one. Raises as `connection`."""
        kind, options = self._kind_and_options(CONNECT_TIMEOUT)
        return load_redis().connection.BlockingConnectionPool(
            max_connections=size, timeout=CONNECT_TIMEOUT, connection_class=kind, **options
        )

    def _kind_and_options(self, timeout: float) -> tuple[Any, dict[str, Any]]:
        redis = load_redis()
        options = self._options(redis, timeout)
        if self._scheme in ("unix", "valkey"):
            return redis.connection.UnixDomainSocketConnection, {**options, "path": self._path}
        host, port = self._server(redis)
        return self._tcp(redis), {**options, "host": host, "port": port}

    def _tcp(self, redis: Any) -> Callable[..., Any]:
        """Makes a connection, with TLS if the URL says so."""
        if not self._tls:
            return redis.connection.Connection  # type: ignore[no-any-return]
        return partial(redis.connection.SSLConnection, **self._tls_options)

    def _options(self, redis: Any, timeout: float) -> dict[str, Any]:
        # Without these, redis-py resends a command up to ten times, scripts that append included.
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        # Who we are would be two more answers to wait for on each connection.
        unnamed = ("driver_info",) if hasattr(redis, "driver_info") else ("lib_name", "lib_version")
        return {
            **dict.fromkeys(unnamed),
            "db": self._database,
            "username": self._user,
            "password": self._password,
            "socket_timeout": timeout,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "retry": retry,
            "protocol": 2,
        }

    def _server(self, redis: Any) -> tuple[str, int]:
        """The server that takes writes now."""
        if self._scheme == "redis+sentinel":
            options = {"socket_timeout": CONNECT_TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT}
            host, port = redis.sentinel.Sentinel(self._hosts, **options).discover_master(self._service)
            return str(host), int(port)
        if self._scheme == "redis+cluster":
            return self._node(redis)
        return self._hosts[0]

    def _node(self, redis: Any) -> tuple[str, int]:
        """The node of a cluster that has our slot."""
        last: Exception = redis.exceptions.ConnectionError(f"no node of {self.shown} answers")
        options = self._options(redis, CONNECT_TIMEOUT)
        for host, port in self._hosts:
            connection = self._tcp(redis)(**{**options, "host": host, "port": port, "db": 0})
            try:
                connection.send_command("CLUSTER", "KEYSLOT", f"{{{self.prefix}}}:events")
                slot = connection.read_response()
                connection.send_command("CLUSTER", "SLOTS")
                for first, end, node, *_ in connection.read_response():
                    if first <= slot <= end:
                        return node[0].decode() or host, int(node[1])
            except (redis.exceptions.RedisError, OSError) as error:
                last = error
            finally:
                connection.disconnect()
        raise last


def load_redis() -> Any:
    """The package redis, with its submodules; raises `HistoryError` if it is not installed."""
    try:
        import redis
        import redis.backoff
        import redis.connection
        import redis.exceptions
        import redis.retry
        import redis.sentinel
    except ImportError:
        raise HistoryError(f"a history in Valkey needs Python packages that are missing: {INSTALL}") from None
    return redis


def _hosts(text: str, port: int) -> list[tuple[str, int]]:
    hosts = []
    for part in text.split(",") if text else ["localhost"]:
        found = _HOST.fullmatch(part)
        if found is None or not 0 < int(found[2] or port) < 65536:
            raise ValueError(f"{part[:60]!r} is not HOST:PORT")
        hosts.append((unquote(found[1].strip("[]")), int(found[2] or port)))
    return hosts


def _unquoted(text: str | None) -> str | None:
    return None if text is None else unquote(text)
