"""What a history is: the contract that every backend keeps, and one test suite runs on each."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...sse import Cursor
from ..filters import Filter

SCAN = 5_000
"""Events that one call looks at, at the most: about two milliseconds, so that no other subscriber waits longer."""


PAGE_BYTES = 1 << 20
"""A page ends with the event that takes it past this size, so that a hundred replays of large events fit in memory."""


class Draft(NamedTuple):
    """An event that is to be kept."""

    type: str
    room: str | None
    session: str | None
    event_id: str | None
    data: bytes
    """Its JSON, on one line, as it is broadcast."""


class Record(NamedTuple):
    """An event that is kept, at `offset`."""

    offset: int
    data: bytes


class Appended(NamedTuple):
    """Where a draft is now. `duplicate`: its event_id was there before, at `offset`, and nothing was added."""

    offset: int
    duplicate: bool


class Page(NamedTuple):
    """Some events in order, and how far was looked: every matching event up to `through` is among them."""

    records: list[Record]
    through: int


class HistoryError(RuntimeError):
    """The history cannot be opened, read or written. The text is one sentence for the operator: what, and what to do."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much is kept: `age` in seconds, `size` in bytes; None: no such limit."""

    age: float | None
    size: int | None


class Epochs:
    """The lifetimes that a history has gone through, and where each began.

    A bare offset lies after a loss: event 1000 of the lost history is not event 1000 of the new one. So a cursor also
    names the lifetime, and one of a lifetime that ended is good only up to what survived of it.
    """

    def __init__(self, rows: Sequence[tuple[str, int]]) -> None:
        self._names = [name for name, _ in rows]
        self._firsts = [first for _, first in rows]

    @staticmethod
    def new_name() -> str:
        """Eight hexadecimal digits: short, header-safe, and not met twice by one subscriber."""
        return secrets.token_hex(4)

    @property
    def current(self) -> str:
        return self._names[-1]

    def cursor(self, offset: int) -> Cursor:
        """The cursor that names `offset`."""
        return Cursor(self._names[max(0, bisect_right(self._firsts, offset) - 1)], offset)

    def survived(self, cursor: Cursor) -> tuple[int, bool] | None:
        """The offset to go on after, and whether everything after `cursor` is still there; None: an unknown lifetime."""
        try:
            index = self._names.index(cursor.epoch)
        except ValueError:
            return None
        if index + 1 == len(self._names):
            return cursor.offset, True
        last = self._firsts[index + 1] - 1
        return min(cursor.offset, last), cursor.offset <= last


class History(ABC):
    """Events in the order in which they were published, each at an offset: 1, 2, 3, … without holes, never used twice.

    Readable are the events after `floor` up to `head`. Every call does a bounded amount of work and never blocks on
    another process for longer than a moment; each raises `HistoryError` where the backend fails, and then nothing has
    changed.
    """

    kind: str
    """Name of the backend, as settings and metrics call it."""
    epochs: Epochs
    head: int
    """The offset of the newest event; 0 before the first."""
    floor: int
    """The offset up to which events have been given up to retention."""

    @abstractmethod
    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        """Keep all of `drafts`, received at `at` (epoch seconds), or none of them.

        Once it has returned, they survive the end of this process by any means (`memory:` excepted). A draft whose
        event_id is in the history, or earlier among the drafts, is not added again.
        """

    @abstractmethod
    def after(self, offset: int, until: int, filter: Filter, limit: int) -> Page:
        """Up to `limit` events (or `PAGE_BYTES`) that match, after `offset`, not after `until`, oldest first."""

    @abstractmethod
    def before(self, offset: int, filter: Filter, limit: int) -> Page:
        """Up to `limit` events that match, up to and with `offset`, newest first; `through`: the offset before which
        nothing was looked at (`floor` when there is no more)."""

    @abstractmethod
    def offset_at(self, at: float) -> int:
        """The offset of the last event that was received before `at` (epoch seconds), at least `floor`."""

    @abstractmethod
    def trim(self, now: float) -> bool:
        """Give up some of the events that retention no longer covers; True: call again, there are more."""

    @abstractmethod
    def size(self) -> int:
        """What the events take, in bytes."""

    def probe(self) -> None:  # noqa: B027  # a backend that cannot fail need not be asked
        """Raise `HistoryError` if the history still does not take what is written."""

    def maintain(self) -> None:  # noqa: B027  # nothing to do is a good answer
        """Whatever else is to be done now and then, off the event loop: called from a thread of its own."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; a second call is harmless."""
