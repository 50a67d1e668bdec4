"""Exponential backoff between retries."""

from __future__ import annotations

import random

MAX_REQUESTED = 300.0
"""Maximum seconds accepted from a `Retry-After` header or `retry:` line: a wrong value must not stop retries for a day."""


class Backoff:
    """Delays between retries, in seconds: starting at `first` and doubling up to `limit`. Each is drawn between half and
    all of that, so that a thousand publishers do not retry at the same moment."""

    def __init__(self, first: float, limit: float) -> None:
        self._first = first
        self._limit = limit
        self._retries = 0

    def next(self, requested: float | None = None) -> float:
        """The next delay in seconds, and at least the delay that the other side `requested`."""
        full = min(self._limit, self._first * 2.0 ** min(self._retries, 30))
        self._retries += 1
        return max(full * random.uniform(0.5, 1.0), min(requested or 0.0, MAX_REQUESTED))

    def reset(self) -> None:
        """Start over after a success."""
        self._retries = 0
