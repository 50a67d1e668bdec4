"""The replay loop: one greenlet serves all subscribers on sockets taken over whose replay is in progress.

A replay that its socket does not take at once waits in a libev watcher, not in a greenlet of its own, so that ten thousand
subscribers that come back at once need little more memory than before. They share the bytes of each page, and the loop works
in time slices, so that publishers are not delayed.
"""

from __future__ import annotations

import logging
import time
from collections import deque

import gevent
from gevent.event import Event

from ..cooperate import answer_arrivals
from ..counters import Counters
from ..history import HistoryError
from ..history.health import HistoryHealth
from .broadcast import Broadcast
from .replay import Replay
from .sockets import SocketSubscriber

logger = logging.getLogger(__name__)

_SLICE = 0.001
"""Seconds of work between two pauses."""
_LOOK = 1.0
"""Seconds between two searches for subscribers that take nothing."""


class ReplayLoop:
    """Belongs to the gevent hub in which it is made."""

    def __init__(self, broadcast: Broadcast, counters: Counters, health: HistoryHealth) -> None:
        self._broadcast = broadcast
        self._counters = counters
        self._health = health
        self._open: dict[SocketSubscriber, Replay] = {}
        self._ready: deque[SocketSubscriber] = deque()
        self._work = Event()
        self._looked = time.monotonic()
        gevent.spawn(self._run)

    def add(self, subscriber: SocketSubscriber, replay: Replay) -> None:
        """Send the replay, then attach the subscriber."""
        self._counters.opening.count += 1
        self._open[subscriber] = replay
        subscriber.notice_leaving()
        self.ready(subscriber)

    def ready(self, subscriber: SocketSubscriber) -> None:
        """It can be written to, or is closed."""
        self._ready.append(subscriber)
        self._work.set()

    def _run(self) -> None:
        since = time.perf_counter()
        while True:
            self._work.wait(_LOOK if self._open else None)
            self._work.clear()
            while self._ready:
                subscriber = self._ready.popleft()
                replay = self._open.get(subscriber)
                if replay is not None:
                    self._serve(subscriber, replay)
                if time.perf_counter() - since > _SLICE:
                    answer_arrivals()
                    since = time.perf_counter()
                    self._look_if_due()
            self._look_if_due()

    def _look_if_due(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            try:
                self._drop_stalled(now)
            except Exception:
                logger.exception("a look at the replays has failed")

    def _serve(self, subscriber: SocketSubscriber, replay: Replay) -> None:
        """Send what the socket takes, at most one page. A failure ends the connection: the response is under way."""
        try:
            if not subscriber.closed and subscriber.send_rest(self.ready):
                reason = self._broadcast.why_ended(subscriber.principal)
                if reason is not None:
                    subscriber.dismiss(reason)
                else:
                    page = replay.next(subscriber)
                    if page is not None:
                        subscriber.offer(page.chunk if page.data else b"")
                        self.ready(subscriber)
                        return
                    self._end(subscriber)
                    subscriber.release()
        except HistoryError as error:
            self._health.report(error)
            subscriber.drop()
        except Exception:
            logger.exception("a replay failed")
            subscriber.drop()
        if subscriber.closed:
            self._end(subscriber)

    def _end(self, subscriber: SocketSubscriber) -> None:
        if self._open.pop(subscriber, None) is not None:
            self._counters.opening.count -= 1

    def _drop_stalled(self, now: float) -> None:
        stall = self._broadcast.stall
        for subscriber in list(self._open):
            if subscriber.stalled(now, stall):
                self._counters.dropped["stalled"] += 1
                subscriber.drop()
            elif (reason := self._broadcast.why_ended(subscriber.principal)) is not None:
                subscriber.expel(reason)
            if subscriber.closed:
                self._end(subscriber)
