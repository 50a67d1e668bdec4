"""The broadcast: one flush loop sends what is in the log to every subscriber that can be written to.

A view with new frames is dirty. A flush sends each of its subscribers what it has not yet taken, in one write, and
subscribers at the same position share the same bytes. A second loop, the sweep, sends heartbeats and drops stalled
subscribers. Written on `threading`, which under gevent's monkey-patching means greenlets.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..access.principal import LOCAL, Principal
from ..cooperate import answer_arrivals, poll
from ..counters import Counters
from ..gap import Gap
from ..history import Epochs
from . import notices
from .log import Batch, Log, View
from .subscriber import Subscriber

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
"""Maximum size of one send: a socket's buffer takes no more anyway."""
YIELD_EVERY = 256
"""Sends after which the loop yields: 256 take a millisecond or two, the longest that a POST waits."""
_OFTEN = 24
"""Sends after which it yields first, and as long as POSTs keep arriving; then twice as many each time. A publisher that
waits for each answer posts its next event within the next few sends, so that each subscriber gets many events in one."""
_TICKS = 32
"""Sweeps per heartbeat interval: heartbeats are spread over its last quarter, that is, over eight sweeps."""
_SWEEP_SLICE = 0.0005
"""Seconds of a sweep before it yields."""
_PRESSURE = 1.0
"""Maximum time in seconds that a publisher waits for a flush that is far behind."""


class Broadcast:
    """All subscribers, and the loops that serve them. `lock` guards the log and the lists of subscribers."""

    def __init__(
        self,
        log: Log,
        epochs: Epochs,
        counters: Counters,
        *,
        heartbeat: float,
        stall: float,
        ended: Callable[[Principal], str | None] = lambda _principal: None,
        degraded: Callable[[], bool] = lambda: False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.log = log
        self.epochs = epochs
        self.counters = counters
        self.lock = threading.Lock()
        self.wall = wall
        self.count = 0
        """Open streams whose replay is over."""
        self._heartbeat = heartbeat
        self.stall = stall
        self._ended = ended
        """Why a principal's streams have to end; None while they may go on."""
        self._degraded = degraded
        self._told_degraded = False
        """Whether subscribers know that the history cannot be written."""
        self._dirty: list[View] = []
        self._dirty_since = 0.0
        self._flushing = False
        self._stride = _OFTEN
        """Sends between two pauses of a flush."""
        self._pause_at = 0
        """The number of sends in this flush after which it pauses next."""
        self._sweeps = 0
        self._work = threading.Event()
        self._settled = threading.Condition()
        self._waiting = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def why_ended(self, principal: Principal) -> str | None:
        """Why the streams of this principal have to end; None while they may go on."""
        return None if principal is LOCAL else self._ended(principal)

    def start(self) -> None:
        for target in (self._flush_loop, self._sweep_loop):
            thread = threading.Thread(target=target, name=f"hub-{target.__name__.strip('_')}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop both loops."""
        self._stopped.set()
        self._work.set()
        for thread in self._threads:
            thread.join(5)

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, offset: int, frame: bytes, type: str, room: str | None, session: str | None) -> tuple[View, ...]:
        """Add one event to the log; returns the views that match it. With `lock` held; call `wake` afterwards."""
        return self._dirtied(self.log.append(offset, frame, type, room, session))

    def publish_run(
        self, offsets: Sequence[int], frames: Sequence[bytes], type: str, room: str | None, session: str | None
    ) -> tuple[View, ...]:
        """`publish` for a run of events, at least one, that filters cannot tell apart."""
        return self._dirtied(self.log.extend(offsets, frames, type, room, session))

    def _dirtied(self, views: tuple[View, ...]) -> tuple[View, ...]:
        for view in views:
            if not view.dirty:
                view.dirty = True
                self._dirty.append(view)
        return views

    def wake(self) -> None:
        """Start a flush if any view is dirty; otherwise what was published has no subscriber and is settled."""
        if self._dirty:
            if not self._work.is_set():
                self._dirty_since = time.perf_counter()
                self._work.set()
        elif not self._flushing:
            with self.lock:
                self.log.settle(self.log.head)

    def wait_for_room(self) -> None:
        """Delay a publisher while half a ring waits to be flushed, so that memory stays bounded."""
        if self.log.behind:
            with self._settled:
                self._waiting += 1
                try:
                    self._settled.wait_for(lambda: not self.log.behind or self._stopped.is_set(), _PRESSURE)
                finally:
                    self._waiting -= 1

    # -- subscribers -----------------------------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber, view: View, position: int) -> None:
        """Subscribe it to what `view` has after `position`. With `lock` held."""
        subscriber.view = view
        subscriber.position = position
        subscriber.offset = self.log.head if position == view.head else view.offset_at(position)
        subscriber.index = len(view.subscribers)
        view.subscribers.append(subscriber)
        self.count += 1
        if position < view.head and not subscriber.blocked and not view.dirty:
            view.dirty = True
            self._dirty.append(view)

    def detach(self, subscriber: Subscriber) -> None:
        """Unsubscribe it; idempotent. A view is removed with its last subscriber."""
        with self.lock:
            view, subscriber.view = subscriber.view, None
            if view is None:
                return
            last = view.subscribers.pop()
            if last is not subscriber:
                view.subscribers[subscriber.index] = last
                last.index = subscriber.index
            self.count -= 1
            if not view.subscribers:
                self.log.forget(view)

    def restart(self, head: int, reason: str) -> None:
        """Begin the log again at `head`, and drop every subscriber."""
        subscribers = self.subscribers()
        with self.lock:
            self.log.restart(head)
        for number, subscriber in enumerate(subscribers, 1):
            self.counters.dropped[reason] += 1
            subscriber.drop()
            if not number % YIELD_EVERY:
                answer_arrivals()

    def rejoin(self, subscriber: Subscriber) -> None:
        """It can be written to again: the next flush sends what it has not taken."""
        with self.lock:
            view = subscriber.view
            if view is not None and subscriber.position < view.head and not view.dirty:
                view.dirty = True
                self._dirty.append(view)
        self.wake()

    def subscribers(self) -> list[Subscriber]:
        with self.lock:
            return list(itertools.chain.from_iterable(view.subscribers for view in self.log.views))

    def gap(self, subscriber: Subscriber) -> bytes:
        """The gap frame for a subscriber that the ring has overrun, now positioned after the gap; b"" if it has not."""
        view = subscriber.view
        overrun = view.overrun(subscriber.position) if view else None
        if view is None or overrun is None:
            return b""
        cursor = self.epochs.cursor
        gap = Gap(overrun.missed, cursor(subscriber.offset), cursor(overrun.through), "too_slow")
        self.counters.gap(gap)
        subscriber.position = view.first
        subscriber.offset = overrun.through
        return notices.gap(gap, self.wall())

    # -- the loops -------------------------------------------------------------------------------------------------

    def _flush_loop(self) -> None:
        while not self._stopped.is_set():
            self._work.wait()
            self._work.clear()
            self.flush()

    def flush(self) -> None:
        """Offer everything up to the current head to every subscriber."""
        with self.lock:
            since, head, dirty = self._dirty_since, self.log.head, self._dirty
            self._dirty = []
            self._flushing = True
        sent = 0
        self._stride = self._pause_at = _OFTEN
        for view in dirty:
            view.dirty = False
            try:
                sent = self._flush_view(view, sent)
            except Exception:  # must not affect the subscribers of other views
                logger.exception("a flush has failed")
        now = time.perf_counter()
        with self.lock:
            self._flushing = False
            # Events that arrived meanwhile made their views dirty; if none is, every subscriber has everything.
            self.log.settle(head if self._dirty else self.log.head)
            if self._dirty and not self._work.is_set():
                self._dirty_since = now
                self._work.set()
        if sent:
            self.counters.publish_to_socket.observe(now - since)
        if self._waiting:
            with self._settled:
                self._settled.notify_all()

    def _flush_view(self, view: View, sent: int) -> int:
        """Serve the subscribers of one view; returns the number of sends in this flush, `sent` included."""
        batch: Batch | None = None
        now = time.monotonic()
        lock = self.lock
        delivered = size = 0
        for subscriber in view.subscribers[:]:
            while not subscriber.blocked and subscriber.view is view:
                position = subscriber.position
                if batch is None or position != batch.start:
                    if position < view.first:
                        with lock:
                            frame = self.gap(subscriber)
                        subscriber.write(frame, now)
                        continue
                    with lock:
                        if position >= view.head:
                            break
                        batch = view.read(position, CHUNK)
                subscriber.take(batch, now)
                delivered += subscriber.position - position
                if not subscriber.blocked:
                    size += batch.size
                sent += 1
                if sent >= self._pause_at:
                    self._pause(sent)
                    now = time.monotonic()
                if batch.position >= view.head:
                    break
        self.counters.deliveries += delivered
        self.counters.sent_bytes += size
        return sent

    def _pause(self, sent: int) -> None:
        """Let others run, and choose the next pause by whether one of them has published."""
        head = self.log.head
        answer_arrivals()
        self._stride = _OFTEN if self.log.head > head else min(2 * self._stride, YIELD_EVERY)
        self._pause_at = sent + self._stride

    def _sweep_loop(self) -> None:
        while not self._stopped.wait(min(1.0, self._heartbeat / _TICKS)):
            try:
                self.sweep()
            except Exception:
                logger.exception("a sweep has failed")

    def sweep(self) -> None:
        """Send heartbeats to idle subscribers; drop those that are stalled or, checked once per interval, have vanished;
        expel those whose principal has ended."""
        now = time.monotonic()
        interval, stall = self._heartbeat, self.stall
        frame, head = b"", -1
        sent, since = 0, time.perf_counter()
        self._sweeps += 1
        degraded = self._degraded()
        at_once, self._told_degraded = degraded != self._told_degraded, degraded
        for number, subscriber in enumerate(self.subscribers(), 1):
            if not number % 50 and time.perf_counter() - since > _SWEEP_SLICE:
                poll()
                since = time.perf_counter()
            if subscriber.closed:
                continue
            if subscriber.blocked and subscriber.stalled(now, stall):
                self.counters.dropped["stalled"] += 1
                subscriber.drop()
                continue
            if (reason := self.why_ended(subscriber.principal)) is not None:
                subscriber.expel(reason)
                continue
            if subscriber.blocked:
                continue
            if (subscriber.id + self._sweeps) % _TICKS == 0 and subscriber.has_vanished(stall):
                self.counters.dropped["vanished"] += 1
                subscriber.drop()
                continue
            # Each in its own eighth of the interval's last quarter, so that a broadcast causes no burst of heartbeats later.
            if not at_once and now - subscriber.last < interval * (0.75 + 0.03 * (subscriber.id & 7)):
                continue
            with self.lock:
                view = subscriber.view
                if view is None or view.dirty or subscriber.position < view.head:
                    continue
                if head != self.log.head:
                    head = self.log.head
                    frame = notices.heartbeat(self.epochs.cursor(head), self.wall(), degraded=degraded)
                subscriber.offset = head
            try:
                subscriber.write(frame, now)
            except Exception:
                logger.exception("a heartbeat has failed")
            sent += 1
        self.counters.heartbeats += sent

    def facts(self, subscriber: Subscriber) -> dict[str, Any]:
        """One subscriber as `/api/subscribers` reports it."""
        view = subscriber.view
        return {
            "id": subscriber.id,
            "principal": subscriber.principal.label,
            "address": subscriber.seat.address or subscriber.address(),
            "opened": subscriber.opened,
            "filter": view.filter.to_json() if view else {},
            "cursor": str(self.epochs.cursor(subscriber.offset)),
            "lag": view.head - subscriber.position if view else 0,
            "blocked": subscriber.blocked,
            "path": subscriber.path,
        }
