"""A history in the memory of the process: `memory:`."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from ..filters import Filter, is_glob
from .base import (
    PAGE_BYTES,
    SCAN,
    TOMBSTONE,
    Appended,
    Draft,
    Epochs,
    History,
    HistoryPage,
    Record,
    Retention,
    new_tuple,
)

_OVERHEAD = 400
"""Bytes of memory per event in addition to its data: the tuple, the strings' headers, the list and the index."""
_COMPACT = 1_000
"""Deleted entries at the front of the list after which the list is compacted."""


# A plain tuple (at, type, room, session, event_id, data) of strings, bytes and numbers, so that the garbage collector stops
# tracking it. With a million named tuples, garbage collection took a fifth of all time.
_Entry = tuple[float, str, str | None, str | None, str | None, bytes]


class MemoryHistory(History):
    """Events in a list. Each process starts a new epoch, because the events do not survive the process."""

    kind = "memory"
    grouped = False

    def __init__(self, retention: Retention) -> None:
        self.epochs = Epochs([(Epochs.new_name(), 1)])
        self.head = 0
        self.floor = 0
        self._retention = retention
        self._entries: list[_Entry | None] = []
        self._skip = 0
        self._size = 0
        self._last_at = 0.0
        self._ids: dict[str, int] = {}
        self._by_room: dict[str, list[int]] = {}
        """The offsets of the events of each room."""
        self._mutex = threading.Lock()

    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        with self._mutex:
            at = self._last_at = max(at, self._last_at)
            head, ids, entries = self.head, self._ids, self._entries
            appended = []
            size = 0
            for type, room, session, event_id, data in drafts:
                if event_id is not None:
                    existing = ids.get(event_id)
                    if existing is not None:
                        appended.append(Appended(existing, True))
                        continue
                    ids[event_id] = head + 1
                head += 1
                entries.append((at, type, room, session, event_id, data))
                if room is not None:
                    self._by_room.setdefault(room, []).append(head)
                size += len(data)
                appended.append(new_tuple(Appended, (head, False)))
            self._size += size + _OVERHEAD * (head - self.head)
            self.head = head
            return appended

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        with self._mutex:
            offset = max(offset, self.floor)
            until = min(until, self.head)
            offsets = self._of_room(filter)
            if offsets is not None:
                begin, end = bisect_right(offsets, offset), bisect_right(offsets, until)
                return self._select(filter, limit, offsets[begin : min(end, begin + SCAN)], max(until, offset))
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
            return HistoryPage(records, max(at, offset))

    def before(self, offset: int, filter: Filter, limit: int) -> HistoryPage:
        with self._mutex:
            offsets = self._of_room(filter)
            if offsets is not None:
                end = bisect_right(offsets, offset)
                page = self._select(filter, limit, offsets[max(0, end - SCAN) : end][::-1], self.floor)
                return page if page.through == self.floor else HistoryPage(page.records, page.through - 1)
            records: list[Record] = []
            at = min(offset, self.head)
            end = max(self.floor, at - SCAN)
            while at > end and len(records) < limit:
                _, type_, room, session, _, data = self._at(at)
                if filter.matches(type_, room, session):
                    records.append(Record(at, data))
                at -= 1
            return HistoryPage(records, at)

    def _of_room(self, filter: Filter) -> list[int] | None:
        """The offsets of the only room that `filter` passes; None if it may pass others."""
        if len(filter.rooms) != 1 or is_glob(filter.rooms[0]):
            return None
        return self._by_room.get(filter.rooms[0], [])

    def _select(self, filter: Filter, limit: int, offsets: list[int], end: int) -> HistoryPage:
        """The matching events at `offsets`. `through`: the last offset examined, or `end` once all of them were."""
        records: list[Record] = []
        size = 0
        for looked, offset in enumerate(offsets, 1):
            _, type_, room, session, _, data = self._at(offset)
            if filter.matches(type_, room, session):
                records.append(Record(offset, data))
                size += len(data)
            if len(records) == limit or size >= PAGE_BYTES or looked == SCAN:
                return HistoryPage(records, offset)
        return HistoryPage(records, end)

    def offset_at(self, at: float) -> int:
        with self._mutex:
            index = bisect_left(self._entries, at, self._skip, key=lambda entry: entry[0] if entry else 0.0)
            return self.floor + index - self._skip

    def trim(self, now: float) -> bool:
        with self._mutex:
            retention = self._retention
            removed = 0
            rooms: set[str] = set()
            while self.floor < self.head and removed < SCAN:
                received, _, room, _, event_id, data = self._at(self.floor + 1)
                old = retention.age is not None and received < now - retention.age
                if not old and (retention.size is None or self._size <= retention.size):
                    break
                self._entries[self._skip] = None
                self._skip += 1
                self.floor += 1
                removed += 1
                self._size -= len(data) + _OVERHEAD
                if event_id is not None:
                    del self._ids[event_id]
                if room is not None:
                    rooms.add(room)
            for name in rooms:
                offsets = self._by_room[name]
                del offsets[: bisect_right(offsets, self.floor)]
                if not offsets:
                    del self._by_room[name]
            if self._skip >= _COMPACT:
                del self._entries[: self._skip]
                self._skip = 0
            return removed == SCAN

    def erase(self, tombstones: Mapping[int, bytes]) -> None:
        with self._mutex:
            for offset, data in tombstones.items():
                if self.floor < offset <= self.head:
                    at, _, room, _, event_id, old = self._at(offset)
                    self._entries[offset - self.floor - 1 + self._skip] = (at, TOMBSTONE, None, None, event_id, data)
                    self._size += len(data) - len(old)
                    if room is not None:
                        offsets = self._by_room[room]
                        del offsets[bisect_left(offsets, offset)]
                        if not offsets:
                            del self._by_room[room]

    def size(self) -> int:
        return self._size

    def close(self) -> None:
        with self._mutex:
            self._entries.clear()
            self._ids.clear()
            self._by_room.clear()
            self._skip = 0
            self.floor = self.head

    def _at(self, offset: int) -> _Entry:
        entry = self._entries[offset - self.floor - 1 + self._skip]
        assert entry is not None
        return entry
