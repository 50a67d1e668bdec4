"""Wake a waiting thread."""

from __future__ import annotations

import threading


class Waker:
    """Lets one thread wait until any other thread wakes it.

    Uses a bare lock instead of `threading.Event`: a signal handler may call `wake` at any time, even while the same
    thread is about to wait, and a lock takes a tenth of the time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """End the current wait, or the next one. Never blocks."""
        try:
            self._lock.release()
        except RuntimeError:  # already woken
            pass

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until woken, for at most `seconds`. Returns whether it was woken."""
        return self._lock.acquire(timeout=-1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX))
