"""The condensed past that precedes a page of the history: conversations without events that later ones replace."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ..sessions import Condenser
from .cooperate import TimeSlice
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


class CondensedReader:
    """Reads pasts, and shares responses between requests: those that arrive while a response is being made all get the
    next one. A response is never older than its request."""

    def __init__(self, history: HistoryReader) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._pasts: OrderedDict[tuple[Filter, int, int], Past] = OrderedDict()
        self._responses: OrderedDict[Any, tuple[int, bytes]] = OrderedDict()

    def response(self, key: Any, make: Callable[[], bytes]) -> bytes:
        """The response for `key`: from a concurrent request if there is one, otherwise from `make`."""
        needed = self._history.head
        with self._lock:
            cached = self._responses.get(key)
            if cached is not None and cached[0] >= needed:
                response = cached[1]
            else:
                head = self._history.head
                response = make()
                if len(response) <= _BYTES:
                    _cache(self._responses, key, (head, response))
        time.sleep(0)  # gevent wakes all waiters of a lock at once: let the rest of the hub run in between
        return response

    def clear(self) -> None:
        """Empty the caches, because events were erased."""
        with self._lock:
            self._pasts.clear()
            self._responses.clear()

    def past(self, filter: Filter, end: int, limit: int) -> Past:
        """The condensed past up to and including the offset `end`: at most `limit` events that match `filter`."""
        key = (filter, end, limit)
        past = self._pasts.get(key)
        if past is None:
            past = self._read(filter, end, limit)
            _cache(self._pasts, key, past)
        return past

    def _read(self, filter: Filter, end: int, limit: int) -> Past:
        history, condenser = self._history, Condenser()
        offset = min(end, history.head)
        least = max(history.floor, offset - _SCANNED)
        size = 0
        time_slice = TimeSlice()
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


def _cache(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _CACHED:
        cache.popitem(last=False)
