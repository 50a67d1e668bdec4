"""The loop that follows the history and publishes alerts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from ..cooperate import TimeSlice
from ..errors import RequestError
from ..filters import Filter
from ..history import HistoryError, HistoryReader
from .evaluation import CLEARED, RAISED, Evaluation
from .rules import Rule

logger = logging.getLogger(__name__)

_ROUND = 1.0
_PAGE = 500
_LOOK_BACK = 86_400.0
"""Seconds of the history that are read at the start: the windows of all rules, and the alerts that are raised."""
_TYPES = (
    "turn_metrics", "agent_error", "agent_process_exited", "session_started", "session_ended", "agent_handoff",
    "livekit_room_finished", RAISED, CLEARED,
)  # fmt: skip
_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class Alerts:
    """The alerts of one hub. Every process evaluates, so that each can answer; the responsible one publishes."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        history: HistoryReader,
        publish: Callable[[dict[str, Any]], object],
        responsible: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self.rules = rules
        self._history = history
        self._publish = publish
        self._responsible = responsible
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hub-alerts", daemon=True)
        self._begin()

    def _begin(self) -> None:
        self._evaluation = Evaluation(self.rules)
        self._offset: int | None = None
        self._live_from = 0
        """Events up to here were received before the start."""
        needs_all = any(rule.kind == "silent" for rule in self.rules)
        self._filter = Filter() if needs_all else Filter.of(types=list(_TYPES))

    def start(self) -> None:
        if self.rules:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def raised(self) -> list[dict[str, Any]]:
        """The alerts that are raised."""
        with self._lock:
            return self._evaluation.raised()

    def _loop(self) -> None:
        complaint = ""
        while not self._stopped.wait(_ROUND):
            try:
                self.step()
                complaint = ""
            except (HistoryError, RequestError) as error:
                if str(error) != complaint:
                    logger.error("alerts: %s", error)
                complaint = str(error)
            except Exception:
                logger.exception("alerts could not be evaluated")

    def step(self) -> None:
        """Read what is new, and publish what is due."""
        history, now = self._history, self._clock()
        head = history.head
        if self._offset is None or head < self._offset:  # the start, or a history that was lost
            self._begin()
            self._offset = max(history.floor, history.offset_at(now - _LOOK_BACK))
            self._live_from = head
        self._read(now)
        with self._lock:
            due = list(self._evaluation.due(now))
        if due and self._responsible():
            for event in due:
                self._publish({**event, "timestamp": now})
            self._read(now)

    def _read(self, now: float) -> None:
        """Take the events since the last ones."""
        history, head = self._history, self._history.head
        assert self._offset is not None
        time_slice = TimeSlice()
        while self._offset < head and not self._stopped.is_set():
            page = history.after(self._offset, head, self._filter, _PAGE)
            with self._lock:
                for record in page.records:
                    event = _decode(record.data)
                    self._evaluation.take(event, record.offset, self._time_of(event, record.offset, now))
            self._offset = max(page.through, self._offset + 1)
            time_slice.pause_if_due()

    def _time_of(self, event: dict[str, Any], offset: int, now: float) -> float:
        """When an event was received: now, if it is new. For one from before the start, its timestamp has to do."""
        at = event.get("timestamp")
        if offset > self._live_from or not isinstance(at, int | float):
            return now
        return min(now, max(0.0, float(at)))
