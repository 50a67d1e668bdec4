"""Waking a thread that waits."""

from __future__ import annotations

import threading


class Waker:
    """One thread waits, any other wakes it.

    A bare lock instead of `threading.Event`: a signal handler may call `wake` at any instant, even while the same
    thread is about to wait, and it costs a tenth.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """End the wait at hand, or the next one. Never blocks."""
        try:
            self._lock.release()
        except RuntimeError:  # it is awake already
            pass

    def wait(self, seconds: float | None = None) -> bool:
        """Wait to be woken, at most `seconds`; whether it was."""
        return self._lock.acquire(timeout=-1 if seconds is None else min(max(seconds, 0.0), threading.TIMEOUT_MAX))
