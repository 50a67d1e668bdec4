"""What is to be erased, and what remains of it: the tombstone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from ... import sse
from ...sessions import Session, belongs
from ..filters import Filter, Scope, is_glob
from ..history.base import TOMBSTONE


@dataclass(frozen=True, slots=True)
class Selector:
    """Events that have all of these. Names are exact, whatever they contain. `before`: received before, in epoch seconds."""

    session: str | None = None
    room: str | None = None
    participant: str | None = None
    before: float | None = None

    def filter(self) -> Filter:
        """A filter that passes all that is selected, and perhaps more; by an index where there is one."""
        if self.session is not None and not is_glob(self.session):
            return Filter(sessions=(self.session,))
        return Filter().narrowed(Scope((self.room,)) if self.room is not None else None)

    def selects(self, event: Mapping[str, Any]) -> bool:
        """Whether `event` is selected, regardless of when it was received. What is erased already is not."""
        named = (("session", self.session), ("room", self.room))
        return self.may_be(event) and all(name is None or event.get(key) == name for key, name in named)

    def may_be(self, event: Mapping[str, Any]) -> bool:
        """Whether `event` is selected if it belongs to a selected session."""
        return event.get("type") != TOMBSTONE and self.participant in (None, event.get("participant"))


class Selection:
    """What a selector selects, and the events that belong to the sessions it names without naming them: those that name only
    the room, during the session, and those that name only the session, in another form than the selector does."""

    def __init__(self, selector: Selector, sessions: Sequence[Session] = ()) -> None:
        self.selector = selector
        self._sessions = sessions
        self._lines: set[bytes] = set()

    @property
    def by_room(self) -> bool:
        """Whether events may be selected that do not name the session."""
        return bool(self._sessions)

    def filters(self, floor: int, end: int) -> Iterator[tuple[Filter, int, int]]:
        """Filters that pass all that is selected, and perhaps more, and between which offsets. The events that name the
        session come last: as long as there is one, an erasure that was killed can be repeated."""
        for session in self._sessions:
            if session.room is not None:
                until = end if session.until is None else min(end, session.until - 1)
                yield Filter().narrowed(Scope((session.room,))), max(floor, session.since - 1), until
            elif session.session is None:
                yield Filter(), max(floor, session.first - 1), end
        yield self.selector.filter(), floor, end

    def selects(self, event: Mapping[str, Any], offset: int) -> bool:
        """Whether the event at `offset` is selected, regardless of when it was received."""
        if self.selector.selects(event):
            return True
        return self.selector.may_be(event) and any(belongs(event, offset, session) for session in self._sessions)

    def remember(self, data: bytes) -> None:
        """`data` of a selected event: a line of a file that is the same is selected too."""
        self._lines.add(_digest(sse.one_line(data)))

    def selects_line(self, line: bytes, event: Mapping[str, Any]) -> bool:
        """Whether `event`, which a line of a file contains, is selected. When it was received is not known there."""
        if self._lines and _digest(line) in self._lines:
            return True
        timestamp, before = event.get("timestamp"), self.selector.before
        timely = before is None or (isinstance(timestamp, int | float) and timestamp < before)
        return timely and self.selector.selects(event)


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()


def tombstone(event: Mapping[str, Any], by: str) -> bytes:
    """What takes the place of `event`: its time, and nothing else of it. `by`: forget or retention."""
    timestamp = event.get("timestamp")
    kept = timestamp if isinstance(timestamp, int | float) else 0
    return msgspec.json.encode({"type": TOMBSTONE, "timestamp": kept, "by": by})
