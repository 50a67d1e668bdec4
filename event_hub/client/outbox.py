"""The queue between the threads that publish and the one that sends."""

from __future__ import annotations

import threading
import time

from .queue import CLOSED, Dropped, Queue
from .waker import Waker


class Outbox:
    """A `Queue` for several threads: any may put, one takes and settles. Nobody ever waits for a send in here.

    The lock is re-entrant, because a signal handler or a finalizer may publish in the middle of a publish.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.queue = Queue(max_events, max_bytes)
        self.lock = threading.RLock()
        self.closing = False
        """No more is put, and the sender ends when it has sent what there is."""
        self.abandoned = False
        """The sender ends as soon as it can: nobody waits for it any more."""
        self._settled = threading.Condition(self.lock)
        self._waker = Waker()
        self._idle = False
        """The sender waits for the next event to wake it."""
        self._rested = True
        """It had nothing to do until now: the next event waits for company."""

    def put(self, event: bytes) -> bool:
        """Add one event; wakes the sender if it has nothing to do. False: it is closed, the event is dropped."""
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
        """An event that cannot be put is counted, and marked in its place."""
        with self.lock:
            self.queue.refuse(reason)
            wake, self._idle = self._idle, False
        if wake:
            self._waker.wake()

    def take(self, most: int, most_bytes: int, linger: float) -> list[bytes | Dropped] | None:
        """What is to be sent next; waits for it. None: it is over.

        After a wait for the first event another `linger` seconds pass, so that those on its heels come along.
        """
        while True:
            with self.lock:
                if self.abandoned or (self.closing and not self.queue):
                    return None
                if self.queue and (self.closing or not self._rested):
                    return self.queue.take(most, most_bytes)
                self._idle = not self.queue
                self._rested = self._idle
                pause = None if self._idle else linger
            self._waker.wait(pause)

    def settle(self, events: int, size: int) -> None:
        """So many events that were taken, of `size` bytes together, are at the hub or given up."""
        with self.lock:
            if not self.abandoned:
                self.queue.settle(events, size)
                self._settled.notify_all()

    def lose(self, reason: str, size: int) -> None:
        """One event that was taken is given up."""
        with self.lock:
            if not self.abandoned:
                self.queue.dropped[reason] += 1
                self.settle(1, size)

    def pause(self, seconds: float) -> None:
        """The sender waits before its next try; `hurry`, `close` and `abandon` cut it short."""
        if not self.abandoned:
            self._waker.wait(seconds)

    def hurry(self) -> None:
        """No lingering now: somebody waits."""
        self._waker.wake()

    def close(self) -> None:
        """Nothing is put from now on."""
        with self.lock:
            self.closing = True
        self._waker.wake()

    def abandon(self) -> int:
        """Give up what is not at the hub; how many events that is."""
        with self.lock:
            self.closing = self.abandoned = True
            count = self.queue.abandon()
            self._settled.notify_all()
        self._waker.wake()
        return count

    def wait_settled(self, timeout: float | None) -> bool:
        """Wait until all that was put before this is settled; whether it is, and nothing was dropped meanwhile."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._settled:
            target, dropped = self.queue.put_count, self.queue.dropped.total()
            self.hurry()
            while self.queue.put_count - self.queue.events < target:
                left = None if until is None else until - time.monotonic()
                if (left is not None and left <= 0) or not self._settled.wait(left):
                    return False
            return self.queue.dropped.total() == dropped
