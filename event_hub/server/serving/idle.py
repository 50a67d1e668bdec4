"""Idle connections: those that wait for a request. They give way when no slot is left for a new connection."""

from __future__ import annotations

import itertools
import time
from typing import Any


class IdleConnections:
    """The idle connections of one worker, the one that has been idle longest first."""

    def __init__(self) -> None:
        self._connections: dict[Any, float] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Any) -> None:
        """It waits for a request from now on."""
        self._connections[connection] = time.monotonic()

    def busy(self, connection: Any) -> None:
        """It has received something, or is gone."""
        self._connections.pop(connection, None)

    def evict(self, newcomer: Any) -> None:
        """Close the connection that has been idle longest, other than `newcomer`."""
        longest = next((connection for connection in self._connections if connection is not newcomer), None)
        if longest is not None:
            self._end(longest)

    def end_older(self, seconds: float) -> None:
        """Close the connections that have been idle for more than `seconds`."""
        until = time.monotonic() - seconds
        old = itertools.takewhile(lambda item: item[1] < until, self._connections.items())
        for connection in [connection for connection, _ in old]:
            self._end(connection)

    def _end(self, connection: Any) -> None:
        del self._connections[connection]
        try:
            connection.end_input()  # its greenlet then closes it
        except OSError:
            pass
