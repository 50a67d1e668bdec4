"""A history as those see it who look for a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..filters import Filter
from .base import HistoryPage, Record
from .reader import HistoryReader

_EXAMINED = 500
"""Events that one read examines."""
_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


class SearchedHistory(HistoryReader):
    """Only the events that have the text in one of their values, in any case. A read examines a bounded number of events, so
    it may find none although there are more."""

    def __init__(self, inner: HistoryReader, text: str) -> None:
        super().__init__(inner._history, inner._log)
        self._text = text.casefold()

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        page = super().after(offset, until, filter, _EXAMINED)
        found = [record for record in page.records if self._has(record)]
        return HistoryPage(found[:limit], found[limit - 1].offset if len(found) > limit else page.through)

    def before(self, offset: int, filter: Filter, limit: int) -> HistoryPage:
        page = super().before(offset, filter, _EXAMINED)
        found = [record for record in page.records if self._has(record)]
        return HistoryPage(found[:limit], found[limit - 1].offset - 1 if len(found) > limit else page.through)

    def _has(self, record: Record) -> bool:
        return _contains(_decode(record.data), self._text)


def _contains(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return text in value.casefold()
    if isinstance(value, dict):
        return any(_contains(each, text) for each in value.values())
    if isinstance(value, list):
        return any(_contains(each, text) for each in value)
    return value is not None and text in str(value).casefold()
