"""Delivery: committed events go into the log, in the order of their offsets, each exactly once.

They come from this hub's own commits, and, if other processes append to the same history, from `History.follow`. Either may
be ahead of the other: a commit whose predecessors have not been delivered waits for the follower to bring them, and what
has been delivered already is skipped. So every hub on one history delivers the same events in the same order.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from itertools import groupby

from ... import sse
from ..filters import Filter
from ..history import History, HistoryError, HistoryLost, Stored
from ..history.base import draft_of
from ..history.health import HistoryHealth
from .broadcast import Broadcast
from .log import View
from .start import PAGE

logger = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that a commit waits for events of other processes that precede it. After that the follower delivers it."""
_RETRY = 1.0
"""Seconds between two attempts to follow a history that fails."""


def _names(event: Stored) -> tuple[str, str | None, str | None]:
    """What filters look at: type, room and session."""
    _, (type, room, session, _, _) = event
    return type, room, session


class Delivery:
    """Feeds the log. `start` it if the history is shared, `stop` it at the end."""

    def __init__(
        self,
        broadcast: Broadcast,
        history: History,
        health: HistoryHealth,
        restarted: Callable[[], None] = lambda: None,
        followed: Callable[[], None] = lambda: None,
    ) -> None:
        """`restarted`: called after the history has lost events that were delivered, to drop what was derived from them.
        `followed`: called after events of other processes were delivered."""
        self._broadcast = broadcast
        self._restarted = restarted
        self._followed = followed
        self._history = history
        self._health = health
        self._advanced = threading.Condition()
        self._waiting = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow a history that other processes append to."""
        if self._history.shared:
            self._thread = threading.Thread(target=self._follow_loop, name="hub-follow", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop following; the history must be closed before, so that `follow` returns."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(5)

    def deliver(self, batches: Sequence[Sequence[Stored]]) -> list[int]:
        """Deliver consecutive batches of new events; returns for each how many subscribers its events were for. Raises
        `HistoryLost` if the history has lost them since they were appended: their offsets are those of other events now."""
        log = self._broadcast.log
        if len(batches) == 1 and batches[0]:
            first, last = batches[0][0][0], batches[0][-1][0]
        else:
            first = next((batch[0][0] for batch in batches if batch), 0)
            last = next((batch[-1][0] for batch in reversed(batches) if batch), 0)
        epoch = self._history.epochs.of(last)
        if first > log.head + 1:
            if not self._history.shared:
                self._catch_up(first - 1)
            elif not self._wait_for(first - 1):
                self._check_epoch(last, epoch)
                return [0] * len(batches)
        with self._broadcast.lock:
            self._check_epoch(last, epoch)
            counts = [self._feed(batch) for batch in batches]
        self._broadcast.wake()
        if self._waiting:
            self._notify()
        return counts

    def _check_epoch(self, offset: int, epoch: str) -> None:
        if self._history.epochs.of(offset) != epoch:
            raise HistoryLost(offset - 1, "lost")

    def _feed(self, events: Sequence[Stored]) -> int:
        """Append to the log what it does not have; returns how many subscribers the events are for. With the lock held."""
        broadcast, log = self._broadcast, self._broadcast.log
        if len(events) == 1 and events[0][0] == log.head + 1:  # the usual case, so on a short path
            ((offset, (type, room, session, _, data)),) = events
            frame = sse.frame(self._history.epochs.of(offset), offset, data)
            return sum([len(view.subscribers) for view in broadcast.publish(offset, frame, type, room, session)])
        views: set[View] = set()
        known = 0
        while known < len(events) and events[known][0] <= log.head:
            views.update(log.matching(*_names(events[known])))
            known += 1
        begin, events = 0, events[known:]
        frames = self._frames(events)
        for names, run in groupby(events, _names):
            offsets = [offset for offset, _ in run]
            if len(offsets) == 1:
                views.update(broadcast.publish(offsets[0], frames[begin], *names))
                begin += 1
            else:
                end = begin + len(offsets)
                views.update(broadcast.publish_run(offsets, frames[begin:end], *names))
                begin = end
        return sum([len(view.subscribers) for view in views])

    def _frames(self, events: Sequence[Stored]) -> list[bytes]:
        epoch_of = self._history.epochs.of
        if not events or epoch_of(events[0][0]) != epoch_of(events[-1][0]):
            return [sse.frame(epoch_of(offset), offset, draft.data) for offset, draft in events]
        return sse.frames(epoch_of(events[0][0]), [(offset, data) for offset, (_, _, _, _, data) in events])

    def _catch_up(self, until: int) -> None:
        """Deliver what an earlier delivery that failed has left out."""
        log, history = self._broadcast.log, self._history
        while log.head < until:
            page = history.after(log.head, until, Filter(), PAGE)
            events = [(offset, draft_of(data)) for offset, data in page.records]
            with self._broadcast.lock:
                self._feed(events)
                log.head = max(log.head, page.through)

    def _follow_loop(self) -> None:
        while not self._stopped.is_set():
            try:
                for events in self._history.follow(self._delivered):
                    with self._broadcast.lock:
                        self._feed(events)
                    self._broadcast.wake()
                    if self._waiting:
                        self._notify()
                    self._followed()
            except HistoryLost as lost:
                self._restart(lost)
                continue
            except HistoryError as error:
                self._health.report(error)
            except Exception:
                logger.exception("following the history failed")
            self._stopped.wait(_RETRY)

    def _delivered(self) -> int:
        return self._broadcast.log.head

    def _restart(self, lost: HistoryLost) -> None:
        """What was delivered is not what the history has: begin again at its head. Every stream ends, and resumes with its
        cursor, which names an epoch that is over or an event that is gone, and so gets the gap and what follows it."""
        self._broadcast.restart(lost.through, f"history_{lost.reason}")  # first: the epochs are new already
        logger.error("%s", lost)
        self._restarted()
        self._notify()

    def _wait_for(self, offset: int) -> bool:
        """Wait until the event at `offset` has been delivered; False if that takes too long."""
        with self._advanced:
            self._waiting += 1
            try:
                return self._advanced.wait_for(lambda: self._broadcast.log.head >= offset, _PATIENCE)
            finally:
                self._waiting -= 1

    def _notify(self) -> None:
        with self._advanced:
            self._advanced.notify_all()
