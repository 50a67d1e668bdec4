"""Redaction in the publisher's process, before an event leaves it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from .event_ids import new_id

if TYPE_CHECKING:
    from ..redaction import Rules


def redacting(given: str | Rules | None) -> Redacting | None:
    """What a publisher applies: `given`, else AGENT_REDACT, else None. Raises ValueError if it cannot be read."""
    rules = os.environ.get("AGENT_REDACT", "").strip() if given is None else given
    return Redacting(rules) if rules else None


class Redacting:
    """Redacts events in the order in which they are published. For any thread.

    `rules`: as in HUB_REDACT, or parsed. Raises ValueError if they cannot be read.
    """

    def __init__(self, rules: str | Rules) -> None:
        from ..redaction import EventRedactor, parse  # here, because its libraries take 10 MB

        self._redactor = EventRedactor(parse(rules) if isinstance(rules, str) else rules)
        self.renew_lock()
        _all.add(self)

    def renew_lock(self) -> None:
        """Get a new lock: in a forked child, the old one may be held for ever. Re-entrant, because a signal handler may
        publish."""
        self._lock = threading.RLock()

    def apply(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The events to publish instead of `event`: itself, redacted, and before it what was held back of the texts that it
        ends. Raises RecursionError if it is nested too deeply."""
        with self._lock:
            released = self._redactor.release(event)
            for delta in released:
                delta["timestamp"] = event.get("timestamp", time.time())
                delta["event_id"] = new_id()
            return [*released, self._redactor.redact(event)]


_all: weakref.WeakSet[Redacting] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
