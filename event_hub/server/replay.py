"""Where a new subscriber begins, and its way from there to the live events without a hole or a repetition."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .. import sse
from ..sse import Cursor
from . import notices
from .breath import Breath
from .broadcast import Broadcast, Subscriber
from .errors import HubError
from .filters import Filter
from .history import History
from .settings import seconds

PAGE = 500
"""Events read from the history at a time: half a millisecond."""
_COUNTED = 5_000
"""Replays up to this many events look ahead to tell how many match a filter."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Where a subscriber asked to begin, the first of these that is given: the id that it saw last, a point in the
    past, a number of events; none of them: now."""

    last_id: str = ""
    since: str = ""
    replay: int = 0

    def check(self) -> Wish:
        """Raise `HubError` for a `since` that means nothing.

        `last_id` is never refused: a browser sends whatever it saw last, and a 4xx would end its EventSource for good.
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
            raise HubError(
                "bad_cursor",
                "since is the id of an event, a duration (30s, 5m, 2h, 7d), epoch seconds, or all",
                field="since",
            ) from None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a stream begins: after `offset`. `gap`: what it cannot have, as (missed, from, reason)."""

    offset: int
    resumed: bool = False
    gap: tuple[int | None, str | None, str] | None = None


def find_start(wish: Wish, filter: Filter, history: History, now: float) -> Start:
    """Turn a wish into a place in the history."""
    if wish.last_id:
        return resume(wish.last_id, filter, history)
    if wish.since:
        if Cursor.parse(wish.since):
            return resume(wish.since, filter, history)
        moment = wish.moment(now)
        return Start(history.floor if moment is None else history.offset_at(moment))
    if wish.replay:
        return Start(_newest(wish.replay, filter, history))
    return Start(history.head)


def resume(text: str, filter: Filter, history: History) -> Start:
    """The place after the cursor that `text` writes, and the gap where something between is gone."""
    cursor = Cursor.parse(text)
    if cursor is None:
        return Start(history.floor, gap=(None, None, "unknown_cursor"))
    place = history.epochs.survived(cursor)
    if place is None:
        return Start(history.floor, gap=(None, str(cursor), "unknown_epoch"))
    offset, whole = place
    if not whole:
        return Start(max(offset, history.floor), gap=(None, str(cursor), "unknown_epoch"))
    if offset > history.head:
        return Start(history.head, gap=(None, str(cursor), "future_cursor"))
    if offset < history.floor:
        missed = history.floor - offset if filter.everything else None
        return Start(history.floor, gap=(missed, str(cursor), "retention"))
    return Start(offset, resumed=True)


def _newest(count: int, filter: Filter, history: History) -> int:
    """The offset before the newest `count` events that match."""
    if filter.everything:
        return max(history.floor, history.head - count)
    offset = history.head
    breath = Breath()
    while count and offset > history.floor:
        page = history.before(offset, filter, min(count, PAGE))
        count -= len(page.records)
        offset = page.through
        breath.take()
    return max(offset, history.floor)


class Replay:
    """One new subscriber's way to the live events.

    Use: send `opening()`, then everything that `pages()` yields; when that has ended, the subscriber is attached.
    """

    def __init__(
        self, history: History, broadcast: Broadcast, filter: Filter, start: Start, now: Callable[[], float]
    ) -> None:
        self._history = history
        self._broadcast = broadcast
        self._filter = filter
        self._start = start
        self._after = start.offset
        self._now = now

    def opening(self, spread: float) -> bytes:
        """`retry:`, `stream_opened`, and the gap where there is one."""
        history, start, now = self._history, self._start, self._now()
        cursor = history.epochs.cursor(start.offset)
        first = notices.opened(cursor, now, resumed=start.resumed, replayed=self._count(), spread=spread)
        if start.gap:
            missed, from_, reason = start.gap
            self._note_gap(missed, reason)
            first += notices.gap(missed, from_, cursor, reason, now)
        return first

    def attach_now(self, subscriber: Subscriber) -> bool:
        """Attach if nothing has to come from the history; else use `pages`."""
        with self._broadcast.lock:
            return self._attach(subscriber)

    def pages(self, subscriber: Subscriber) -> Iterator[bytes]:
        """Frames from the history, in order, until the live log takes over in the same instant."""
        history, broadcast = self._history, self._broadcast
        breath = Breath()
        while True:
            with broadcast.lock:
                if self._attach(subscriber):
                    break
            if history.floor > self._after:  # retention was faster
                yield self._passed_by()
                continue  # and it may have gone on while that was sent
            page = history.after(self._after, history.head, self._filter, PAGE)
            self._after = page.through
            if page.records:
                cursor = history.epochs.cursor
                data = b"".join(sse.frame(cursor(r.offset).epoch, r.offset, r.data) for r in page.records)
                broadcast.figures.deliveries += len(page.records)
                broadcast.figures.sent_bytes += len(data)
                yield data
            breath.take()
        broadcast.wake()

    def _attach(self, subscriber: Subscriber) -> bool:
        """Attach to the view if it reaches back to where we are. With the lock held."""
        broadcast = self._broadcast
        view = broadcast.log.find(self._filter)
        position = view.position_after(self._after) if view else None
        if position is None:
            if self._after < broadcast.log.head:
                return False
            view = broadcast.log.watch(self._filter)
            position = view.head
        assert view is not None
        broadcast.attach(subscriber, view, position)
        return True

    def _passed_by(self) -> bytes:
        history = self._history
        floor = history.floor
        missed = floor - self._after if self._filter.everything else None
        self._note_gap(missed, "retention")
        cursor = history.epochs.cursor
        frame = notices.gap(missed, str(cursor(self._after)), cursor(floor), "retention", self._now())
        self._after = floor
        return frame

    def _note_gap(self, missed: int | None, reason: str) -> None:
        self._broadcast.figures.gaps[reason] += 1
        self._broadcast.figures.missed += missed or 0

    def _count(self) -> int | None:
        """How many stored events will be sent; None where only looking at all of them would tell."""
        history, after = self._history, self._start.offset
        if self._filter.everything or history.head == after:
            return history.head - after
        if history.head - after > _COUNTED:
            return None
        count = 0
        while after < history.head:
            page = history.after(after, history.head, self._filter, PAGE)
            count += len(page.records)
            after = page.through
        return count
