"""Subscribers and the flush loop: what is in the log goes out to everybody who can take it.

One loop serves all. A view that has new frames is dirty; a flush gives each of its subscribers what it lacks, in one
send, and those at the same place share the same bytes. A second loop, the sweep, sends heartbeats and drops who takes
nothing. Written on `threading`, which under gevent's patching means greenlets.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from . import notices
from .history import Epochs
from .log import Log, View
from .metrics import Figures

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
"""Bytes that one send offers at the most: more does not fit a socket's buffer anyway."""
YIELD_EVERY = 256
"""Sends between two looks at other work: 256 take a millisecond or two, which is what a POST waits at the most."""
_TICKS = 32
"""Sweeps in a heartbeat interval: heartbeats are spread over the last quarter of it, so eight sweeps share them."""
_PRESSURE = 1.0
"""Seconds that a publisher waits for a flush that is far behind before it goes on all the same."""


class Subscriber(ABC):
    """One open stream: a place in a view. The two ways of writing to it are in `sockets` and `generator`."""

    __slots__ = (
        "active",
        "blocked",
        "closed",
        "finishing",
        "id",
        "index",
        "last",
        "offset",
        "opened",
        "position",
        "view",
    )
    path: str
    """How it is written to: `socket` or `generator`."""

    def __init__(self, id: int, now: float) -> None:
        self.id = id
        self.opened = now
        """Epoch seconds."""
        self.last = self.active = time.monotonic()
        """When something was sent, and when it last took something."""
        self.view: View | None = None
        self.position = 0
        """How many of the view's frames it has taken."""
        self.offset = 0
        """The offset that it has reached."""
        self.index = -1
        """Its place in the view's list of subscribers."""
        self.blocked = False
        """It takes nothing at the moment: the flush loop passes it by."""
        self.closed = False
        self.finishing: int | None = None
        """It is on its way out, and told to come back after so many milliseconds."""

    @abstractmethod
    def take(self, chunk: bytes, position: int, offset: int, now: float) -> None:
        """Here is everything up to `position`, a chunk of HTTP each frame: send it, or remember that it was not sent."""

    @abstractmethod
    def write(self, data: bytes, now: float) -> None:
        """Send one frame that is no event (a heartbeat, a gap): its place in the view stays. Only while not blocked."""

    @abstractmethod
    def finish(self, retry_ms: int) -> None:
        """Send what is left, then `stream_closing`, then close."""

    @abstractmethod
    def drop(self) -> None:
        """Cut it off."""

    def stalled(self, now: float, stall: float) -> bool:
        """It is blocked, and has taken nothing for `stall` seconds."""
        return now - self.active > stall

    @abstractmethod
    def address(self) -> str | None:
        """Where it comes from; None once it has gone."""


class Broadcast:
    """All subscribers, and the loops that serve them. `lock` guards the log and the lists of subscribers."""

    def __init__(
        self,
        log: Log,
        epochs: Epochs,
        figures: Figures,
        *,
        heartbeat: float,
        stall: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.log = log
        self.epochs = epochs
        self.figures = figures
        self.lock = threading.Lock()
        self.wall = wall
        self.count = 0
        self._heartbeat = heartbeat
        self.stall = stall
        self._dirty: list[View] = []
        self._dirty_since = 0.0
        self._flushing = False
        self._work = threading.Event()
        self._settled = threading.Condition()
        self._waiting = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for target in (self._flush_loop, self._sweep_loop):
            thread = threading.Thread(target=target, name=f"hub-{target.__name__.strip('_')}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the loops."""
        self._stopped.set()
        self._work.set()
        for thread in self._threads:
            thread.join(5)

    # -- publishing ------------------------------------------------------------------------------------------------

    def publish(self, offset: int, frame: bytes, type: str, room: str | None, session: str | None) -> tuple[View, ...]:
        """Put one event into the log; returns the views that have it. With `lock` held; call `wake` afterwards."""
        views = self.log.append(offset, frame, type, room, session)
        for view in views:
            if not view.dirty:
                view.dirty = True
                self._dirty.append(view)
        return views

    def wake(self) -> None:
        """There is something to flush, or nobody to flush it to."""
        if self._dirty:
            if not self._work.is_set():
                self._dirty_since = time.perf_counter()
                self._work.set()
        elif not self._flushing:
            with self.lock:
                self.log.settle(self.log.head)

    def wait_for_room(self) -> None:
        """Hold a publisher back while half a ring waits to be flushed, so that what is kept stays bounded."""
        if self.log.behind:
            with self._settled:
                self._waiting += 1
                try:
                    self._settled.wait_for(lambda: not self.log.behind or self._stopped.is_set(), _PRESSURE)
                finally:
                    self._waiting -= 1

    # -- subscribers -----------------------------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber, view: View, position: int) -> None:
        """From now on it gets what is in `view` after `position`. With `lock` held."""
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
        """It has left, or never came in; a second call is harmless. The last one takes the view along."""
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

    def rejoin(self, subscriber: Subscriber) -> None:
        """It was blocked and is not any more: what it lacks goes out with the next flush."""
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
        """The frame that tells what the ring has passed by, and the subscriber's place moved behind it; b"" for none."""
        view = subscriber.view
        missing = view.gap(subscriber.position) if view else None
        if view is None or missing is None:
            return b""
        self.figures.gaps["too_slow"] += 1
        self.figures.missed += missing.missed
        cursor = self.epochs.cursor
        frame = notices.gap(
            missing.missed, str(cursor(subscriber.offset)), cursor(missing.through), "too_slow", self.wall()
        )
        subscriber.position = view.first
        subscriber.offset = missing.through
        return frame

    # -- the loops -------------------------------------------------------------------------------------------------

    def _flush_loop(self) -> None:
        while not self._stopped.is_set():
            self._work.wait()
            self._work.clear()
            self.flush()

    def flush(self) -> None:
        """Offer everything up to the present head to everybody."""
        with self.lock:
            since, head, dirty = self._dirty_since, self.log.head, self._dirty
            self._dirty = []
            self._flushing = True
        sent = 0
        for view in dirty:
            view.dirty = False
            try:
                sent = self._flush_view(view, sent)
            except Exception:  # the other views' subscribers are not to suffer for it
                logger.exception("a flush has failed")
        now = time.perf_counter()
        with self.lock:
            self._flushing = False
            # What came meanwhile and is watched makes its view dirty; without one, nobody lacks anything.
            self.log.settle(head if self._dirty else self.log.head)
            if self._dirty and not self._work.is_set():
                self._dirty_since = now
                self._work.set()
        if sent:
            self.figures.publish_to_socket.observe(now - since)
        if self._waiting:
            with self._settled:
                self._settled.notify_all()

    def _flush_view(self, view: View, sent: int) -> int:
        """One round over a view's subscribers; returns the number of sends so far, `sent` included."""
        at = -1
        chunk, position, offset = b"", 0, 0
        now = time.monotonic()
        lock = self.lock
        delivered = size = 0
        for subscriber in view.subscribers[:]:
            while not subscriber.blocked and subscriber.view is view:
                place = subscriber.position
                if place != at:
                    if place < view.first:
                        with lock:
                            frame = self.gap(subscriber)
                        subscriber.write(frame, now)
                        continue
                    with lock:
                        if place >= view.head:
                            break
                        at = place
                        chunk, position = view.read(place, CHUNK)
                        offset = view.offset_at(position)
                subscriber.take(chunk, position, offset, now)
                delivered += subscriber.position - place
                if not subscriber.blocked:
                    size += len(chunk)
                sent += 1
                if not sent % YIELD_EVERY:
                    time.sleep(0)
                    now = time.monotonic()
                if position >= view.head:
                    break
        self.figures.deliveries += delivered
        self.figures.sent_bytes += size
        return sent

    def _sweep_loop(self) -> None:
        while not self._stopped.wait(min(1.0, self._heartbeat / _TICKS)):
            try:
                self.sweep()
            except Exception:
                logger.exception("a sweep has failed")

    def sweep(self) -> None:
        """Heartbeats for who had nothing, an end for who takes nothing."""
        now = time.monotonic()
        interval, stall = self._heartbeat, self.stall
        frame, head = b"", -1
        sent = 0
        for subscriber in self.subscribers():
            if subscriber.closed:
                continue
            if subscriber.blocked:
                if subscriber.stalled(now, stall):
                    self.figures.dropped["stalled"] += 1
                    subscriber.drop()
                continue
            # Each in its own eighth of the last quarter of the interval: a broadcast to all is no burst 15 s later.
            if now - subscriber.last < interval * (0.75 + 0.03 * (subscriber.id & 7)):
                continue
            with self.lock:
                view = subscriber.view
                if view is None or view.dirty or subscriber.position < view.head:
                    continue
                if head != self.log.head:
                    head = self.log.head
                    frame = notices.heartbeat(self.epochs.cursor(head), self.wall())
                subscriber.offset = head
            try:
                subscriber.write(frame, now)
            except Exception:
                logger.exception("a heartbeat has failed")
            sent += 1
            if not sent % YIELD_EVERY:
                time.sleep(0)
        self.figures.heartbeats += sent

    def facts(self, subscriber: Subscriber) -> dict[str, Any]:
        """One subscriber, for operators."""
        view = subscriber.view
        return {
            "id": subscriber.id,
            "address": subscriber.address(),
            "opened": subscriber.opened,
            "filter": view.filter.to_json() if view else {},
            "cursor": str(self.epochs.cursor(subscriber.offset)),
            "lag": view.head - subscriber.position if view else 0,
            "blocked": subscriber.blocked,
            "path": subscriber.path,
        }
