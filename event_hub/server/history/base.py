"""The contract of a history. One test suite, `tests/contract/test_history.py`, runs on every backend."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from ...sse import Cursor
from ..filters import Filter

SCAN = 5_000
"""Events that one call examines at most: about two milliseconds, in which no other subscriber is served."""


PAGE_BYTES = 1 << 20
"""A page ends with the event that takes it past this size, so that a hundred replays of large events fit in memory."""


TOMBSTONE = "event_erased"
"""The type of an erased event."""


class Draft(NamedTuple):
    """An event to be stored."""

    type: str
    room: str | None
    session: str | None
    event_id: str | None
    data: bytes
    """Its JSON, on one line, as it is broadcast."""


class Names(msgspec.Struct):
    """What filters need of an event."""

    type: str
    room: str | None = None
    session: str | None = None


names_of: Callable[[bytes], Names] = msgspec.json.Decoder(Names).decode
"""The names in the JSON of an event."""


def draft_of(data: bytes) -> Draft:
    """A stored event as a draft, without its event_id."""
    names = names_of(data)
    return Draft(names.type, names.room, names.session, None, data)


class Record(NamedTuple):
    """A stored event, as readers get it."""

    offset: int
    data: bytes


new_tuple = tuple.__new__
"""`new_tuple(Draft, (…))` is `Draft(…)` in half the time, for batches."""

Stored = tuple[int, Draft]
"""A stored event as it is delivered to the log, and its offset. A plain tuple: a batch makes thousands."""


class Appended(NamedTuple):
    """The offset of a draft. `duplicate`: its event_id was already stored at `offset`, and nothing was added."""

    offset: int
    duplicate: bool


class HistoryPage(NamedTuple):
    """Matching events in order. Every event up to `through` was examined."""

    records: list[Record]
    through: int


class HistoryError(RuntimeError):
    """The history cannot be opened, read or written. The text is one sentence for the operator: cause and remedy."""


class HistoryLost(HistoryError):
    """Events that this hub has delivered, or was about to deliver, are gone. The log restarts after `through`, the newest
    event; older ones are replayed from the history. `epochs`, `head` and `floor` have already changed, so the restart must
    follow at once. `reason`: `lost` (the server was restored from an older state) or `retention` (this hub was too far
    behind)."""

    def __init__(self, through: int, reason: str) -> None:
        super().__init__(
            "the history has lost its newest events: streams resume with a gap"
            if reason == "lost"
            else "this hub was so far behind that retention has overtaken it: streams resume with a gap"
        )
        self.through = through
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is stored: `age` in seconds, `size` in bytes; None means no limit."""

    age: float | None
    size: int | None


class Epochs:
    """The epochs of a history, and the offset at which each began.

    After a loss a bare offset is ambiguous: event 1000 of the lost history is not event 1000 of the new one. A cursor
    therefore names its epoch, and a cursor of an earlier epoch is valid only up to the offset that survived it.
    """

    def __init__(self, rows: Sequence[tuple[str, int]]) -> None:
        self.update(rows)

    def update(self, rows: Sequence[tuple[str, int]]) -> None:
        """Replace all epochs; `rows`: name and first offset of each, in order."""
        self._names = [name for name, _ in rows]
        self._firsts = [first for _, first in rows]

    @staticmethod
    def new_name() -> str:
        """Eight hexadecimal digits: short, header-safe, and unique for practical purposes."""
        return secrets.token_hex(4)

    @property
    def current(self) -> str:
        return self._names[-1]

    def of(self, offset: int) -> str:
        """The epoch of `offset`."""
        if offset >= self._firsts[-1]:
            return self._names[-1]
        return self._names[max(0, bisect_right(self._firsts, offset) - 1)]

    def cursor(self, offset: int) -> Cursor:
        """The cursor that names `offset`."""
        return Cursor(self.of(offset), offset)

    def survived(self, cursor: Cursor) -> tuple[int, bool] | None:
        """The offset to resume after, and whether nothing after `cursor` was lost; None for an unknown epoch."""
        try:
            index = self._names.index(cursor.epoch)
        except ValueError:
            return None
        if index + 1 == len(self._names):
            return cursor.offset, True
        last = self._firsts[index + 1] - 1
        return min(cursor.offset, last), cursor.offset <= last


class History(ABC):
    """Published events in order, at dense offsets 1, 2, 3, … that are never reused.

    Events after `floor` up to `head` are readable. Each call does a bounded amount of work, and raises `HistoryError` if
    the backend fails; unless a backend says otherwise, nothing has changed then.

    A history is written to by `streaming.commit` alone, and read through `HistoryReader`, whose head is what this hub has
    delivered: with a history on a network, `head` can be ahead of that.
    """

    kind: str
    """Name of the backend, as in settings and metrics."""
    grouped = True
    """Whether requests that arrive together should share an append, because an append costs much more than an event."""
    shared = False
    """Whether other processes append to it as well, so that `follow` has something to yield."""
    degraded: str | None = None
    """Why the history could only be opened for reading; `probe` opens it for writing once that is possible."""
    epochs: Epochs
    head: int
    """The offset of the newest event; 0 before the first."""
    floor: int
    """The offset up to which retention has removed events."""

    @abstractmethod
    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        """Store all of `drafts`, received at `at` (epoch seconds), or none of them. May wait (for a network).

        Once it returns, they survive the end of this process, kill -9 included (except with `memory:`). A draft whose
        event_id is already stored, or occurs earlier among the drafts, is not added again. Never called concurrently.
        """

    def follow(self, delivered: Callable[[], int]) -> Iterator[Sequence[Stored]]:  # noqa: ARG002
        """Yield batches of the events after `delivered()`, in order, regardless of which process appended them; wait for
        more until `close`.

        Only a `shared` history has anything to follow; the others yield nothing. Raises `HistoryLost` if events after
        `delivered()` will never come, and `HistoryError` if the backend fails.
        """
        return iter(())

    def newest(self) -> Cursor:
        """The newest event, by whichever process it was appended, and the epoch that is current there, which this process
        may not know yet. May wait; raises `HistoryError`."""
        return Cursor(self.epochs.current, self.head)

    @abstractmethod
    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        """Up to `limit` matching events (or `PAGE_BYTES`) after `offset` and up to `until`, oldest first."""

    @abstractmethod
    def before(self, offset: int, filter: Filter, limit: int) -> HistoryPage:
        """Up to `limit` matching events up to and including `offset`, newest first.

        `through`: the offset down to which events were examined (`floor` when there are no more).
        """

    @abstractmethod
    def offset_at(self, at: float) -> int:
        """The offset of the last event that was received before `at` (epoch seconds), at least `floor`."""

    @abstractmethod
    def trim(self, now: float) -> bool:
        """Remove some of the events that retention no longer covers; True if there are more to remove."""

    @abstractmethod
    def erase(self, tombstones: Mapping[int, bytes]) -> None:
        """Replace the data of the events at these offsets, all or none, and forget their type, room and session. Their
        event_id stays, so that a repeated delivery does not bring them back. Offsets that are gone are ignored."""

    def scrub(self) -> None:  # noqa: B027  # a backend that overwrites in place leaves nothing behind
        """Make sure that nothing of what was erased is left in the storage."""

    @abstractmethod
    def size(self) -> int:
        """The size of the stored events in bytes."""

    def check(self) -> None:  # noqa: B027  # a backend that cannot lose its storage need not check
        """Raise `HistoryError` if what is appended now would not be there after a restart. Called about once a second; from
        then on, until `probe` succeeds, `append` raises it too."""

    def probe(self) -> None:  # noqa: B027  # a backend that cannot fail need not be probed
        """Raise `HistoryError` if the history still cannot be written."""

    def maintain(self) -> None:  # noqa: B027  # a backend may have nothing to do
        """Periodic maintenance that would block the event loop; called from a thread of its own."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources; idempotent."""
