"""The publisher's own thread: takes what waits, sends it in order, and tries until it is at the hub."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from .backoff import Backoff
from .connection import Connection
from .errors import HubError, NotAHub, Refused, Unreachable
from .ids import new_id
from .outbox import Outbox
from .queue import REFUSED, TOO_LARGE, Dropped
from .records import Posted
from .reports import Reports

logger = logging.getLogger("event_hub.client")

MOST_BYTES = 1_000_000
"""Bytes in one POST: less than the 1 MiB that nginx lets through, unless it is told otherwise."""
_FIRST, _MOST = 0.2, 10.0
"""Seconds between tries."""
_CLOSING_PAUSE = 0.5
"""Seconds between tries, at the most, while somebody waits in `close`."""
_DOUBT = 3
"""Each so many failures it is asked whether the batch is to blame, and so many proofs in a row say that it is."""


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a POST: an event of the publisher's, or the report of events that were dropped in its place."""

    data: bytes
    lost: Dropped | None = None

    @property
    def events(self) -> int:
        """What settling it settles."""
        return 0 if self.lost else 1

    @property
    def size(self) -> int:
        return 0 if self.lost else len(self.data)


@dataclass
class Tally:
    """What the sender has done so far."""

    sent: int = 0
    duplicates: int = 0
    retries: int = 0
    connected: bool = False
    last_error: str | None = None


class Sender:
    """Sends what is in `outbox` until that is closed and empty, or abandoned. `defaults` go into its reports."""

    def __init__(
        self,
        outbox: Outbox,
        connection: Connection,
        *,
        batch: int,
        linger: float,
        defaults: dict[str, Any],
        on_dropped: Callable[[int, str], object] | None,
    ) -> None:
        self.tally = Tally()
        self._outbox = outbox
        self._connection = connection
        self._batch = batch
        self._linger = linger
        self._defaults = defaults
        self.reports = Reports(connection.url, on_dropped)
        self._backoff = Backoff(_FIRST, _MOST)

    def run(self) -> None:
        """The thread."""
        try:
            while (taken := self._outbox.take(self._batch, MOST_BYTES, self._linger)) is not None:
                self.say_losses()
                parts = [self._report(entry) if isinstance(entry, Dropped) else Part(entry) for entry in taken]
                self._deliver(parts)
                self.say_losses()
        except Exception:  # a fault of ours must not end the publisher without a word
            logger.exception("The publisher for %s has failed: what it still had is lost.", self._connection.url)
            self._outbox.abandon()
        finally:
            self.say_losses(last=True)
            self._connection.close()

    def _deliver(self, parts: list[Part]) -> None:
        """Send `parts` in order; returns when each is at the hub or given up, or when it is over."""
        batches = deque([parts])
        failures = proofs = 0
        while batches and not self._outbox.abandoned:
            batch = batches.popleft()
            if not batch:
                continue
            try:
                posted = self._post(b"\n".join(part.data for part in batch))
            except HubError as error:
                self._failed(error)
                if _about_the_batch(error):
                    batches.extendleft(reversed(self._without(batch, error)))
                    continue
                failures += 1
                if failures % _DOUBT == 0 and _doubtful(error):
                    # If the hub takes something else, it is this batch that something on the way does not like.
                    proofs = proofs + 1 if self._hub_is_well() else 0
                if proofs >= _DOUBT:
                    proofs = 0
                    batches.extendleft(reversed(self._without(batch, error)))
                else:
                    batches.appendleft(batch)
                self._pause(error)
            else:
                failures = proofs = 0
                self._arrived(batch, posted.duplicates)

    def _post(self, lines: bytes) -> Posted:
        try:
            return self._connection.post(lines)
        except HubError:
            raise
        except Exception as error:  # an answer that nobody has thought of: tried again, like any other
            logger.debug("a POST has failed", exc_info=error)
            raise Unreachable(self._connection.url, f"its answer makes no sense: {type(error).__name__}") from error

    def _without(self, batch: list[Part], error: HubError) -> list[list[Part]]:
        """What is left to send of a batch that is refused: all but the event that is to blame. Where none is named,
        halves, so that it is found."""
        index = error.index if isinstance(error, Refused) else None
        if index is None or index >= len(batch):
            if len(batch) > 1:
                middle = len(batch) // 2
                return [batch[:middle], batch[middle:]]
            index = 0
        part = batch[index]
        before, after = batch[:index], batch[index + 1 :]
        if part.lost:  # not even that may be said: the log and the figures have it
            return [before + after]
        lost = Dropped(1, TOO_LARGE if getattr(error, "status", 0) == 413 else REFUSED)
        self._outbox.lose(lost.reason, part.size)
        if before and (neighbour := before[-1].lost) and neighbour.reason == lost.reason:
            lost = Dropped(neighbour.count + 1, lost.reason)
            before.pop()
        return [[*before, self._report(lost), *after]]

    def _report(self, lost: Dropped) -> Part:
        event = {
            **self._defaults,
            "type": "events_dropped",
            "count": lost.count,
            "reason": lost.reason,
            "event_id": new_id(),
            "timestamp": time.time(),
        }
        return Part(msgspec.json.encode(event), lost)

    def _hub_is_well(self) -> bool:
        """It takes a POST with nothing in it."""
        try:
            self._post(b"")
        except HubError:
            return False
        self._backoff.reset()
        return True

    def _arrived(self, batch: list[Part], duplicates: int) -> None:
        events, size = sum(part.events for part in batch), sum(part.size for part in batch)
        self.tally.connected = True  # before those who wait in `flush` go on
        with self._outbox.lock:
            if not self._outbox.abandoned:
                self.tally.sent += events
                self.tally.duplicates += duplicates
                self._outbox.settle(events, size)
        self._backoff.reset()
        self.reports.works()

    def _failed(self, error: HubError) -> None:
        self.tally.last_error = str(error)
        self.tally.retries += 1
        if _about_the_batch(error):
            self.tally.connected = True
        else:
            self.tally.connected = False
            self.reports.failed(error)
        self.say_losses()

    def _pause(self, error: HubError) -> None:
        wait = self._backoff.next(error.retry_after)
        self._outbox.pause(min(wait, _CLOSING_PAUSE) if self._outbox.closing else wait)

    def say_losses(self, *, last: bool = False) -> None:
        """Log what was dropped since the last time, and tell `on_dropped`."""
        with self._outbox.lock:
            dropped = self._outbox.queue.dropped.copy()
        self.reports.losses(dropped, self.tally.last_error, last=last)


def _about_the_batch(error: HubError) -> bool:
    """Sending the same again cannot help: an event in it is to blame, or its size."""
    if isinstance(error, Refused):
        return not error.again and (error.index is not None or error.status in (413, 422) or error.code == "bad_json")
    return isinstance(error, NotAHub) and error.status == 413


def _doubtful(error: HubError) -> bool:
    """It may be that the batch is to blame, though nobody says so."""
    return error.retry_after is None and not (isinstance(error, Refused) and error.retry)
