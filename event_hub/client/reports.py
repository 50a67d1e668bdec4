"""What a publisher says about itself in the log: how its hub is, and what it had to drop. Never what is in an event."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from .errors import HubError, Unreachable
from .queue import CLOSED

logger = logging.getLogger("event_hub.client")

_QUIET = 60.0
"""Seconds between two lines about dropped events of one reason."""
_WHY = {
    "queue_full": "the queue is full",
    "too_large": "they are larger than the hub, or the queue, takes",
    "refused": "the hub refuses them",
    "invalid": "they cannot be written as JSON",
}


class Reports:
    """Warns once when an outage begins, informs when it is over; warns of dropped events, at most once a minute and
    reason. Used by the sender's thread alone: whoever publishes never waits for a log handler."""

    def __init__(self, url: str, on_dropped: Callable[[int, str], object] | None) -> None:
        self._url = url
        self._on_dropped = on_dropped
        self._outage: set[str] = set()
        self._since = 0.0
        self._known: Counter[str] = Counter()
        self._unsaid: Counter[str] = Counter()
        self._last_said: dict[str, float] = {}

    def failed(self, error: HubError) -> None:
        """A try has failed. Said once for each kind of error that an outage brings."""
        kind = type(error).__name__
        if kind in self._outage:
            return
        if not self._outage:
            self._since = time.monotonic()
        self._outage.add(kind)
        what = f"no hub answers at {self._url} ({error.reason})" if isinstance(error, Unreachable) else str(error)
        logger.warning("Events wait: %s. They are kept, within bounds, and sent when it works again.", what.rstrip("."))

    def works(self) -> None:
        """A try has succeeded."""
        if self._outage:
            self._outage.clear()
            logger.info("Events flow to %s again, after %.1f s.", self._url, time.monotonic() - self._since)
            self._last_said.clear()

    def tell(self, count: int, reason: str) -> None:
        """Call `on_dropped`."""
        if self._on_dropped is not None:
            try:
                self._on_dropped(count, reason)
            except Exception:
                logger.exception("on_dropped has failed")

    def losses(self, dropped: Counter[str], last_error: str | None, *, last: bool = False) -> None:
        """`dropped`: how many events were given up so far, by reason. `last`: there will be no later occasion."""
        now = time.monotonic()
        new, self._known = dropped - self._known, Counter(dropped)
        for reason, count in new.items():
            if reason != CLOSED:  # `close` says that
                self._unsaid[reason] += count
                self.tell(count, reason)
        for reason, count in list(self._unsaid.items()):
            if last or now - self._last_said.get(reason, -_QUIET) >= _QUIET:
                why = _WHY.get(reason, reason) + (f" ({last_error})" if last_error and reason == "refused" else "")
                logger.warning("%s for %s dropped: %s.", in_words(count), self._url, why)
                self._last_said[reason] = now
                del self._unsaid[reason]


def in_words(count: int) -> str:
    """So many events, in words."""
    return "1 event" if count == 1 else f"{count} events"
