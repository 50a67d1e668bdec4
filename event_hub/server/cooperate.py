"""Cooperative scheduling for long work on the event loop: it runs in time slices, and other requests are served in
between."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.002
"""Seconds of work before a pause."""
_PAUSE = 0.001
"""Seconds. The shortest pause in which gevent's loop polls its sockets: `sleep(0)` only runs greenlets that are already
ready, about fifty of them, before the loop looks for new requests."""


def poll() -> None:
    """Let whatever is ready run, requests that have just arrived included. Unlike `sleep(0)` this looks at the sockets, and
    unlike a sleep it does not wait for any."""
    gevent = sys.modules.get("gevent")
    monkey = sys.modules.get("gevent.monkey")
    if gevent is None or monkey is None or not monkey.is_module_patched("time"):
        time.sleep(0)
        return
    hub = gevent.get_hub()
    # libev does not block while an idle watcher is active. With the highest priority it cannot be starved by others.
    hub.wait(hub.loop.idle(priority=2))


def answer_arrivals() -> None:
    """Let others run until a request that has just arrived is answered: it is received in one turn of the loop, and
    committed in the next."""
    poll()
    poll()


class TimeSlice:
    """The time slices of one task. Call `pause_if_due` wherever the task can be interrupted."""

    def __init__(self, size: float = _SLICE) -> None:
        self._size = size
        self._since = time.perf_counter()

    def begin(self) -> None:
        """Begin a slice: other greenlets have just run."""
        self._since = time.perf_counter()

    def pause_if_due(self) -> None:
        """Let other greenlets run if the current slice is used up."""
        if time.perf_counter() - self._since >= self._size:
            self._pause()
            self._since = time.perf_counter()

    def _pause(self) -> None:
        time.sleep(_PAUSE)


class Turns:
    """Long tasks take turns of one time slice each, first come first served: a short one waits for a slice of each that is
    before it, not for its end, and however many there are, the rest of the hub runs after every slice. A task that has its
    turn must not wait for another task. Thread-safe."""

    def __init__(self, size: float = _SLICE) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._line: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self) -> Iterator[TimeSlice]:
        """The time slices of one task; each `pause_if_due` that pauses also lets the next task have its turn."""
        turn = _Turn(self, self._size)
        turn.enter()
        try:
            yield turn
        finally:
            turn.leave()

    def enter(self) -> threading.Event | None:
        """Take the turn, or wait in line for the event that is returned."""
        with self._lock:
            if self._taken:
                self._line.append(mine := threading.Event())
                return mine
            self._taken = True
            return None

    def rotate(self) -> threading.Event | None:
        """Give the turn to the next, if there is one, and wait in line for the event that is returned."""
        with self._lock:
            if not self._line:
                return None
            self._line.append(mine := threading.Event())
            self._line.popleft().set()
            return mine

    def leave(self, waiting: threading.Event | None = None) -> None:
        """Give the turn to the next, or leave the line in which one was `waiting`."""
        with self._lock:
            if waiting is not None and waiting in self._line:
                self._line.remove(waiting)
            elif self._line:
                self._line.popleft().set()
            else:
                self._taken = False


class _Turn(TimeSlice):
    """The slices of a task that takes turns."""

    def __init__(self, turns: Turns, size: float) -> None:
        super().__init__(size)
        self._turns = turns
        self._waiting: threading.Event | None = None

    def enter(self) -> None:
        self._wait(self._turns.enter())
        self.begin()

    def leave(self) -> None:
        if self._waiting is None:
            self._turns.leave()

    def _pause(self) -> None:
        super()._pause()
        self._wait(self._turns.rotate())

    def _wait(self, mine: threading.Event | None) -> None:
        if mine is None:
            return
        self._waiting = mine
        try:
            mine.wait()
        except BaseException:  # the server ends this greenlet
            self._turns.leave(mine)
            raise
        self._waiting = None


def cooperatively(items: Iterable[_T]) -> Iterator[_T]:
    """Yield `items`, pausing between them when a slice is used up."""
    time_slice = TimeSlice()
    for item in items:
        yield item
        time_slice.pause_if_due()
