"""The history as the readers of this hub see it."""

from __future__ import annotations

import time
from typing import Protocol

from ...sse import Cursor
from ..filters import Filter
from ..gap import Gap
from .base import Epochs, History, HistoryError, HistoryPage

_PATIENCE = 2.0
_LONG_PATIENCE = 15.0
_PAUSE = 0.002
"""Seconds that a reader waits for the follower, and between two looks."""


class _Log(Protocol):
    @property
    def head(self) -> int: ...


class HistoryReader:
    """Read access to a history, up to the newest event that this hub has delivered.

    Every reader (streams, replays, pages, exports, sessions, forwarding) sees the same `head` and `floor`: an event becomes
    visible to all of them in the instant in which it is delivered to the log. What is committed but not yet delivered,
    by this hub or by another that shares the history, does not exist for them.
    """

    def __init__(self, history: History, log: _Log) -> None:
        self._history = history
        self._log = log

    @property
    def kind(self) -> str:
        return self._history.kind

    @property
    def epochs(self) -> Epochs:
        return self._history.epochs

    @property
    def head(self) -> int:
        """The offset of the newest delivered event; 0 before the first."""
        return self._log.head

    @property
    def floor(self) -> int:
        """The offset up to which retention has removed events."""
        return min(self._history.floor, self._log.head)

    def catch_up(self, offset: int = 0) -> None:
        """Wait until this hub has delivered what others have appended by now, and knows the current epoch, so that a client
        which moves from hub to hub finds what it has seen or published. Not for longer than a moment: a hub that is behind
        answers all the same, except to a client that has seen `offset`. Raises `HistoryError` then. Epochs can be others
        afterwards."""
        if not self._history.shared:
            return
        newest = self._history.newest()
        # A browser does not come back to a stream that was refused, so a client that has seen more waits longer.
        until = time.monotonic() + (_LONG_PATIENCE if newest.offset >= offset > self._log.head else _PATIENCE)
        while time.monotonic() < until:
            if self._log.head >= newest.offset and self._history.epochs.current == newest.epoch:
                return
            time.sleep(_PAUSE)
        if self._log.head < min(newest.offset, offset):
            raise HistoryError("this hub is behind the others that share its history")

    def survived(self, cursor: Cursor) -> tuple[int, bool] | None:
        """As `Epochs.survived`; if this hub does not know the place yet, after it has caught up."""
        found = self.epochs.survived(cursor)
        if found is None or found[0] > self.head:
            self.catch_up(cursor.offset)
            found = self.epochs.survived(cursor)
        return found

    def cursor(self, offset: int) -> Cursor:
        """The cursor that names `offset`."""
        return self._history.epochs.cursor(offset)

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        """As `History.after`, not beyond `head`."""
        return self._history.after(offset, min(until, self._log.head), filter, limit)

    def before(self, offset: int, filter: Filter, limit: int) -> HistoryPage:
        """As `History.before`, not beyond `head`."""
        return self._history.before(min(offset, self._log.head), filter, limit)

    def offset_at(self, at: float) -> int:
        """The offset of the last event that was received before `at` (epoch seconds), at least `floor`."""
        return min(self._history.offset_at(at), self._log.head)

    def size(self) -> int:
        """The size of the stored events in bytes; 0 if the history cannot say."""
        try:
            return self._history.size()
        except HistoryError:
            return 0

    def retention_gap(self, offset: int, filter: Filter) -> Gap | None:
        """The gap of a reader that has read up to `offset`, if retention has overtaken it; it continues after `floor`."""
        floor = self.floor
        if offset >= floor:
            return None
        missed = floor - offset if filter.everything else None
        return Gap(missed, self.cursor(offset), self.cursor(floor), "retention")
