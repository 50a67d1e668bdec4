"""What is kept of a session to be shown: the newest, so many and of such a size at the most. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

SIZE = 8_000_000
"""Characters of one session that are kept, of its conversation and of its turns each: a day's talk has one million."""

_T = TypeVar("_T")
_SMALL = frozenset({int, float, bool, type(None)})


class Shelf(Generic[_T]):
    """Things in their order, the oldest of which make room for new ones; they may grow where they are.

    limit: so many at the most. weigh: the size of one, in characters.
    """

    def __init__(self, limit: int, weigh: Callable[[_T], int], size: int = SIZE) -> None:
        self.forgotten = 0
        """Things that are no longer kept."""
        self._limit = limit
        self._weigh = weigh
        self._size = size
        self._kept: list[_T] = []
        self._atmost = 0
        """What they weigh at the most: what was replaced is weighed as well, until this grows beyond the size."""

    def __iter__(self) -> Iterator[_T]:
        return iter(self._kept)

    def add(self, thing: _T) -> None:
        """One more, the newest."""
        self._kept.append(thing)
        if len(self._kept) > self._limit:
            self._forget(1)

    def grew(self, characters: int) -> None:
        """One of them has grown by so much, at the most."""
        self._atmost += characters
        if self._atmost <= self._size:
            return
        weights = [self._weigh(thing) for thing in self._kept]
        total = sum(weights)
        if total > self._size * 3 // 4:  # some more than need be, so that it is seldom
            gone = 0
            while total > self._size // 2 and gone < len(weights) - 1:
                total -= weights[gone]
                gone += 1
            self._forget(gone)
        self._atmost = total

    def _forget(self, count: int) -> None:
        del self._kept[:count]
        self.forgotten += count


def weight(fields: Mapping[str, Any]) -> int:
    """About how many characters the fields of an event, or of what became of it, take as JSON."""
    total = 0
    for value in fields.values():
        if type(value) is str:
            total += len(value)
        elif type(value) not in _SMALL:
            total += len(repr(value))
    return total + 20 * len(fields)
