"""The thread-safe queue between publishing threads and the sender."""

from __future__ import annotations

import threading
import time

from .queue import CLOSED, DropMarker, Queue
from .waker import Waker


class Outbox:
    """A `Queue` shared by threads: any thread puts, the sender takes and settles. No call waits for a POST.

    The lock is re-entrant, because a signal handler or a finalizer may publish in the middle of a publish.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.queue = Queue(max_events, max_bytes)
        self.lock = threading.RLock()
        self.closing = False
        """Nothing more can be put; the sender ends once the queue is empty."""
        self.abandoned = False
        """The sender ends as soon as it can; nothing waits for it."""
        self._settled = threading.Condition(self.lock)
        self._waker = Waker()
        self._idle = False
        """The sender is waiting for the next event."""
        self._rested = True
        """The queue was empty, so the next event lingers to be batched with those that follow."""

    def put(self, event: bytes) -> bool:
        """Append an event, and wake the sender if it is idle. Returns False if closed; the event is then dropped."""
        with self.lock:
            if self.closing:
                self.queue.put_count += 1
                self.queue.dropped[CLOSED] += 1
                return False
            self.queue.put(event)
            wake, self._idle = self._idle, False
        if wake:
            self._waker.wake()
        return True

    def refuse(self, reason: str) -> None:
        """Count an event that cannot be put, and mark its place."""
        with self.lock:
            self.queue.refuse(reason)
            wake, self._idle = self._idle, False
        if wake:
            self._waker.wake()

    def take(self, limit: int, limit_bytes: int, linger: float) -> list[bytes | DropMarker] | None:
        """Wait for entries to send and take them. Returns None once closed and empty, or abandoned.

        After an idle period, waits another `linger` seconds after the first event, to batch the events that follow it.
        """
        while True:
            with self.lock:
                if self.abandoned or (self.closing and not self.queue):
                    return None
                if self.queue and (self.closing or not self._rested):
                    return self.queue.take(limit, limit_bytes)
                self._idle = not self.queue
                self._rested = self._idle
                pause = None if self._idle else linger
            self._waker.wait(pause)

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
        if not self.abandoned:
            self._waker.wait(seconds)

    def hurry(self) -> None:
        """Stop lingering or pausing: a caller is waiting."""
        with self.lock:
            self._rested = False  # the sender may not have woken for the first event yet
        self._waker.wake()

    def close(self) -> None:
        """Accept no more events."""
        with self.lock:
            self.closing = True
        self._waker.wake()

    def abandon(self) -> int:
        """Drop everything that is not at the hub. Returns the number of events."""
        with self.lock:
            self.closing = self.abandoned = True
            count = self.queue.abandon()
            self._settled.notify_all()
        self._waker.wake()
        return count

    def wait_settled(self, timeout: float | None) -> bool:
        """Wait until everything put so far is settled. Returns whether that happened without dropping an event."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._settled:
            target, dropped = self.queue.put_count, self.queue.dropped.total()
            self.hurry()
            while self.queue.put_count - self.queue.events < target:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not self._settled.wait(left):
                    return False
            return self.queue.dropped.total() == dropped
