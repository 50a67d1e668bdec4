"""A new subscriber's way from its start to the live events, without gaps or duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..cooperate import TimeSlice
from ..filters import Filter
from ..history import HistoryError, HistoryReader
from . import notices
from .broadcast import Broadcast
from .replay_pages import ReplayPage, ReplayPages
from .start import Start
from .subscriber import Subscriber

_COUNTED = 5_000
"""Replays of up to this many events are counted in advance, to report how many events match the filter."""


class Replay:
    """One new subscriber's replay.

    Send `opening()`, then everything that `next()` returns; when it returns None, the subscriber is attached.
    """

    __slots__ = ("_after", "_broadcast", "_filter", "_history", "_now", "_pages", "_restarts", "_start")

    def __init__(
        self,
        history: HistoryReader,
        broadcast: Broadcast,
        filter: Filter,
        start: Start,
        now: Callable[[], float],
        pages: ReplayPages,
    ) -> None:
        self._history = history
        self._broadcast = broadcast
        self._filter = filter
        self._start = start
        self._after = start.offset
        self._now = now
        self._pages = pages
        self._restarts = broadcast.log.restarts

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
        """Attach if nothing has to be read from the history; otherwise use `next`."""
        subscriber.offset = self._after
        with self._broadcast.lock:
            return self._attach(subscriber)

    def next(self, subscriber: Subscriber) -> ReplayPage | None:
        """The next frames from the history, in order; None once the log takes over seamlessly and the subscriber is
        attached. A page may be empty: nothing matched. Raises `HistoryError`."""
        history, broadcast = self._history, self._broadcast
        while not self.attach_now(subscriber):
            if gap := history.retention_gap(self._after, self._filter):
                broadcast.counters.gap(gap)
                self._after = subscriber.offset = gap.to.offset
                return ReplayPage(notices.gap(gap, self._now()), 0, self._after, full=True)
            page = self._pages.after(self._after, self._filter)
            if history.floor > self._after:
                continue  # retention has removed some of that meanwhile
            self._after = subscriber.offset = page.through
            broadcast.counters.deliveries += page.count
            broadcast.counters.sent_bytes += len(page.data)
            return page
        broadcast.wake()
        return None

    def pages(self, subscriber: Subscriber) -> Iterator[bytes]:
        """Yield what `next` returns, and let others run in between."""
        time_slice = TimeSlice()
        while (page := self.next(subscriber)) is not None:
            if page.data:
                yield page.data
            time_slice.pause_if_due()

    def _attach(self, subscriber: Subscriber) -> bool:
        """Attach to the view if it reaches back to where the replay is. With the lock held."""
        broadcast = self._broadcast
        if broadcast.log.restarts != self._restarts:
            raise HistoryError("the history has lost events meanwhile: the stream resumes with a gap")
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
        after = self._start.offset
        head = self._history.head
        if self._filter.everything or head == after:
            return head - after
        if head - after > _COUNTED:
            return None
        count = 0
        while after < head:
            page = self._pages.after(after, self._filter)
            count += page.count
            after = page.through
        return count
