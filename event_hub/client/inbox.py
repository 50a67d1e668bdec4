"""A publisher's inbox: items are appended without translation or encoding, which is all that a voice loop has to do, and
become events in the publisher's thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from .encoding import Encoding
from .queue import INVALID

logger = logging.getLogger("event_hub.client")

INBOX = 1_000
"""Maximum number of waiting items. Beyond it, each append also encodes the oldest ones, so none is lost here."""
_AT_ONCE = 20
"""Items that are encoded before the thread rests: it would give up the interpreter only after 5 ms."""
_REST = 0.0001
"""Seconds of that rest."""


class Completes(Protocol):
    """Makes events. Both methods are called by one thread at a time, usually not by the one that appended."""

    def complete(self, what: Any, about: Any) -> Sequence[dict[str, Any]]:
        """The events to publish for `what`, perhaps none."""
        ...

    def failed(self, where: str, error: Exception) -> object:
        """Completing or encoding raised `error`, and an event was dropped."""
        ...


Item: TypeAlias = tuple[Any, Completes | None, Any] | bytes
"""What to complete, by whom (None: it is the event), and what else is known; or an event as JSON."""


class Inbox:
    """Items in order. `put` gets them as JSON, `refuse` the reason if that is impossible."""

    def __init__(self, encoding: Encoding, put: Callable[[bytes], object], refuse: Callable[[str], object]) -> None:
        self.items: deque[Item] = deque()
        """Append here, without a lock."""
        self._encoding, self._put, self._refuse = encoding, put, refuse
        self._lock = threading.RLock()
        """Held while an item is encoded. Re-entrant, because a signal handler may publish."""
        self._busy = False

    def pending(self) -> int:
        """Items that have not been put yet."""
        return len(self.items) + self._busy

    def drain(self) -> None:
        """Put all items that are there now, with a rest now and then: not on a loop."""
        left = len(self.items)
        while left > 0 and self.items:
            self.encode(min(left, _AT_ONCE))
            left -= _AT_ONCE
            if left > 0:
                time.sleep(_REST)

    def encode(self, most: int, *, wait: bool = True) -> None:
        """Put the oldest items, at most `most`. Without `wait`, do nothing if another thread is at it: the caller may be a
        signal handler that has interrupted the one that the other thread waits for."""
        for _ in range(most):
            if not self._lock.acquire(blocking=wait):
                return
            try:
                if self._busy or not self.items:  # busy: this thread was interrupted while it encoded
                    return
                self._busy = True  # before the item is taken, so that `pending` is never 0 too early
                try:
                    self._encode(self.items.popleft())
                finally:
                    self._busy = False
            finally:
                self._lock.release()

    def _encode(self, item: Item) -> None:
        if isinstance(item, bytes):
            self._put(item)
            return
        what, by, about = item
        try:
            events = [what] if by is None else by.complete(what, about)
        except Exception as error:
            self._failed(by, error)
            return
        for event in events:
            try:
                lines = self._encoding.lines(event)
            except Exception as error:
                self._failed(by, error)
            else:
                for line in lines:
                    self._put(line)

    def _failed(self, by: Completes | None, error: Exception) -> None:
        self._refuse(INVALID)
        try:
            if by is not None:
                by.failed("encode", error)
        except Exception:
            logger.exception("The report of an event that could not be encoded raised an exception.")
