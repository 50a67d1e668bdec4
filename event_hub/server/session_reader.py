"""The sessions of a history: computed on the first request, then updated on each later one.

Publishing costs nothing extra, and nothing is stored: after a restart the result is the same. A response includes every
event up to its request. Concurrent requests share one computation, which pauses every few milliseconds so that the hub
continues to serve.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from ..sessions import Session, Sessions, Spoken, Unassigned, replay_into
from .cooperate import TimeSlice, Turns, cooperatively
from .filters import Scope
from .history import HistoryReader
from .pricing import Prices, TurnCosts
from .session_events import SessionEvents

_CACHED = 8
"""Sessions that are cached with their turns and conversation: those that pages currently display."""
_COST = 4_000
_COST_SESSION = 6_000
_COST_WHOLE = 16_000
"""Bytes of memory, approximately: of a reader, of each session, and, in addition to four times its JSON, of each that is
cached with its conversation."""
SHARE = 20
"""After retention has deleted events, everything is recomputed, but in at most a twentieth of the time."""


class _Whole:
    """A session with turns and conversation, and the offset up to which the history has been read for it."""

    def __init__(self, session: Session, floor: int) -> None:
        self.session = Session(session.room, session.session, whole=True)
        self.first = session.first
        self.spoken = Spoken(named=session.session is not None)
        self.through = max(session.first - 1, floor)
        self.encoded: tuple[int, bytes] = (-1, b"")
        self.prices: Prices | None = None
        """Those by which its turns are priced in `encoded`."""


class SessionReader:
    """Answers the API's queries for sessions. Raises `HistoryError` if the history cannot be read.

    `within`: what its readers may see; None: everything. Nothing else is read, so nothing else can show.
    """

    def __init__(
        self,
        history: HistoryReader,
        clock: Callable[[], float] = time.monotonic,
        *,
        within: Scope | None = None,
        turns: Turns | None = None,
        used: Callable[[SessionReader], None] = lambda _reader: None,
    ) -> None:
        """`turns`: shared with other long tasks. `used`: called after each use, when the `cost` may have changed."""
        self._history = history
        self._turns = turns or Turns()
        self._used = used
        self._events = SessionEvents(history, within)
        self._clock = clock
        self._lock = threading.RLock()
        self._sessions = Sessions()
        self._through = self._floor = history.floor
        self._took = self._at = 0.0
        self._wholes: OrderedDict[tuple[str | None, str | None], _Whole] = OrderedDict()

    @contextmanager
    def sessions(self) -> Iterator[tuple[Sessions, int]]:
        """All sessions, locked against updates, and the offset of the last event that they include."""
        needed = self._history.head
        with self._lock:
            if self._through < needed or self._floor < self._history.floor:
                self._follow(self._history.head)
            try:
                yield self._sessions, self._through
            finally:
                self._used(self)
        time.sleep(0)  # gevent wakes all waiters of a lock at once: let the rest of the hub run in between

    def clear(self) -> None:
        """Empty the cache; the next request computes everything again."""
        with self._lock:
            self._sessions = Sessions()
            self._through = self._floor = self._history.floor
            self._wholes.clear()

    @property
    def cost(self) -> int:
        """Bytes, approximately, that it takes in memory."""
        wholes = sum(_COST_WHOLE + 4 * len(whole.encoded[1]) for whole in list(self._wholes.values()))
        return _COST + _COST_SESSION * len(self._sessions) + wholes

    @property
    def incomplete(self) -> bool:
        """Whether events are missing from the result: retention deleted them, or there were too many sessions."""
        return self._history.floor > 0 or self._sessions.forgotten > 0

    def whole(self, session: Session, prices: Prices | None = None) -> tuple[Session, bytes]:
        """One of the sessions with its turns and conversation, and these as JSON. Call it within `sessions`. `prices`: in
        the JSON, what each turn costs."""
        whole = self._whole(session, prices)
        return whole.session, whole.encoded[1]

    def spoken(self, session: Session) -> list[dict[str, Any]]:
        """The events that captions are made from, of one of the sessions. Call it within `sessions`."""
        return self._whole(session).spoken.events()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _follow(self, head: int) -> None:
        with self._turns.turn() as time_slice:
            self._follow_in_turn(head, time_slice)

    def _follow_in_turn(self, head: int, time_slice: TimeSlice) -> None:
        """Add new events; recompute everything if retention has deleted events of a session that continues."""
        floor = self._history.floor
        missed = floor > self._through
        gone = missed or any(session.first <= floor < session.last for session in self._sessions.newest())
        began = self._clock()
        if missed or (gone and began - self._at >= SHARE * self._took):
            sessions = Sessions()
            for offset, event in self._events.all(floor, head, time_slice):
                sessions.take(event, offset)
            self._sessions, self._through, self._floor = sessions, head, floor
            self._wholes.clear()
            self._at = self._clock()
            self._took = self._at - began
            return
        for offset, event in self._events.all(self._through, head, time_slice):
            self._through = offset
            self._sessions.take(event, offset)
        self._through = head
        if floor > self._floor:
            self._sessions.forget_before(floor)
        if not gone:
            self._floor = floor
        if not self._at:
            self._at = self._clock()
            self._took = self._at - began

    def _whole(self, session: Session, prices: Prices | None = None) -> _Whole:
        key = session.room, session.session
        with self._lock:
            whole = self._wholes.pop(key, None)
            if whole is None or whole.first != session.first:
                whole = _Whole(session, self._history.floor)
            self._wholes[key] = whole
            if len(self._wholes) > _CACHED:
                self._wholes.popitem(last=False)
            prices = prices or whole.prices
            if whole.encoded[0] != session.touched or whole.prices is not prices:
                with self._turns.turn() as time_slice:
                    for offset, event in self._events.of(session, whole.through, self._through, time_slice):
                        whole.through = offset
                        if replay_into(session, event, offset, whole.session):
                            whole.spoken.take(event)
                whole.encoded = (session.touched, _encoded(whole.session.parts(), prices))
                whole.prices = prices
            whole.through = self._through
        return whole


def _encoded(parts: dict[str, Any], prices: Prices | None) -> bytes:
    """A session's `parts` as JSON; cooperative, because a long session takes a tenth of a second."""
    encode = msgspec.json.Encoder().encode
    lists = {name: parts.pop(name) for name in ("turns", "conversation")}
    rest = Unassigned(parts["usage"])
    costs = prices.of_turns(parts["usage"]) if prices is not None else None
    lists["turns"] = map(partial(_accounted, rest, costs), lists["turns"])
    written = [
        b'"%s":[%s]' % (name.encode(), b",".join(map(encode, cooperatively(items)))) for name, items in lists.items()
    ]
    usage = rest.usage()
    parts["unassigned"] = {"usage": usage} if costs is None else {"usage": usage, "cost": costs.rest(usage)}
    return b"%s,%s}" % (encode(parts)[:-1], b",".join(written))


def _accounted(rest: Unassigned, costs: TurnCosts | None, turn: dict[str, Any]) -> dict[str, Any]:
    """A turn with its cost, if it is known what was used for it."""
    rest.take(turn)
    return turn if costs is None or "usage" not in turn else {**turn, "cost": costs(turn["usage"])}
