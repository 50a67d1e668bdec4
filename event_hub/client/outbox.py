"""The thread-safe queue between publishing threads and the sender."""

from __future__ import annotations

import threading
import time

from .encoding import Encoding
from .inbox import INBOX, Inbox
from .queue import CLOSED, DropMarker, Queue
from .waker import Waker

_SMALL = 16_384
"""Bytes of an event that may wait in the inbox, which counts items and no bytes."""
_DRAIN = 0.1
"""Seconds between two looks into the inbox while the sender pauses."""


class Outbox:
    """A `Queue` shared by threads: any thread puts, the sender takes and settles. No call waits for a POST.

    The sender moves items from the inbox to the queue, outside the lock; so does a caller that waits for them.

    The lock is re-entrant, because a signal handler or a finalizer may publish in the middle of a publish.
    """

    def __init__(self, max_events: int, max_bytes: int, encoding: Encoding | None = None) -> None:
        self.queue = Queue(max_events, max_bytes)
        self.inbox = Inbox(encoding or Encoding(None), self._append, self.refuse)
        """After appending to it, call `appended` if the outbox is `urgent` or the inbox has more than `INBOX` items."""
        self.lock = threading.RLock()
        self.closing = False
        """Nothing more can be put; the sender ends once the queue is empty."""
        self.abandoned = False
        """The sender ends as soon as it can; nothing waits for it."""
        self._settled = threading.Condition(self.lock)
        self._waker = Waker()
        self.urgent = False
        """The sender is waiting for the next event, or the outbox is closed."""
        self._rested = True
        """The queue was empty, so the next event lingers to be batched with those that follow."""

    def appended(self) -> None:
        """Something was appended to the inbox: wake the sender if it is idle, and keep the inbox short."""
        if self.closing:
            self.inbox.encode(len(self.inbox.items), wait=False)  # to be counted
            return
        if self.urgent:
            self.urgent = False
            self._waker.wake()
        if len(self.inbox.items) > INBOX:
            self.inbox.encode(2, wait=False)

    def put(self, event: bytes) -> bool:
        """Append an event, and wake the sender if it is idle. Returns False if closed; the event is then dropped."""
        if self.inbox.pending() and not self.closing:  # in order
            if len(event) <= _SMALL:
                self.inbox.items.append(event)
                self.appended()
                return True
            self.inbox.encode(len(self.inbox.items), wait=False)
        return self._append(event)

    def _append(self, event: bytes) -> bool:
        with self.lock:
            if self.closing:
                self.queue.put_count += 1
                self.queue.dropped[CLOSED] += 1
                return False
            self.queue.put(event)
            wake, self.urgent = self.urgent, self.closing
        if wake:
            self._waker.wake()
        return True

    def refuse(self, reason: str) -> None:
        """Count an event that cannot be put, and mark its place."""
        with self.lock:
            self.queue.refuse(reason)
            wake, self.urgent = self.urgent, self.closing
        if wake:
            self._waker.wake()

    def take(self, limit: int, limit_bytes: int, linger: float) -> list[bytes | DropMarker] | None:
        """Wait for entries to send and take them. Returns None once closed and empty, or abandoned.

        After an idle period, waits another `linger` seconds after the first event, to batch the events that follow it.
        """
        while True:
            with self.lock:
                ready = bool(self.queue or self.inbox.items)
                if self.abandoned or (self.closing and not ready):
                    return None
                lingering = ready and self._rested and not self.closing
                self._rested = not ready
                self.urgent = self.closing or not ready
                if not ready and self.inbox.items:  # appended just before `urgent` was set, so nothing wakes us
                    continue
            if not ready:
                self._waker.wait()
                continue
            self.inbox.drain()
            if lingering:  # drained before, because after it the next audio frame may be due
                self._waker.wait(linger)
                continue
            with self.lock:
                if self.queue:
                    return self.queue.take(limit, limit_bytes)

    def settle(self, events: int, size: int) -> None:
        """Settle taken events, `size` bytes in total: they are at the hub, or dropped."""
        with self.lock:
            if not self.abandoned:
                self.queue.settle(events, size)
                self._settled.notify_all()

    def drop(self, reason: str, size: int) -> None:
        """Drop one taken event of `size` bytes."""
        with self.lock:
            if not self.abandoned:
                self.queue.dropped[reason] += 1
                self.settle(1, size)

    def pause(self, seconds: float) -> None:
        """Wait before the next retry; `hurry`, `close` and `abandon` end the wait early."""
        deadline = time.monotonic() + seconds
        while not self.abandoned:
            self.inbox.drain()
            left = deadline - time.monotonic()
            if left <= 0 or self._waker.wait(min(left, _DRAIN)):
                return

    def hurry(self) -> None:
        """Stop lingering or pausing: a caller is waiting."""
        with self.lock:
            self._rested = False  # the sender may not have woken for the first event yet
        self._waker.wake()

    def close(self) -> None:
        """Accept no more events."""
        self.inbox.drain()
        with self.lock:
            self.closing = self.urgent = True
        self._waker.wake()

    def abandon(self) -> int:
        """Drop everything that is not at the hub. Returns the number of events."""
        with self.lock:
            self.closing = self.abandoned = self.urgent = True
            count = self.queue.abandon()
            self._settled.notify_all()
        self.inbox.drain()  # to be counted
        self._waker.wake()
        return count

    def wait_settled(self, timeout: float | None) -> bool:
        """Wait until everything put so far is settled. Returns whether that happened without dropping an event."""
        deadline = None if timeout is None else time.monotonic() + timeout
        dropped = self.queue.dropped.total()
        self.inbox.drain()
        with self._settled:
            target = self.queue.put_count
            self.hurry()
            while self.queue.put_count - self.queue.events < target:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not self._settled.wait(left):
                    return False
            return self.queue.dropped.total() == dropped
