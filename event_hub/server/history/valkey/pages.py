"""Reads pages of events from the stream, with the tombstones of those that were erased in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...filters import Filter
from ..base import PAGE_BYTES, SCAN, TOMBSTONE, Draft, HistoryPage, Names, Record, draft_of, names_of

_READ = 500
"""Entries in one read: half a millisecond of work."""
_FIRST = 50
"""Entries in the first read: their size, which is not known yet, can be 64 KiB each."""


class Entry(NamedTuple):
    """`erased`: `data` is the tombstone of an event that was erased."""

    offset: int
    data: bytes
    erased: bool = False

    @property
    def draft(self) -> Draft:
        """The event with what filters need of it."""
        if self.erased:
            return Draft(TOMBSTONE, None, None, None, self.data)
        return draft_of(self.data)

    def passes(self, filter: Filter) -> bool:
        names = names_of(self.data) if not self.erased else _ERASED
        return filter.matches(names.type, names.room, names.session)


_ERASED = Names(TOMBSTONE)


def entries_of(answer: list[Any]) -> list[Entry]:
    """What XRANGE, or XREAD for one stream, answers."""
    return [Entry(int(id.partition(b"-")[0]), fields[3]) for id, fields in answer]


class Pages:
    """Reads through `call` from a stream, and from the sorted set of tombstones. `missing` is called where there is neither:
    another hub has removed events."""

    def __init__(self, call: Callable[..., Any], stream: str, erased: str, missing: Callable[[], None]) -> None:
        self._call = call
        self._stream = stream
        self._erased = erased
        self._missing = missing

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        """As `History.after`. `through` is less than `until` where the page is full."""
        records: list[Record] = []
        size = 0
        everything = filter.everything
        for looked, entry in enumerate(self._forwards(offset, until, limit if everything else SCAN), 1):
            if everything or entry.passes(filter):
                records.append(Record(entry.offset, entry.data))
                size += len(entry.data)
            if len(records) == limit or size >= PAGE_BYTES or looked == SCAN:
                return HistoryPage(records, entry.offset)
        return HistoryPage(records, max(offset, until))

    def before(self, offset: int, floor: int, filter: Filter, limit: int) -> HistoryPage:
        """As `History.before`."""
        records: list[Record] = []
        size = 0
        everything = filter.everything
        for looked, entry in enumerate(self._backwards(offset, floor, limit if everything else SCAN), 1):
            if everything or entry.passes(filter):
                records.append(Record(entry.offset, entry.data))
                size += len(entry.data)
            if len(records) == limit or size >= PAGE_BYTES or looked == SCAN:
                return HistoryPage(records, entry.offset - 1)
        return HistoryPage(records, floor)

    def _forwards(self, offset: int, until: int, limit: int) -> Iterator[Entry]:
        count = min(_FIRST, limit)
        while offset < until:
            answer = self._call("XRANGE", self._stream, f"{offset + 1}-0", f"{until}-0", "COUNT", count)
            entries = entries_of(answer)
            end = entries[-1].offset if len(entries) == count else until
            if end - offset > len(entries):
                entries = self.filled(entries, offset, end)
            yield from entries
            offset, count = end, min(limit, _next_count(entries))

    def _backwards(self, offset: int, floor: int, limit: int) -> Iterator[Entry]:
        count = min(_FIRST, limit)
        while offset > floor:
            answer = self._call("XREVRANGE", self._stream, f"{offset}-0", f"{floor + 1}-0", "COUNT", count)
            entries = entries_of(answer)
            end = entries[-1].offset - 1 if len(entries) == count else floor
            if offset - end > len(entries):
                entries = self.filled(entries, end, offset)[::-1]
            yield from entries
            offset, count = end, min(limit, _next_count(entries))

    def filled(self, entries: list[Entry], after: int, until: int) -> list[Entry]:
        """`entries`, all that the stream has after `after` and up to `until`, with the tombstones, oldest first."""
        found = self._call("ZRANGEBYSCORE", self._erased, after + 1, until)
        members = (member.partition(b" ") for member in found)
        tombstones = [Entry(int(offset), data, True) for offset, _, data in members]
        if len(entries) + len(tombstones) < until - after:
            self._missing()
        return sorted([*entries, *tombstones])


def _next_count(entries: list[Entry]) -> int:
    size = sum(len(entry.data) for entry in entries) / len(entries) if entries else 1.0
    return max(1, min(_READ, int(PAGE_BYTES / max(size, 1.0))))
