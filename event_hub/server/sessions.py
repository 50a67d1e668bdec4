"""The sessions of a history, computed from it when they are asked for, and from then on kept up with it.

Nothing of this runs while events are published, and nothing is kept anywhere: a hub that is killed computes the same
again. Whoever asks waits until all events up to that moment are in the answer; those who ask at the same time wait for
one and the same computation, which lets the others of the hub go on every few milliseconds.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from ..sessions import Session, Sessions, Spoken, retell
from .breath import Breath, rested
from .filters import Filter
from .history import History, Record

PAGE = 250
"""Events that are read at a time: half a millisecond, in which nobody else is served."""
_WHOLE = 8
"""Sessions that are kept with their turns and conversation: those that are being looked at."""
_SHARE = 20
"""Where retention has taken events away, everything is computed anew, but at most in a twentieth of the time."""

_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class _Whole:
    """One session with everything, and how far the history has been read for it."""

    def __init__(self, session: Session, floor: int) -> None:
        self.session = Session(session.room, session.session, whole=True)
        self.first = session.first
        self.spoken = Spoken(named=session.session is not None)
        self.through = max(session.first - 1, floor)
        self.encoded: tuple[int, bytes] = (-1, b"")


class SessionReader:
    """Answers what the API is asked about sessions. Raises `HistoryError` where the history cannot be read."""

    def __init__(self, history: History, clock: Callable[[], float] = time.monotonic) -> None:
        self._history = history
        self._clock = clock
        self._lock = threading.RLock()
        self._sessions = Sessions()
        self._through = self._floor = history.floor
        self._took = self._at = 0.0
        self._wholes: OrderedDict[tuple[str | None, str | None], _Whole] = OrderedDict()

    @contextmanager
    def sessions(self) -> Iterator[tuple[Sessions, int]]:
        """All sessions, and the offset up to which they are told; nobody else changes them meanwhile."""
        wanted = self._history.head
        with self._lock:
            if self._through < wanted or self._floor < self._history.floor:
                self._follow(self._history.head)
            yield self._sessions, self._through
        time.sleep(0)  # gevent wakes all who wait for a lock in one go: the others of the hub come first

    @property
    def incomplete(self) -> bool:
        """Whether anything of the history is not told: retention has taken it, or there were too many sessions."""
        return self._history.floor > 0 or self._sessions.forgotten > 0

    def whole(self, session: Session) -> tuple[Session, bytes]:
        """One of those sessions with its turns and its conversation, and that as JSON; to be asked within `sessions`."""
        found = self._whole(session)
        return found.session, found.encoded[1]

    def spoken(self, session: Session) -> list[dict[str, Any]]:
        """Of the events of one of those sessions what captions need; to be asked within `sessions`."""
        return self._whole(session).spoken.events()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _follow(self, head: int) -> None:
        """Take in what has come, or all of it anew where retention has given up some of what was taken in."""
        floor = self._history.floor
        missed = floor > self._through
        gone = missed or any(one.first <= floor < one.last for one in self._sessions.newest())
        began = self._clock()
        if missed or (gone and began - self._at >= _SHARE * self._took):
            sessions = Sessions()
            for record in self._records(Filter(), floor, head):
                sessions.take(_decode(record.data), record.offset)
            self._sessions, self._through, self._floor = sessions, head, floor
            self._wholes.clear()
            self._at = self._clock()
            self._took = self._at - began
            return
        for record in self._records(Filter(), self._through, head):
            self._through = record.offset
            self._sessions.take(_decode(record.data), record.offset)
        self._through = head
        if floor > self._floor:
            self._sessions.forget_before(floor)
        if not gone:
            self._floor = floor
        if not self._at:
            self._at = self._clock()
            self._took = self._at - began

    def _whole(self, session: Session) -> _Whole:
        key = session.room, session.session
        with self._lock:
            found = self._wholes.pop(key, None)
            if found is None or found.first != session.first:
                found = _Whole(session, self._history.floor)
            self._wholes[key] = found
            if len(self._wholes) > _WHOLE:
                self._wholes.popitem(last=False)
            if found.encoded[0] != session.touched:
                for offset, event in self._read(session, found.through, self._through):
                    found.through = offset
                    if retell(session, event, offset, found.session):
                        found.spoken.take(event)
                found.encoded = (session.touched, _encoded(found.session.parts()))
            found.through = self._through
        return found

    def _read(self, session: Session, after: int, until: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        room, name = session.room, session.session
        if name is not None and not session.nameless:
            filters = [Filter(sessions=(name,))]
        elif room is not None:
            filters = [Filter(rooms=(room,))]
            if name is not None and session.roomless:
                filters.append(Filter(sessions=(name,)))
        else:
            filters = [Filter(sessions=(name,)) if name is not None else Filter()]
        before = 0
        told = [
            ((record.offset, _decode(record.data)) for record in self._records(one, after, until)) for one in filters
        ]
        exits = [one for one in session.exits if after < one[0] <= until]
        for offset, event in heapq.merge(*told, exits, key=lambda one: one[0]):
            if offset != before:
                yield offset, event
            before = offset

    def _records(self, filter: Filter, after: int, until: int) -> Iterator[Record]:
        breath = Breath()
        while after < until:
            page = self._history.after(after, until, filter, PAGE)
            for record in page.records:
                yield record
                breath.take()
            after = page.through
            breath.take()


def _encoded(parts: dict[str, Any]) -> bytes:
    """A session's `parts` as JSON: a long session's takes a tenth of a second, in which others are served."""
    encode = msgspec.json.Encoder().encode
    lists = {name: parts.pop(name) for name in ("turns", "conversation")}
    written = [b'"%s":[%s]' % (name.encode(), b",".join(map(encode, rested(things)))) for name, things in lists.items()]
    return b"%s,%s}" % (encode(parts)[:-1], b",".join(written))
