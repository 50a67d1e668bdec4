"""Balance between worker processes: one that has more connections than another leaves new ones to it, for a moment. They
share their listeners, and whichever wakes first accepts: often the same one, because a busy process is awake.

Imported by gunicorn's master before it starts workers, so that all of them share the memory.
"""

from __future__ import annotations

import mmap
import os

_MOST = 64
"""Worker processes at most (HUB_WORKERS)."""
_FREE = 4
"""Connections by which a worker may be ahead of another, and …"""
_SHARE = 8
"""… in addition this part of its own."""

_memory = mmap.mmap(-1, _MOST * 8)
_table = memoryview(_memory).cast("I")
"""For each worker its process id and its number of connections."""


class Balance:
    """One worker's place among the others. `table`: two numbers for each worker."""

    def __init__(self, table: memoryview = _table) -> None:
        self._table = table
        self._own = 0
        for place in range(0, len(table), 2):
            if not table[place] or not _runs(table[place]):
                self._own = place
                break
        self._table[self._own], self._table[self._own + 1] = os.getpid(), 0

    def ahead(self, connections: int) -> bool:
        """Whether another worker has so many fewer than these `connections` of this one that it should accept the next."""
        table, own = self._table, self._own
        if table[own] != os.getpid():  # two have taken the same place at once
            return False
        table[own + 1] = connections
        most = connections - _FREE - connections // _SHARE
        return any(
            table[place + 1] < most and _runs(table[place])
            for place in range(0, len(table), 2)
            if place != own and table[place]
        )

    def leave(self) -> None:
        """This worker ends: it accepts nothing more."""
        if self._table[self._own] == os.getpid():
            self._table[self._own] = 0


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
