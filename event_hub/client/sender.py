"""The publisher's background thread: sends queued events in order and retries until the hub has them."""

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
from .errors import AccessDenied, CredentialUnavailable, HubError, NotAHub, Refused, Unreachable
from .event_ids import new_id
from .outage_log import OutageLog
from .outbox import Outbox
from .queue import REFUSED, TOO_LARGE, DropMarker
from .results import Posted

logger = logging.getLogger("event_hub.client")

BATCH_BYTES = 1_000_000
"""Maximum bytes in one POST: below nginx's default limit of 1 MiB."""
_FIRST_DELAY, _MAX_DELAY = 0.2, 10.0
"""Seconds between retries."""
_MAX_DENIED_DELAY = 60.0
"""Maximum seconds between retries while the hub does not accept the credential: keys are rotated by people."""
_CLOSING_DELAY = 0.5
"""Maximum seconds between retries while a caller waits in `close`."""
_SUSPECT_AFTER = 3
"""After this many failures in a row, probe whether the hub accepts an empty POST; after this many successful probes in
a row, the batch itself is to blame."""


@dataclass(frozen=True, slots=True)
class OutgoingLine:
    """One line of a POST: an event, or the report of events dropped in its place."""

    data: bytes
    marker: DropMarker | None = None

    @property
    def events(self) -> int:
        """Events to settle in the queue; a report is not in the queue."""
        return 0 if self.marker else 1

    @property
    def size(self) -> int:
        return 0 if self.marker else len(self.data)


@dataclass
class SendCounters:
    """The sender's part of `Stats`."""

    sent: int = 0
    duplicates: int = 0
    retries: int = 0
    connected: bool = False
    last_error: str | None = None


class Sender:
    """Sends the events of `outbox` until it is closed and empty, or abandoned. `defaults` are added to its reports."""

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
        self.counters = SendCounters()
        self.log = OutageLog(connection.url, on_dropped)
        self._outbox = outbox
        self._connection = connection
        self._batch = batch
        self._linger = linger
        self._defaults = defaults
        self._backoff = Backoff(_FIRST_DELAY, _MAX_DELAY)
        self._denied_backoff = Backoff(_FIRST_DELAY, _MAX_DENIED_DELAY)

    def run(self) -> None:
        """The thread's main function."""
        try:
            while (taken := self._outbox.take(self._batch, BATCH_BYTES, self._linger)) is not None:
                self._report_dropped()
                lines = [
                    self._report(entry) if isinstance(entry, DropMarker) else OutgoingLine(entry) for entry in taken
                ]
                self._deliver(lines)
                self._report_dropped()
        except Exception:  # a bug of ours must not end the publisher silently
            logger.exception("The publisher for %s failed; its queued events are lost.", self._connection.url)
            self._outbox.abandon()
        finally:
            self._report_dropped(last=True)
            self._connection.close()

    def _deliver(self, lines: list[OutgoingLine]) -> None:
        """Send `lines` in order. Returns once each is at the hub or dropped, or the outbox is abandoned."""
        batches = deque([lines])
        failures = probes = 0
        while batches and not self._outbox.abandoned:
            batch = batches.popleft()
            if not batch:
                continue
            try:
                posted = self._post(b"\n".join(line.data for line in batch))
            except HubError as error:
                self._failed(error)
                if _caused_by_batch(error):
                    batches.extendleft(reversed(self._split(batch, error)))
                    continue
                failures += 1
                if failures % _SUSPECT_AFTER == 0 and _maybe_caused_by_batch(error):
                    # If the hub accepts another POST, something in between rejects this batch.
                    probes = probes + 1 if self._probe() else 0
                if probes >= _SUSPECT_AFTER:
                    probes = 0
                    batches.extendleft(reversed(self._split(batch, error)))
                else:
                    batches.appendleft(batch)
                self._pause(error)
            else:
                failures = probes = 0
                self._delivered(batch, posted.duplicates)

    def _post(self, lines: bytes) -> Posted:
        try:
            return self._connection.post(lines)
        except HubError:
            raise
        except Exception as error:  # an unforeseen response: retried like any other failure
            logger.debug("a POST failed", exc_info=error)
            raise Unreachable(self._connection.url, f"invalid response: {type(error).__name__}") from error

    def _split(self, batch: list[OutgoingLine], error: HubError) -> list[list[OutgoingLine]]:
        """Split a refused batch: drop the event that the error names, or bisect the batch if it names none."""
        index = error.index if isinstance(error, Refused) else None
        if index is None or index >= len(batch):
            if len(batch) > 1:
                middle = len(batch) // 2
                return [batch[:middle], batch[middle:]]
            index = 0
        line = batch[index]
        before, after = batch[:index], batch[index + 1 :]
        if line.marker:  # the report itself is refused: the log and the counters still have it
            return [before + after]
        marker = DropMarker(1, TOO_LARGE if getattr(error, "status", 0) == 413 else REFUSED)
        self._outbox.drop(marker.reason, line.size)
        if before and (neighbour := before[-1].marker) and neighbour.reason == marker.reason:
            marker = DropMarker(neighbour.count + 1, marker.reason)
            before.pop()
        return [[*before, self._report(marker), *after]]

    def _report(self, marker: DropMarker) -> OutgoingLine:
        """The `events_dropped` event for a marker."""
        event = {
            **self._defaults,
            "type": "events_dropped",
            "count": marker.count,
            "reason": marker.reason,
            "event_id": new_id(),
            "timestamp": time.time(),
        }
        return OutgoingLine(msgspec.json.encode(event), marker)

    def _probe(self) -> bool:
        """Whether the hub accepts an empty POST."""
        try:
            self._post(b"")
        except HubError:
            return False
        self._backoff.reset()
        self._denied_backoff.reset()
        return True

    def _delivered(self, batch: list[OutgoingLine], duplicates: int) -> None:
        events, size = sum(line.events for line in batch), sum(line.size for line in batch)
        self.counters.connected = True  # before `flush` returns
        with self._outbox.lock:
            if not self._outbox.abandoned:
                self.counters.sent += events
                self.counters.duplicates += duplicates
                self._outbox.settle(events, size)
        self._backoff.reset()
        self._denied_backoff.reset()
        self.log.succeeded()

    def _failed(self, error: HubError) -> None:
        self.counters.last_error = str(error)
        self.counters.retries += 1
        if _caused_by_batch(error):
            self.counters.connected = True
        else:
            self.counters.connected = False
            self.log.failed(error)
        self._report_dropped()

    def _pause(self, error: HubError) -> None:
        backoff = self._denied_backoff if isinstance(error, AccessDenied) else self._backoff
        delay = backoff.next(error.retry_after)
        self._outbox.pause(min(delay, _CLOSING_DELAY) if self._outbox.closing else delay)

    def _report_dropped(self, *, last: bool = False) -> None:
        """Log events dropped since the last call, and call `on_dropped`."""
        with self._outbox.lock:
            totals = self._outbox.queue.dropped.copy()
        self.log.dropped(totals, self.counters.last_error, last=last)


def _caused_by_batch(error: HubError) -> bool:
    """Whether retrying is pointless: an event in the batch is invalid, or the batch is too large."""
    if isinstance(error, Refused):
        return not error.again and (error.index is not None or error.status in (413, 422) or error.code == "bad_json")
    return isinstance(error, NotAHub) and error.status == 413


def _maybe_caused_by_batch(error: HubError) -> bool:
    """Whether the batch may be to blame although the response does not say so: not if the credential is."""
    if isinstance(error, Refused) and (error.retry or error.status == 401):
        return False
    return error.retry_after is None and not isinstance(error, CredentialUnavailable)
