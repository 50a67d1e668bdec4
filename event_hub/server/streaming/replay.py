"""A new subscriber's way from its start to the live events, without gaps or duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ... import sse
from ..cooperate import TimeSlice
from ..filters import Filter
from ..history import HistoryReader
from . import notices
from .broadcast import Broadcast
from .start import PAGE, Start
from .subscriber import Subscriber

_COUNTED = 5_000
"""Replays of up to this many events are counted in advance, to report how many events match the filter."""


class Replay:
    """One new subscriber's replay.

    Send `opening()`, then everything that `pages()` yields; when it is exhausted, the subscriber is attached.
    """

    def __init__(
        self, history: HistoryReader, broadcast: Broadcast, filter: Filter, start: Start, now: Callable[[], float]
    ) -> None:
        self._history = history
        self._broadcast = broadcast
        self._filter = filter
        self._start = start
        self._after = start.offset
        self._now = now

    def opening(self, spread: float) -> bytes:
        """`retry:`, `stream_opened`, and the gap, if there is one."""
        start, now = self._start, self._now()
        cursor = self._history.cursor(start.offset)
        first = notices.opened(cursor, now, resumed=start.resumed, replayed=self._count(), spread=spread)
        if start.gap:
            self._broadcast.counters.gap(start.gap)
            first += notices.gap(start.gap, now)
        return first

    def attach_now(self, subscriber: Subscriber) -> bool:
        """Attach if nothing has to be read from the history; otherwise use `pages`."""
        with self._broadcast.lock:
            return self._attach(subscriber)

    def pages(self, subscriber: Subscriber) -> Iterator[list[bytes]]:
        """Yield frames from the history, in order, a page at a time, until the log takes over seamlessly."""
        history, broadcast = self._history, self._broadcast
        time_slice = TimeSlice()
        while not self.attach_now(subscriber):
            if gap := history.retention_gap(self._after, self._filter):
                broadcast.counters.gap(gap)
                self._after = gap.to.offset
                yield [notices.gap(gap, self._now())]
                continue  # retention may have moved on while that was sent
            page = history.after(self._after, history.head, self._filter, PAGE)
            if history.floor > self._after:
                continue  # retention has removed some of that meanwhile
            self._after = page.through
            if page.records:
                epochs = history.epochs
                frames = [sse.frame(epochs.of(offset), offset, sse.one_line(data)) for offset, data in page.records]
                broadcast.counters.deliveries += len(frames)
                broadcast.counters.sent_bytes += sum(map(len, frames))
                yield frames
            time_slice.pause_if_due()
        broadcast.wake()

    def _attach(self, subscriber: Subscriber) -> bool:
        """Attach to the view if it reaches back to where the replay is. With the lock held."""
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

    def _count(self) -> int | None:
        """How many stored events will be sent; None if all of them would have to be read to tell."""
        history, after = self._history, self._start.offset
        head = history.head
        if self._filter.everything or head == after:
            return head - after
        if head - after > _COUNTED:
            return None
        count = 0
        while after < head:
            page = history.after(after, head, self._filter, PAGE)
            count += len(page.records)
            after = page.through
        return count
