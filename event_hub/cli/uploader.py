"""Posts parsed lines to a hub in batches, and tracks which were posted, skipped, or left unconfirmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..client import AccessDenied, Hub, Posted, Refused
from .exits import CommandFailed
from .ndjson import InputEvent, InvalidLine, ParsedLine, SkippedGap
from .options import plural
from .progress_bar import ProgressBar

_BATCH_EVENTS = 500
_BATCH_BYTES = 1 << 20
"""Maximum bytes of a batch: nginx's default limit for a request body. The hub's own limits apply as well."""
_TICK = 0.1
"""Seconds between two batches if the rate is limited."""


class Uploader:
    """Posts parsed lines. `hub`: None to only count them. `label`: the prefix of a message about a line. `on_invalid`:
    called for each invalid line, which is then skipped; without it, an invalid line raises `CommandFailed` after
    everything before it has been posted.
    """

    def __init__(
        self,
        hub: Hub | None,
        label: Callable[[int], str],
        *,
        max_events: int,
        max_bytes: int,
        patience: float,
        per_second: float | None,
        progress: ProgressBar,
        on_invalid: Callable[[InvalidLine], None] | None,
    ) -> None:
        self.progress = progress
        self.posted = 0
        """Events confirmed by the hub, including duplicates."""
        self.unconfirmed = 0
        """Events of the batch being sent: the hub may have them."""
        self.next_line = 1
        """The line after the last confirmed one."""
        self.invalid = 0
        """Invalid lines that were skipped."""
        self._hub = hub
        self._label = label
        self._max_events = min(_BATCH_EVENTS, max_events)
        self._max_bytes = min(_BATCH_BYTES, max_bytes)
        self._patience = patience
        self._per_second = per_second
        self._on_invalid = on_invalid
        self._next_send = time.monotonic()
        self._first_line = 0
        self._last_line = 0
        self._duplicates = 0
        self._notified: int | None = None
        self._last_id = ""
        self._gaps = 0

    @property
    def dry_run(self) -> bool:
        """Whether nothing is sent."""
        return self._hub is None

    def send(self, lines: list[ParsedLine], done: int) -> None:
        """Post the events of `lines`. Raises `HubError`, and `CommandFailed` at an invalid line. `done`: input bytes
        read so far, for the progress bar."""
        for batch in self._batches(lines):
            if isinstance(batch, InvalidLine):
                self._skip(batch)
            else:
                self._post(batch)
            self.progress.update(self.posted, done)

    def finish(self) -> None:
        """Everything was sent."""
        self.progress.clear()

    def summary(self) -> str:
        """The result in one line."""
        if self.dry_run:
            return f"{plural(self.posted + self.invalid)} checked, {self.invalid or 'none'} invalid, nothing was sent"
        if self.posted == 1:
            result = "already stored" if self._duplicates else "posted"
            text = f"{result}: id {self._last_id}{self._clients()}"
        else:
            duplicates = f" ({plural(self._duplicates, 'duplicate')})" if self._duplicates else ""
            last = f", last id {self._last_id}" if self._last_id else ""
            text = f"posted {plural(self.posted)}{duplicates}{last}{self._clients()}"
        if self.invalid:
            text += f"; {plural(self.invalid, 'invalid line')} skipped"
        if self._gaps:
            text += f"; {plural(self._gaps, 'stream_gap line')} skipped"
        return text

    def _clients(self) -> str:
        """How many were notified, unless the key may not know."""
        return "" if self._notified is None else f", {plural(self._notified, 'client')} notified"

    def partial_summary(self, unit: str) -> str:
        """What was posted before the command ended early."""
        if not self.posted:
            text = "nothing was posted"
        else:
            lines = (
                f"{unit} {self._first_line}" if self.posted == 1 else f"{unit}s {self._first_line}–{self._last_line}"
            )
            text = f"posted {plural(self.posted)} ({lines}), last id {self._last_id}"
        return f"{text}; the next {self.unconfirmed:,} may have been posted too" if self.unconfirmed else text

    def _batches(self, lines: list[ParsedLine]) -> Iterator[list[InputEvent] | InvalidLine]:
        """Split `lines` into batches that the hub accepts. An invalid line is yielded on its own, in its place."""
        limit = self._max_events
        if self._per_second is not None:
            limit = max(1, min(limit, int(self._per_second * _TICK)))
        batch: list[InputEvent] = []
        size = 0
        for line in lines:
            if isinstance(line, InputEvent):
                if batch and (len(batch) >= limit or size + line.size + 1 > self._max_bytes):
                    yield batch
                    batch, size = [], 0
                batch.append(line)
                size += line.size + 1
                continue
            if batch:
                yield batch
                batch, size = [], 0
            if isinstance(line, SkippedGap):
                self._gaps += 1
                self.next_line = line.number + 1
            else:
                yield line
        if batch:
            yield batch

    def _post(self, batch: list[InputEvent]) -> None:
        self._wait_for_rate(len(batch))
        try:
            self.unconfirmed = len(batch)
            self._confirm(batch, self._send(batch))
        except Refused as refused:
            self.unconfirmed = 0
            self._retry_without_invalid(batch, refused)

    def _send(self, batch: list[InputEvent]) -> Posted:
        if self._hub is None:
            return Posted(len(batch), 0, 0, None, None)
        return self._hub.post([line.event for line in batch], patience=self._patience)

    def _confirm(self, batch: list[InputEvent], posted: Posted) -> None:
        self.unconfirmed = 0
        self.posted += len(batch)
        self._first_line = self._first_line or batch[0].number
        self._last_line = batch[-1].number
        self.next_line = batch[-1].number + 1
        self._duplicates += posted.duplicates
        if posted.clients_notified is not None:
            self._notified = max(self._notified or 0, posted.clients_notified)
        self._last_id = posted.last_id or self._last_id

    def _retry_without_invalid(self, batch: list[InputEvent], refused: Refused) -> None:
        """An invalid event makes the hub refuse the whole batch: post the events before it, skip it, post the rest."""
        index = refused.index
        if index is None or index >= len(batch) or isinstance(refused, AccessDenied):
            raise refused
        if index:
            self._post(batch[:index])
        reason = refused.detail.partition(": ")[2] if refused.detail.startswith("event ") else refused.detail
        self._skip(InvalidLine(batch[index].number, reason))
        if batch[index + 1 :]:
            self._post(batch[index + 1 :])

    def _skip(self, line: InvalidLine) -> None:
        self.next_line = line.number
        if self._on_invalid is None:
            raise CommandFailed(f"{self._label(line.number)}{line.reason}")
        self._on_invalid(line)
        self.invalid += 1
        self.next_line = line.number + 1

    def _wait_for_rate(self, events: int) -> None:
        if self._per_second is None or self._hub is None:
            return
        now = time.monotonic()
        if self._next_send > now:
            time.sleep(self._next_send - now)
        self._next_send = max(self._next_send, now - 1.0) + events / self._per_second
