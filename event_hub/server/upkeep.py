"""Upkeep of the history, in the background: probing one that failed, retention, checkpoints."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .erasure.eraser import Eraser
from .history import History, HistoryError
from .history.health import HistoryHealth
from .real_thread import in_real_thread
from .setting_values import RoomRetention

logger = logging.getLogger(__name__)

_INTERVAL = 1.0
"""Seconds between two rounds."""
_CHECKPOINT = 5.0
"""Seconds between two checkpoints."""
_SCRUB = 60.0
"""Seconds after which what has expired is gone from the storage too."""
_HELP = 250
"""New events per step of retention that a publisher takes over when the background loop cannot keep up."""


class Upkeep:
    """The loop that keeps a history within its retention and on disk. `start` it, `stop` it at the end."""

    def __init__(
        self,
        history: History,
        health: HistoryHealth,
        clock: Callable[[], float],
        eraser: Eraser,
        rooms: tuple[RoomRetention, ...] = (),
        drop_unused: Callable[[], None] = lambda: None,
        responsible: Callable[[], bool] | None = None,
    ) -> None:
        """`responsible`: whether this one, of the processes that share the history, applies retention."""
        self._responsible = responsible or (lambda: True)
        self._drop_unused = drop_unused
        self._eraser = eraser
        self._rooms = rooms
        self._expired = [0] * len(rooms)
        """The offset up to which each rule has been applied."""
        self._history = history
        self._health = health
        self._clock = clock
        self._behind = False
        """Retention had more to remove than the loop managed in one round."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hub-upkeep", daemon=True)

    def start(self) -> None:
        in_real_thread(lambda: None)  # the thread pool starts now, while descriptors are available
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def appended(self, count: int) -> None:
        """`count` events were stored: under a load that never pauses, publishers share the work of retention."""
        if self._behind:
            now = self._clock()
            for _ in range(1 + count // _HELP):
                self._behind = self._behind and self._trim_some(now)

    def _loop(self) -> None:
        due = time.monotonic() + _CHECKPOINT
        scrub = time.monotonic() + _SCRUB
        while not self._stopped.wait(_INTERVAL):
            tasks = [self._probe, self._trim, self._drop_unused]
            if self._rooms and self._responsible():
                tasks.append(self._expire)
            if time.monotonic() >= due:
                tasks.append(self._checkpoint)
                due = time.monotonic() + _CHECKPOINT
            if self._rooms and time.monotonic() >= scrub:
                tasks.append(self._eraser.scrub)
                scrub = time.monotonic() + _SCRUB
            for task in tasks:
                try:
                    task()
                except HistoryError as error:
                    self._health.report(error)
                except Exception:
                    logger.exception("%s failed", task.__name__)

    def _probe(self) -> None:
        """Check whether a history that could not be written can be written again, and whether the others still can."""
        if self._health.error:
            self._history.probe()
            self._health.recovered()
            return
        try:
            self._history.check()
        except HistoryError as error:
            self._health.error = str(error)
            raise

    def _trim(self) -> None:
        if not self._responsible():
            return
        end = time.monotonic() + _INTERVAL
        more = True
        while more and not self._stopped.is_set():
            more = self._trim_some(self._clock())
            self._behind = more and time.monotonic() > end
            if self._behind:
                break
            time.sleep(0.001)

    def _trim_some(self, now: float) -> bool:
        try:
            return self._history.trim(now)
        except HistoryError as error:
            self._health.report(error)
            return False

    def _expire(self) -> None:
        """Erase the events of rooms whose retention is shorter than that of the history. The first rule counts."""
        if self._health.error:
            return
        for index, rule in enumerate(self._rooms):
            earlier = [other.room for other in self._rooms[:index]]
            self._expired[index] = self._eraser.expire(
                rule.room, self._expired[index], self._clock() - rule.age, but_not=earlier
            )

    def _checkpoint(self) -> None:
        in_real_thread(self._history.maintain)
