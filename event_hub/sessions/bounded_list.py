"""A list that keeps the newest entries of a session, limited in number and in size. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

SIZE = 8_000_000
"""Characters that are kept of one session's conversation, and of its turns: a day of talk has about one million."""

_T = TypeVar("_T")
_SMALL = frozenset({int, float, bool, type(None)})


class BoundedList(Generic[_T]):
    """An ordered list whose oldest entries make room for new ones. Entries may grow after they were added.

    limit: the number of entries. weigh: the size of an entry, in characters.
    """

    def __init__(self, limit: int, weigh: Callable[[_T], int], size: int = SIZE) -> None:
        self.forgotten = 0
        """How many entries were dropped."""
        self._limit = limit
        self._weigh = weigh
        self._size = size
        self._kept: list[_T] = []
        self._at_most = 0
        """An upper bound of their size: text that was replaced counts until this exceeds the limit."""

    def __iter__(self) -> Iterator[_T]:
        return iter(self._kept)

    def newest(self, most: int) -> Iterator[_T]:
        """The newest entries, from the end."""
        return islice(reversed(self._kept), most)

    def add(self, entry: _T, before: int = 0) -> None:
        """Add an entry in front of the newest `before` entries."""
        if before:
            self._kept.insert(len(self._kept) - before, entry)
        else:
            self._kept.append(entry)
        if len(self._kept) > self._limit:
            self._forget(1)

    def take_out(self, from_end: int) -> _T:
        """Remove and return the entry that has `from_end` newer ones, so that it can be added elsewhere."""
        return self._kept.pop(len(self._kept) - 1 - from_end)

    def grew(self, characters: int) -> None:
        """An entry has grown by at most this size."""
        self._at_most += characters
        if self._at_most <= self._size:
            return
        weights = [self._weigh(entry) for entry in self._kept]
        total = sum(weights)
        if total > self._size * 3 // 4:  # more than necessary, so that this is rare
            gone = 0
            while total > self._size // 2 and gone < len(weights) - 1:
                total -= weights[gone]
                gone += 1
            self._forget(gone)
        self._at_most = total

    def _forget(self, count: int) -> None:
        del self._kept[:count]
        self.forgotten += count


def weight(fields: Mapping[str, Any]) -> int:
    """About how many characters these fields take as JSON."""
    total = 0
    for value in fields.values():
        if type(value) is str:
            total += len(value)
        elif type(value) not in _SMALL:
            total += len(repr(value))
    return total + 20 * len(fields)
