"""The publisher's log lines: outages and dropped events, never the contents of an event."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from .errors import HubError, Unreachable
from .queue import CLOSED

logger = logging.getLogger("event_hub.client")

_INTERVAL = 60.0
"""Minimum seconds between two lines about events dropped for the same reason."""
_EXPLANATIONS = {
    "queue_full": "the queue is full",
    "too_large": "they exceed the size limit of the hub or of the queue",
    "refused": "the hub refused them",
    "invalid": "they cannot be encoded as JSON",
}


class OutageLog:
    """Logs a warning when an outage starts and a line when it ends; warns of dropped events, at most once a minute for
    each reason. Only the sender's thread and `Publisher.close` call it, so that publishing never waits for a log
    handler."""

    def __init__(self, url: str, on_dropped: Callable[[int, str], object] | None) -> None:
        self._url = url
        self._on_dropped = on_dropped
        self._logged_errors: set[str] = set()
        self._outage_start = 0.0
        self._seen: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._last_logged: dict[str, float] = {}
        self._closed = False

    def failed(self, error: HubError) -> None:
        """A POST failed. Logged once per outage for each kind of error."""
        kind = type(error).__name__
        if kind in self._logged_errors:
            return
        if not self._logged_errors:
            self._outage_start = time.monotonic()
        self._logged_errors.add(kind)
        what = f"no hub answers at {self._url} ({error.reason})" if isinstance(error, Unreachable) else str(error)
        logger.warning("Events are queued: %s. They will be sent once the hub accepts them again.", what.rstrip("."))

    def succeeded(self) -> None:
        """A POST succeeded."""
        if self._logged_errors:
            self._logged_errors.clear()
            logger.info("Events are sent to %s again, after %.1f s.", self._url, time.monotonic() - self._outage_start)
            self._last_logged.clear()

    def call_on_dropped(self, count: int, reason: str) -> None:
        """Call `on_dropped`; an exception in it is logged."""
        if self._on_dropped is not None:
            try:
                self._on_dropped(count, reason)
            except Exception:
                logger.exception("on_dropped raised an exception")

    def dropped(self, totals: Counter[str], last_error: str | None, *, last: bool = False) -> None:
        """Report events dropped since the last call. `totals`: events dropped so far, by reason. `last`: this is the
        last call, so log everything."""
        now = time.monotonic()
        new, self._seen = totals - self._seen, Counter(totals)
        for reason, count in new.items():
            if reason != CLOSED:  # `closed` logs those
                self._unlogged[reason] += count
                self.call_on_dropped(count, reason)
        for reason, count in list(self._unlogged.items()):
            if last or now - self._last_logged.get(reason, -_INTERVAL) >= _INTERVAL:
                why = _EXPLANATIONS.get(reason, reason)
                why += f" ({last_error})" if last_error and reason == "refused" else ""
                logger.warning("%s for %s dropped: %s.", count_events(count), self._url, why)
                self._last_logged[reason] = now
                del self._unlogged[reason]

    def closed(self, totals: Counter[str]) -> None:
        """The publisher was closed: log once how many events never reached the hub. Silent if all did."""
        if self._closed or not totals.total():
            return
        self._closed = True
        logger.warning(
            "The publisher for %s was closed: %s never reached the hub (%s).",
            self._url,
            count_events(totals.total()),
            ", ".join(f"{reason}: {count}" for reason, count in totals.items() if count),
        )


def count_events(count: int) -> str:
    """`1 event`, `2 events`."""
    return "1 event" if count == 1 else f"{count} events"
