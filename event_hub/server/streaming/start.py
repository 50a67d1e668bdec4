"""Where a reader begins: what it asks for, turned into an offset of the history, with a gap if events are missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ...sse import Cursor
from ..cooperate import TimeSlice
from ..errors import RequestError
from ..filters import Filter
from ..gap import Gap
from ..history import HistoryReader
from ..units import seconds

PAGE = 500
"""Events read from the history at a time: about half a millisecond of work."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Where a subscriber asks to begin, by the first of these that is given: the last id that it has seen, a point in the
    past, a number of events. If none is given, it begins now."""

    last_id: str = ""
    since: str = ""
    replay: int = 0

    def check(self) -> StartRequest:
        """Raise `RequestError` if `since` is not valid.

        `last_id` is never refused: a browser sends whatever id it saw last, and a 4xx would end its EventSource for good.
        """
        if self.since:
            self.moment(0.0)
        return self

    def moment(self, now: float) -> float | None:
        """The time that `since` means, in epoch seconds; None if it is a cursor or `all`."""
        since = self.since
        if since == "all" or Cursor.parse(since):
            return None
        if re.fullmatch(r"\d{9,11}(\.\d{1,9})?", since):
            return float(since)
        try:
            return now - seconds(since)
        except ValueError:
            raise RequestError(
                "bad_cursor",
                "since is the id of an event, a duration (30s, 5m, 2h, 7d), epoch seconds, or all",
                field="since",
            ) from None


@dataclass(frozen=True, slots=True)
class Start:
    """A reader begins after `offset`. `gap`: what it asked for and cannot get."""

    offset: int
    resumed: bool = False
    gap: Gap | None = None


def find_start(request: StartRequest, filter: Filter, history: HistoryReader, clock: Callable[[], float]) -> Start:
    """The start that `request` asks for. `clock`: gives the time in epoch seconds."""
    if request.since or request.replay:
        history.catch_up()
    if request.last_id:
        return resume(request.last_id, filter, history)
    if request.since:
        if Cursor.parse(request.since):
            return resume(request.since, filter, history)
        moment = request.moment(clock())
        return Start(history.floor if moment is None else history.offset_at(moment))
    if request.replay:
        return Start(_newest(request.replay, filter, history))
    return Start(history.head)


def resume(text: str, filter: Filter, history: HistoryReader) -> Start:
    """The start after the cursor `text`, with a gap if events after it are missing."""
    cursor = Cursor.parse(text)
    if cursor is None:
        return _start_with_gap(history, history.floor, None, "unknown_cursor")
    survived = history.survived(cursor)
    if survived is None:
        return _start_with_gap(history, history.floor, cursor, "unknown_epoch")
    offset, whole = survived
    if not whole:
        return _start_with_gap(history, max(offset, history.floor), cursor, "unknown_epoch")
    if offset > history.head:
        return _start_with_gap(history, history.head, cursor, "future_cursor")
    if gap := history.retention_gap(offset, filter):
        return Start(gap.to.offset, gap=gap._replace(after=cursor))
    return Start(offset, resumed=True)


def _start_with_gap(history: HistoryReader, offset: int, after: Cursor | None, reason: str) -> Start:
    return Start(offset, gap=Gap(None, after, history.cursor(offset), reason))


def _newest(count: int, filter: Filter, history: HistoryReader) -> int:
    """The offset before the newest `count` matching events."""
    if filter.everything:
        return max(history.floor, history.head - count)
    offset = history.head
    time_slice = TimeSlice()
    while count and offset > history.floor:
        page = history.before(offset, filter, min(count, PAGE))
        count -= len(page.records)
        offset = page.through
        time_slice.pause_if_due()
    return max(offset, history.floor)
