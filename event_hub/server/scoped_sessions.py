"""Sessions as each principal may see them: computed from the events within its scope alone.

A session can have events of several rooms and of none (a webhook, an agent's exit), so a session of all events would show
those who may see one room what happened elsewhere. Where every viewer has a token for one room, there are as many scopes as
rooms: each is computed from the events of its room, which the history finds by an index.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..sessions.session import NOWHERE, ROOM
from .cooperate import Turns
from .filters import Scope
from .history import HistoryError, HistoryReader
from .indexed_sessions import IndexedSessions
from .session_reader import SessionReader

BUDGET = 128 << 20
"""Bytes, approximately, that the sessions of all scopes may take in memory: thousands of rooms whose conversations are being
read, or two scopes with the maximum number of sessions."""
_LOADED = 500
"""Sessions that are in memory beside the index of a scope."""
_PAUSE = 1.0
"""Seconds between two looks for new events."""
_SOME = 500
_DUTY = 8
"""The index follows the history so many events at a time, and in a ninth of the time at most: publishing comes first. A
query takes the rest at full speed."""


_Reader = TypeVar("_Reader", bound=SessionReader)
_Key = tuple[Scope, type[SessionReader]]
"""A scope, and the kind of reader."""


class ScopedSessions:
    """A `SessionReader` for each scope; those that were used last are kept. Thread-safe."""

    def __init__(self, history: HistoryReader, turns: Turns, budget: int = BUDGET, *, path: Path | None = None) -> None:
        """`path`: where the index of everything is; None: in memory."""
        self._history = history
        self._turns = turns
        self._budget = budget
        self._everything = IndexedSessions(history, path=path, turns=turns)
        self._stopped = threading.Event()
        self._follower: threading.Thread | None = None
        self._scoped: OrderedDict[_Key, SessionReader] = OrderedDict()
        self._costs: dict[_Key, int] = {}
        self._cost = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of readers that are kept."""
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
        return self._everything if scope is None else self._kept((scope, SessionReader), SessionReader)

    def indexed(self, scope: Scope | None) -> IndexedSessions:
        """The same with an index, for queries over many sessions."""
        if scope is None:
            return self._everything
        return self._kept((scope, IndexedSessions), partial(IndexedSessions, limit=_LOADED))

    def _kept(self, key: _Key, make: Callable[..., _Reader]) -> _Reader:
        with self._lock:
            reader = self._scoped.get(key)
            if reader is None:
                scope, _ = key
                reader = make(self._history, within=scope, turns=self._turns, used=partial(self._weigh, key))
                self._scoped[key] = reader
                self._set_cost(key, reader)
            self._scoped.move_to_end(key)
        return reader  # type: ignore[return-value]  # of the kind that the key names

    def start(self) -> None:
        """Follow the history in the background."""
        self._follower = threading.Thread(target=self._follow, name="hub-session-index", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """Stop, and close the index."""
        self._stopped.set()
        if self._follower is not None:
            self._follower.join()
        self._everything.close()

    def _follow(self, clock: Callable[[], float] = time.monotonic) -> None:
        while not self._stopped.wait(_PAUSE):
            while self._everything.behind and not self._stopped.is_set():
                began = clock()
                try:
                    self._everything.follow_some(_SOME)
                except HistoryError:
                    break  # the next look tries again
                self._stopped.wait(_DUTY * (clock() - began))

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

    def _weigh(self, key: _Key, reader: SessionReader) -> None:
        with self._lock:
            if self._scoped.get(key) is reader:
                self._set_cost(key, reader)

    def _set_cost(self, key: _Key, reader: SessionReader) -> None:
        """Record the cost of a reader, and evict the least recently used while the budget is exceeded, except the last."""
        cost = reader.cost
        self._cost += cost - self._costs.get(key, 0)
        self._costs[key] = cost
        while self._cost > self._budget and len(self._scoped) > 1:
            oldest, _ = self._scoped.popitem(last=False)
            self._cost -= self._costs.pop(oldest)
