"""Sessions as each principal may see them: computed from the events within its scope alone.

A session can have events of several rooms and of none (a webhook, an agent's exit), so a session of all events would show
those who may see one room what happened elsewhere. Where every viewer has a token for one room, there are as many scopes as
rooms: each is computed from the events of its room, which the history finds by an index.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..sessions.session import NOWHERE, ROOM
from .cooperate import Turns
from .filters import Scope
from .history import HistoryReader
from .session_reader import SessionReader

BUDGET = 128 << 20
"""Bytes, approximately, that the sessions of all scopes may take in memory: thousands of rooms whose conversations are being
read, or two scopes with the maximum number of sessions."""


class ScopedSessions:
    """A `SessionReader` for each scope; those that were used last are kept. Thread-safe."""

    def __init__(self, history: HistoryReader, turns: Turns, budget: int = BUDGET) -> None:
        self._history = history
        self._turns = turns
        self._budget = budget
        self._everything = SessionReader(history, turns=turns)
        self._scoped: OrderedDict[Scope, SessionReader] = OrderedDict()
        self._costs: dict[Scope, int] = {}
        self._cost = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of scopes that are kept."""
        return len(self._scoped)

    @property
    def cost(self) -> int:
        """Bytes, approximately, that their sessions take in memory."""
        return self._cost

    def clear(self) -> None:
        """Empty the caches, because events were erased."""
        with self._lock:
            self._scoped.clear()
            self._costs.clear()
            self._cost = 0
        self._everything.clear()

    def of(self, scope: Scope | None) -> SessionReader:
        """The sessions of those who may see `scope`; None: everything."""
        if scope is None:
            return self._everything
        with self._lock:
            reader = self._scoped.get(scope)
            if reader is None:
                reader = SessionReader(self._history, within=scope, turns=self._turns, used=partial(self._weigh, scope))
                self._scoped[scope] = reader
                self._set_cost(scope, reader)
            self._scoped.move_to_end(scope)
        return reader

    def ended_by(self, event: Mapping[str, Any], offset: int) -> Iterator[dict[str, Any]]:
        """The sessions that ended with this event, each with its turns, its conversation, and `first`, the cursor of its
        first event. One whose process or room was gone before its `session_ended` has ended with that."""
        reader = self._everything
        with reader.sessions() as (known, _):
            if event["type"] == "session_ended":
                room, session = event.get("room"), event.get("session")
                id = session if session is not None else f"{ROOM}{room}" if room is not None else NOWHERE
                ended = [found for found in known.find(id, room)[:1] if found.ended_by in (None, offset)]
            else:
                ended = known.ended_by(offset)
            names = [(session.room, session.id) for session in ended]
        for room, id in names:
            with reader.sessions() as (known, _):
                found = known.find(id, room)
                if not found:  # erased meanwhile
                    continue
                whole, _ = reader.whole(found[0])
                document = {**whole.document(), "first": str(self._history.cursor(found[0].first))}
            yield document

    def _weigh(self, scope: Scope, reader: SessionReader) -> None:
        with self._lock:
            if self._scoped.get(scope) is reader:
                self._set_cost(scope, reader)

    def _set_cost(self, scope: Scope, reader: SessionReader) -> None:
        """Record the cost of a scope, and evict the least recently used while the budget is exceeded, except the last."""
        cost = reader.cost
        self._cost += cost - self._costs.get(scope, 0)
        self._costs[scope] = cost
        while self._cost > self._budget and len(self._scoped) > 1:
            oldest, _ = self._scoped.popitem(last=False)
            self._cost -= self._costs.pop(oldest)
