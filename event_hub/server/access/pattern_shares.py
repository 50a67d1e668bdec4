"""How many patterns with `*` each client may watch: an event may have to be compared with every one that is watched."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import RequestError
from ..filters import Filter

SHARE = 4
"""One client may hold a quarter of HUB_MAX_GLOBS, so that others can still subscribe."""


class Holder(NamedTuple):
    """A client that patterns are counted for. `kind`: credential or address. `label`: its name in an error."""

    kind: str
    name: str
    label: str


class PatternShares:
    """The filters with patterns in open streams, in all and by holder. Streams with the same filter share its cost, so a
    holder's second stream with it costs nothing. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._share = -(-limit // SHARE)
        self._streams: dict[tuple[str, str] | None, dict[Filter, int]] = {}
        """By holder, and for all together (None): the streams with each filter."""
        self._globs: dict[tuple[str, str] | None, int] = {}
        """Likewise: the patterns of these filters."""
        self._lock = threading.Lock()

    def take(self, filter: Filter, holders: Sequence[Holder]) -> None:
        """Count a stream with `filter` for all of `holders`, until `release` with the same; raises `RequestError`."""
        with self._lock:
            for holder in holders:
                if self._with(holder[:2], filter) > self._share:
                    text = (
                        f"{holder.label} may watch {self._share} different patterns with *, a quarter of HUB_MAX_GLOBS"
                    )
                    raise RequestError("too_many_filters", f"{text}; close one of its streams, or use exact names")
            if self._with(None, filter) > self._limit:
                text = f"{self._limit} different patterns with * may be watched at once"
                raise RequestError("too_many_filters", text)
            for key in (None, *(holder[:2] for holder in holders)):
                self._globs[key] = self._with(key, filter)
                streams = self._streams.setdefault(key, {})
                streams[filter] = streams.get(filter, 0) + 1

    def release(self, filter: Filter, holders: Sequence[Holder]) -> None:
        """A stream that `take` has counted is over."""
        with self._lock:
            for key in (None, *(holder[:2] for holder in holders)):
                streams = self._streams[key]
                streams[filter] -= 1
                if not streams[filter]:
                    del streams[filter]
                    self._globs[key] -= filter.globs
                if not streams:
                    del self._streams[key], self._globs[key]

    def counts(self) -> dict[str, int]:
        """The patterns that are counted, by holder; under the empty name, all of them."""
        with self._lock:
            return {" ".join(key) if key else "": count for key, count in self._globs.items()}

    def _with(self, key: tuple[str, str] | None, filter: Filter) -> int:
        known = filter in self._streams.get(key, ())
        return self._globs.get(key, 0) + (0 if known else filter.globs)
