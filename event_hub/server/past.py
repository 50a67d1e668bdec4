"""What a page of the history follows on: the past of its conversations, without what later events have replaced."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ..sessions import Condenser
from .breath import Breath
from .filters import Filter
from .history import History, Record

_PAGE = 250
"""Events that are read at a time: half a millisecond, in which nobody else is served."""
_SCANNED = 100_000
"""Events that are looked at, at the most."""
_SCANNED_BYTES = 32 << 20
_BYTES = 4 << 20
"""A past's size; and that of an answer, up to which it is kept."""
_KEPT = 8
"""Pasts and answers that are kept: those that several who come together ask for."""

_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class Past(NamedTuple):
    """`records`: what is left of the events before a place, oldest first; `more`: there are older ones."""

    records: list[Record]
    more: bool


class PastReader:
    """Reads pasts, and answers of which they are a part, for several at once: whoever asks while an answer is being made
    gets the next one, together with all who wait, and none that is older than the question."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._pasts: OrderedDict[tuple[Filter, int, int], Past] = OrderedDict()
        self._answers: OrderedDict[Any, tuple[int, bytes]] = OrderedDict()

    def answer(self, key: Any, make: Callable[[], bytes]) -> bytes:
        """The answer to `key`: that of somebody who asked at the same time, or what `make` gives."""
        asked = self._history.head
        with self._lock:
            known = self._answers.get(key)
            if known is not None and known[0] >= asked:
                made = known[1]
            else:
                head = self._history.head
                made = make()
                if len(made) <= _BYTES:
                    _keep(self._answers, key, (head, made))
        time.sleep(0)  # gevent wakes all who wait for a lock in one go: the others of the hub come first
        return made

    def past(self, filter: Filter, end: int, limit: int) -> Past:
        """What is left of the matching events up to and with `end`, at most `limit` of them."""
        key = (filter, end, limit)
        known = self._pasts.get(key)
        if known is None:
            known = self._read(filter, end, limit)
            _keep(self._pasts, key, known)
        return known

    def _read(self, filter: Filter, end: int, limit: int) -> Past:
        history, condenser = self._history, Condenser()
        offset = min(end, history.head)
        least = max(history.floor, offset - _SCANNED)
        size = 0
        breath = Breath()
        while offset > least and len(condenser) < limit and size < _SCANNED_BYTES:
            page = history.before(offset, filter, _PAGE)
            for record in page.records:
                condenser.take(record.offset, _decode(record.data))
                size += len(record.data)
                breath.take()
            offset = page.through
            breath.take()
        records: list[Record] = []
        room = _BYTES
        for at, event in reversed(condenser.events()):
            data = msgspec.json.encode(event)
            room -= len(data)
            if len(records) == limit or room < 0:
                return Past(records[::-1], True)
            records.append(Record(at, data))
            breath.take()
        return Past(records[::-1], offset > history.floor)


def _keep(found: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    found[key] = value
    found.move_to_end(key)
    if len(found) > _KEPT:
        found.popitem(last=False)
