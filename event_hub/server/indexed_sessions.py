"""Sessions that are found through an index: all of a history, however many; found again after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..sessions import Sessions
from ..sessions.index import LIMIT
from .cooperate import TimeSlice, Turns
from .filters import Scope
from .history import HistoryError, HistoryReader
from .real_thread import in_real_thread
from .session_index.file import IndexFile
from .session_index.index import SessionIndex
from .session_reader import SHARE, SessionReader

_T = TypeVar("_T")
_BATCH = 2_000
"""Events whose changes are written together."""


class IndexedSessions(SessionReader):
    """As `SessionReader`. What its queries need is in a file, which follows the history in the background, too."""

    def __init__(
        self,
        history: HistoryReader,
        clock: Callable[[], float] = time.monotonic,
        *,
        path: Path | None = None,
        within: Scope | None = None,
        turns: Turns | None = None,
        used: Callable[[SessionReader], None] = lambda _reader: None,
        limit: int = LIMIT,
    ) -> None:
        """`path`: of the index; None: in memory. `limit`: sessions in memory."""
        super().__init__(history, clock, within=within, turns=turns, used=used)
        self.index = SessionIndex(path, history, self._events, limit)
        self._adopt()

    def _adopt(self) -> None:
        self._sessions, self._through, self._floor = self.index.sessions, self.index.through, self.index.floor

    @property
    def cost(self) -> int:
        """Bytes, approximately, that it takes in memory."""
        return super().cost + (self.index.file.size() if self.index.file.path is None else 0)

    @property
    def behind(self) -> int:
        """How many events it has not taken yet."""
        return self._history.head - self._through

    @contextmanager
    def sessions(self) -> Iterator[tuple[Sessions, int]]:
        with super().sessions() as found:
            try:
                yield found
            finally:
                self._sessions.unload()  # those that were found again for this query

    @contextmanager
    def querying(self) -> Iterator[tuple[IndexFile, int]]:
        """The file, which includes every event up to the offset that is returned with it; locked against changes."""
        with self.sessions() as (_, through):
            yield self.index.file, through

    @staticmethod
    def run(query: Callable[[], _T]) -> _T:
        """Run a query that may take long, while others go on. Call it within `querying`."""
        result: _T = in_real_thread(query)
        return result

    def clear(self) -> None:
        with self._lock:
            with self.index.surviving():
                self.index.reset()
            self._wholes.clear()
            self._adopt()

    def follow_some(self, most: int) -> None:
        """Take up to so many of the events that it has not taken."""
        with self._lock:
            if self.behind > 0 or self._floor < self._history.floor:
                self._follow(min(self._history.head, self._through + most))

    def close(self) -> None:
        with self._lock:
            self.index.file.close()

    def _follow_in_turn(self, head: int, time_slice: TimeSlice) -> None:
        for _ in range(2):  # once more if the file fails
            index = self.index
            with index.surviving():
                self._bring_up_to(head, time_slice)
                break
            self._adopt()
            self._wholes.clear()
        self._adopt()

    def _take(self, event: dict[str, Any], offset: int) -> None:
        try:
            self.index.take(event, offset)
        except HistoryError:  # half of the event was taken: what it belongs to could not be read
            self.index.reset()
            self._wholes.clear()
            raise

    def _bring_up_to(self, head: int, time_slice: TimeSlice) -> None:
        index, floor = self.index, self._history.floor
        if floor > index.through:
            index.reset()
            self._wholes.clear()
        while index.through < head:
            until = min(head, index.through + _BATCH)
            for offset, event in self._events.all(index.through, until, time_slice):
                self._take(event, offset)
            index.flush(time_slice, until)
        if floor > index.floor:
            began = self._clock()
            again = began - self._at >= SHARE * self._took
            if index.trim(floor, time_slice, again=again) and again:
                self._at = self._clock()
                self._took = self._at - began
                self._wholes.clear()
