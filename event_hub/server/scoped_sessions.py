"""Sessions as each principal may see them: computed from the events within its scope alone.

A session can have events of several rooms and of none (a webhook, an agent's exit), so a session of all events would show
those who may see one room what happened elsewhere.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from .filters import Scope
from .history import HistoryReader
from .session_reader import SessionReader

_KEPT = 16
"""Scopes whose sessions are kept: each costs as much as the sessions in it."""


class ScopedSessions:
    """A `SessionReader` for each scope. Thread-safe."""

    def __init__(self, history: HistoryReader) -> None:
        self._history = history
        self._everything = SessionReader(history)
        self._scoped: OrderedDict[Scope, SessionReader] = OrderedDict()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Empty the caches, because events were erased."""
        with self._lock:
            self._scoped.clear()
        self._everything.clear()

    def of(self, scope: Scope | None) -> SessionReader:
        """The sessions of those who may see `scope`; None: everything."""
        if scope is None:
            return self._everything
        with self._lock:
            reader = self._scoped.pop(scope, None) or SessionReader(self._history, within=scope)
            self._scoped[scope] = reader
            if len(self._scoped) > _KEPT:
                self._scoped.popitem(last=False)
        return reader
