"""How long to wait before the next try."""

from __future__ import annotations

import random

LONGEST_WISH = 300.0
"""Seconds of a `Retry-After` or `retry:` that are honoured: a mistaken one must not silence us for a day."""


class Backoff:
    """Seconds between tries: from `first` on, twice as long each time, up to `most`; each between half and all of that,
    so that a thousand publishers do not come back in the same instant."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._tries = 0

    def next(self, wish: float | None = None) -> float:
        """The next wait in seconds; at least `wish`, what the other side asked for."""
        full = min(self._most, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return max(full * random.uniform(0.5, 1.0), min(wish or 0.0, LONGEST_WISH))

    def reset(self) -> None:
        """It has worked: the next wait is the first again."""
        self._tries = 0
