"""Batches to a hub, and how far it came: every line is posted, left out, or in doubt, and it is known which."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ..client import Hub, Posted, Refused
from .ending import Failed
from .options import count
from .progress import Progress
from .reading import Broken, Item, Passed, Read

_MOST = 500
_MOST_BYTES = 1 << 20
"""Of a batch: what nginx lets through, unless it is told otherwise. The hub's own limits are looked at as well."""
_TICK = 0.1
"""Seconds between two batches where the rate is limited."""


class Sender:
    """Posts what was read. `hub` None: only counts it. `place`: where a number is, for messages. `on_broken`: told of
    each broken line, which is left out; without it a broken line raises `Failed`, after everything before it was posted.
    """

    def __init__(
        self,
        hub: Hub | None,
        place: Callable[[int], str],
        *,
        batch: int,
        size: int,
        patience: float,
        per_second: float | None,
        progress: Progress,
        on_broken: Callable[[Broken], None] | None,
    ) -> None:
        self.progress = progress
        self.posted = 0
        """Events that the hub has confirmed, duplicates included."""
        self.doubtful = 0
        """Events of the batch that is under way: the hub may have them."""
        self.next_line = 1
        """After the last line that was confirmed."""
        self.broken = 0
        """Lines that were left out because they are broken."""
        self._hub = hub
        self._place = place
        self._most = min(_MOST, batch)
        self._most_bytes = min(_MOST_BYTES, size)
        self._patience = patience
        self._per_second = per_second
        self._on_broken = on_broken
        self._due = time.monotonic()
        self._first_line = 0
        self._last_line = 0
        self._duplicates = 0
        self._notified = 0
        self._last_id = ""
        self._passed = 0

    @property
    def dry(self) -> bool:
        """Nothing is sent."""
        return self._hub is None

    def send(self, batch: list[Read], done: int) -> None:
        """Post the events of `batch`; raises `HubError`, and `Failed` at a broken line. `done`: bytes read so far."""
        for part in self._parts(batch):
            if isinstance(part, Broken):
                self._leave_out(part)
            else:
                self._post(part)
            self.progress.update(self.posted, done)

    def finish(self) -> None:
        """All was sent."""
        self.progress.clear()

    def summary(self) -> str:
        """What became of everything, in one line."""
        if self.dry:
            return f"{count(self.posted + self.broken)} checked, {self.broken or 'none'} broken, nothing was sent"
        if self.posted == 1:
            kept = "was there already" if self._duplicates else "posted"
            text = f"{kept}: id {self._last_id}, {count(self._notified, 'client')} notified"
        else:
            extra = f" ({count(self._duplicates, 'duplicate')})" if self._duplicates else ""
            last = f", last id {self._last_id}" if self._last_id else ""
            text = f"posted {count(self.posted)}{extra}{last}, {count(self._notified, 'client')} notified"
        if self.broken:
            text += f"; {count(self.broken, 'broken line')} left out"
        if self._passed:
            text += f"; {count(self._passed, 'stream_gap line')} left out"
        return text

    def how_far(self, unit: str) -> str:
        """How far it came before it ended early."""
        if not self.posted:
            text = "nothing was posted"
        else:
            lines = (
                f"{unit} {self._first_line}" if self.posted == 1 else f"{unit}s {self._first_line}–{self._last_line}"
            )
            text = f"{count(self.posted)} ({lines}) {'was' if self.posted == 1 else 'were'} posted, last id {self._last_id}"
        return f"{text}; the next {self.doubtful:,} may have been" if self.doubtful else text

    def _parts(self, batch: list[Read]) -> Iterator[list[Item] | Broken]:
        """Batches that the hub takes; a broken line comes by itself, in its place."""
        most = self._most if self._per_second is None else max(1, min(self._most, int(self._per_second * _TICK)))
        items: list[Item] = []
        size = 0
        for one in batch:
            if isinstance(one, Item):
                if items and (len(items) >= most or size + one.size + 1 > self._most_bytes):
                    yield items
                    items, size = [], 0
                items.append(one)
                size += one.size + 1
                continue
            if items:
                yield items
                items, size = [], 0
            if isinstance(one, Passed):
                self._passed += 1
                self.next_line = one.number + 1
            else:
                yield one
        if items:
            yield items

    def _post(self, items: list[Item]) -> None:
        self._wait(len(items))
        try:
            self.doubtful = len(items)
            answer = self._answer(items)
            self._confirmed(items, answer)
        except Refused as refused:
            self.doubtful = 0
            self._refused(items, refused)

    def _answer(self, items: list[Item]) -> Posted:
        if self._hub is None:
            return Posted(len(items), 0, 0, None, None)
        return self._hub.post([item.event for item in items], patience=self._patience)

    def _confirmed(self, items: list[Item], answer: Posted) -> None:
        self.doubtful = 0
        self.posted += len(items)
        self._first_line = self._first_line or items[0].number
        self._last_line = items[-1].number
        self.next_line = items[-1].number + 1
        self._duplicates += answer.duplicates
        self._notified = max(self._notified, answer.clients_notified)
        self._last_id = answer.last_id or self._last_id

    def _refused(self, items: list[Item], refused: Refused) -> None:
        """The hub takes none of a batch for one bad event: what comes before it goes first, then the rest."""
        index = refused.index
        if index is None or index >= len(items):
            raise refused
        if index:
            self._post(items[:index])
        reason = refused.detail.partition(": ")[2] if refused.detail.startswith("event ") else refused.detail
        self._leave_out(Broken(items[index].number, reason))
        if items[index + 1 :]:
            self._post(items[index + 1 :])

    def _leave_out(self, broken: Broken) -> None:
        self.next_line = broken.number
        if self._on_broken is None:
            raise Failed(f"{self._place(broken.number)}{broken.reason}")
        self._on_broken(broken)
        self.broken += 1
        self.next_line = broken.number + 1

    def _wait(self, events: int) -> None:
        """Keep to the rate."""
        if self._per_second is None or self._hub is None:
            return
        now = time.monotonic()
        if self._due > now:
            time.sleep(self._due - now)
        self._due = max(self._due, now - 1.0) + events / self._per_second
