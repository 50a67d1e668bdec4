"""The condensed past that precedes a page of the history: conversations without events that later ones replace."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from ..sessions import Condenser
from .cooperate import TimeSlice, Turns
from .filters import Filter
from .history import HistoryReader, Record

_PAGE = 250
"""Events in one read: half a millisecond, during which no other request is served."""
_SCANNED = 100_000
"""Maximum number of events to examine."""
_SCANNED_BYTES = 32 << 20
"""Maximum bytes of events to examine."""
_BYTES = 4 << 20
"""Maximum size of a past, and of a response that is cached."""
_CACHED = 8
"""Number of pasts and of responses in the cache: enough for pages that are opened at the same time."""

_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class Past(NamedTuple):
    """`records`: the condensed events up to an offset, oldest first. `more`: whether there are older ones."""

    records: list[Record]
    more: bool


class _Making:
    """A response that is being made, and the requests that wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests = 0


class CondensedReader:
    """Reads pasts, and shares responses between requests: those that arrive while a response is being made all get the
    next one. A response is never older than its request. Requests for different pasts take turns. Thread-safe."""

    def __init__(self, history: HistoryReader, turns: Turns) -> None:
        self._history = history
        self._turns = turns
        self._lock = threading.Lock()
        self._making: dict[Any, _Making] = {}
        self._cleared = 0
        """How often the caches were emptied: what was begun before is not cached."""
        self._pasts: OrderedDict[tuple[Filter, int, int], Past] = OrderedDict()
        self._responses: OrderedDict[Any, tuple[int, bytes]] = OrderedDict()

    def response(self, key: Any, make: Callable[[TimeSlice], bytes]) -> bytes:
        """The response for `key`: from a concurrent request if there is one, otherwise from `make`."""
        needed = self._history.head
        with self._only_one(key):
            cached = self._responses.get(key)
            if cached is not None and cached[0] >= needed:
                response = cached[1]
            else:
                cleared, head = self._cleared, self._history.head
                with self._turns.turn() as time_slice:
                    response = make(time_slice)
                if len(response) <= _BYTES:
                    self._cache(self._responses, key, (head, response), cleared)
        time.sleep(0)  # gevent wakes all waiters of a lock at once: let the rest of the hub run in between
        return response

    @contextmanager
    def _only_one(self, key: Any) -> Iterator[None]:
        """Requests for the same response wait for each other; those for another do not."""
        with self._lock:
            making = self._making.setdefault(key, _Making())
            making.requests += 1
        try:
            with making.lock:
                yield
        finally:
            with self._lock:
                making.requests -= 1
                if not making.requests:
                    del self._making[key]

    def clear(self) -> None:
        """Empty the caches, because events were erased."""
        with self._lock:
            self._cleared += 1
            self._pasts.clear()
            self._responses.clear()

    def past(self, filter: Filter, end: int, limit: int, time_slice: TimeSlice) -> Past:
        """The condensed past up to and including the offset `end`: at most `limit` events that match `filter`."""
        key = (filter, end, limit)
        past = self._pasts.get(key)
        if past is None:
            cleared = self._cleared
            past = self._read(filter, end, limit, time_slice)
            self._cache(self._pasts, key, past, cleared)
        return past

    def _cache(self, cache: OrderedDict[Any, Any], key: Any, value: Any, cleared: int) -> None:
        with self._lock:
            if cleared == self._cleared:
                cache[key] = value
                cache.move_to_end(key)
                if len(cache) > _CACHED:
                    cache.popitem(last=False)

    def _read(self, filter: Filter, end: int, limit: int, time_slice: TimeSlice) -> Past:
        history, condenser = self._history, Condenser()
        offset = min(end, history.head)
        least = max(history.floor, offset - _SCANNED)
        size = 0
        while offset > least and len(condenser) < limit and size < _SCANNED_BYTES:
            page = history.before(offset, filter, _PAGE)
            for record in page.records:
                condenser.take(record.offset, _decode(record.data))
                size += len(record.data)
                time_slice.pause_if_due()
            offset = page.through
            time_slice.pause_if_due()
        records: list[Record] = []
        room = _BYTES
        for at, event in reversed(condenser.events()):
            data = msgspec.json.encode(event)
            room -= len(data)
            if len(records) == limit or room < 0:
                return Past(records[::-1], True)
            records.append(Record(at, data))
            time_slice.pause_if_due()
        return Past(records[::-1], offset > history.floor)
