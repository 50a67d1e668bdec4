"""A history that lasts as long as the process: `memory:`."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence

from ..filters import Filter
from .base import PAGE_BYTES, SCAN, Appended, Draft, Epochs, History, Page, Record, Retention

_OVERHEAD = 400
"""Bytes that an event takes beside its data: the tuple, the strings' headers, its place in the list and the index."""
_COMPACT = 1_000


# An event is kept as a plain tuple (at, type, room, session, event_id, data): of text, bytes and numbers alone, so the
# garbage collector finds nothing in it to look at again. A million named tuples cost it a fifth of all time.
_Kept = tuple[float, str, str | None, str | None, str | None, bytes]


class MemoryHistory(History):
    """Events in a list. Its epoch is new with every process, because with the process the events are gone."""

    kind = "memory"

    def __init__(self, retention: Retention) -> None:
        self.epochs = Epochs([(Epochs.new_name(), 1)])
        self.head = 0
        self.floor = 0
        self._retention = retention
        self._kept: list[_Kept | None] = []
        self._skip = 0
        self._size = 0
        self._last_at = 0.0
        self._ids: dict[str, int] = {}
        self._mutex = threading.Lock()

    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        with self._mutex:
            at = self._last_at = max(at, self._last_at)
            appended = []
            for draft in drafts:
                if draft.event_id is not None:
                    known = self._ids.get(draft.event_id)
                    if known is not None:
                        appended.append(Appended(known, True))
                        continue
                    self._ids[draft.event_id] = self.head + 1
                self.head += 1
                self._kept.append((at, *draft))
                self._size += len(draft.data) + _OVERHEAD
                appended.append(Appended(self.head, False))
            return appended

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> Page:
        with self._mutex:
            offset = max(offset, self.floor)
            until = min(until, self.head)
            records: list[Record] = []
            at = offset
            end = min(until, offset + SCAN)
            everything, matches = filter.everything, filter.matches
            size = 0
            while at < end and len(records) < limit and size < PAGE_BYTES:
                at += 1
                _, type_, room, session, _, data = self._at(at)
                if everything or matches(type_, room, session):
                    records.append(Record(at, data))
                    size += len(data)
            return Page(records, max(at, offset))

    def before(self, offset: int, filter: Filter, limit: int) -> Page:
        with self._mutex:
            records: list[Record] = []
            at = min(offset, self.head)
            end = max(self.floor, at - SCAN)
            while at > end and len(records) < limit:
                _, type_, room, session, _, data = self._at(at)
                if filter.matches(type_, room, session):
                    records.append(Record(at, data))
                at -= 1
            return Page(records, at)

    def offset_at(self, at: float) -> int:
        with self._mutex:
            index = bisect_left(self._kept, at, self._skip, key=lambda kept: kept[0] if kept else 0.0)
            return self.floor + index - self._skip

    def trim(self, now: float) -> bool:
        with self._mutex:
            retention = self._retention
            removed = 0
            while self.floor < self.head and removed < SCAN:
                received, _, _, _, event_id, data = self._at(self.floor + 1)
                old = retention.age is not None and received < now - retention.age
                if not old and (retention.size is None or self._size <= retention.size):
                    break
                self._kept[self._skip] = None
                self._skip += 1
                self.floor += 1
                removed += 1
                self._size -= len(data) + _OVERHEAD
                if event_id is not None:
                    del self._ids[event_id]
            if self._skip >= _COMPACT:
                del self._kept[: self._skip]
                self._skip = 0
            return removed == SCAN

    def size(self) -> int:
        return self._size

    def close(self) -> None:
        with self._mutex:
            self._kept.clear()
            self._ids.clear()
            self._skip = 0
            self.floor = self.head

    def _at(self, offset: int) -> _Kept:
        kept = self._kept[offset - self.floor - 1 + self._skip]
        assert kept is not None
        return kept
