"""Erases events from everything that the hub keeps: history, ring, caches and forwarded files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ... import sse
from ..access.key_entries import scope_of
from ..cooperate import TimeSlice
from ..errors import RequestError
from ..filters import Filter
from ..forward.targets import FILE, Target
from ..history import History, HistoryReader
from ..history.health import HistoryHealth
from ..streaming.broadcast import Broadcast
from .forward_files import ErasedLines, erase_from_files
from .selector import Selection, tombstone

logger = logging.getLogger(__name__)

_PAGE = 250
_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class Erased(NamedTuple):
    """What was erased, or would be: `bytes` of events in the history, `lines` in `files` of forwarding targets,
    `recordings` with their traces and logs. `receivers`:
    webhook receivers, which may have got the events. `agent_logs`: the folder of the agents' logs, which are not erased; or
    None."""

    events: int
    bytes: int
    sessions: int
    lines: int
    files: int
    recordings: int
    receivers: list[str]
    agent_logs: str | None
    dry_run: bool


class Eraser:
    """Erases from one hub. One erasure at a time; publishers and subscribers go on meanwhile."""

    def __init__(
        self,
        history: History,
        reader: HistoryReader,
        broadcast: Broadcast,
        health: HistoryHealth,
        targets: tuple[Target, ...],
        clear_caches: Callable[[], None],
        erased: Callable[[], None],
        tell: Callable[[Mapping[int, bytes]], None] | None = None,
    ) -> None:
        """`erased`: called after each step, before anything else runs. `tell`: gives the tombstones, by offset, to other
        processes that have the events in memory."""
        self._tell = tell
        self._history = history
        self._reader = reader
        self._broadcast = broadcast
        self._health = health
        self._targets = targets
        self._clear_caches = clear_caches
        self._erased = erased
        self._lock = threading.Lock()
        self.unscrubbed = False
        """Something that has expired may still be in the storage."""

    def forget(self, selection: Selection, agent_logs: str | None, *, dry_run: bool) -> Erased:
        """Erase what `selection` selects of the events so far. Raises `RequestError`.

        A kill in the middle leaves each event whole or erased; the same request then erases the rest.
        """
        with self._lock:
            events = size = 0
            sessions: set[tuple[str | None, str | None]] = set()
            end = self._end(selection.selector.before)
            with self._health.reading():
                for page in self._selected(selection, end) if selection.by_room else ():
                    for _, data, event in page:
                        if not selection.selector.selects(event):
                            selection.remember(data)
            found = self._from_files(selection, dry_run=dry_run)
            try:
                with self._health.reading():
                    for page in self._selected(selection, end):
                        for _, data, event in page:
                            events += 1
                            size += len(data)
                            if event.get("session") is not None:
                                sessions.add((event.get("room"), event["session"]))
                        if not dry_run:
                            self._erase({offset: tombstone(event, "forget") for offset, _, event in page})
            finally:
                if not dry_run and events:
                    self._clear_caches()
            lines = found.lines
            if not dry_run and events:
                lines += self._from_files(selection, dry_run=False).lines  # what was forwarded meanwhile
            receivers = [target.shown for target in self._targets if target.kind != FILE]
            return Erased(events, size, len(sessions), lines, found.files, 0, receivers, agent_logs, dry_run)

    def _from_files(self, selection: Selection, *, dry_run: bool) -> ErasedLines:
        try:
            return erase_from_files(self._targets, selection, dry_run=dry_run)
        except OSError as error:
            text = f"{error.filename} cannot be erased from: {error.strerror}; repeat the request afterwards"
            raise RequestError("history_unavailable", text) from None

    def scrub_now(self) -> None:
        """Remove what was erased from the storage, also what an erasure that was killed has left. Raises `RequestError`."""
        with self._lock, self._health.reading():
            self._history.scrub()

    def expire(self, room: str, begin: int, before: float, *, but_not: Sequence[str] = ()) -> int:
        """Erase the events of a room, a name or a pattern, that were received before `before` and come after the offset
        `begin`, but not those of the rooms `but_not`; returns the offset up to which that is done. Raises `HistoryError`."""
        others = scope_of(but_not)
        end = self._reader.offset_at(before)
        with self._lock:
            for page in self._pages(Filter().narrowed(scope_of([room])), begin, end):
                events = [(offset, _decode(data)) for offset, data in page]
                expired = [(offset, event) for offset, event in events if not others.contains(event.get("room"), None)]
                self._erase({offset: tombstone(event, "retention") for offset, event in expired})
                if expired:
                    self.unscrubbed = True
                    self._clear_caches()
        return max(begin, end)

    def scrub(self) -> None:
        """Remove from the storage what `expire` has left there; costs an fsync. Raises `HistoryError`."""
        if self.unscrubbed:
            self._history.scrub()
            self.unscrubbed = False

    def _end(self, before: float | None) -> int:
        head = self._reader.head
        return head if before is None else min(head, self._reader.offset_at(before))

    def _selected(self, selection: Selection, end: int) -> Iterator[list[tuple[int, bytes, dict[str, Any]]]]:
        """The selected events, page by page, each once."""
        seen: set[int] = set()
        filters = list(selection.filters(self._reader.floor, end))
        for filter, begin, until in filters:
            for page in self._pages(filter, begin, until):
                events = [(offset, data, _decode(data)) for offset, data in page if offset not in seen]
                selected = [item for item in events if selection.selects(item[2], item[0])]
                if len(filters) > 1:
                    seen.update(offset for offset, _, _ in selected)
                yield selected

    def _pages(self, filter: Filter, begin: int, end: int) -> Iterator[list[Any]]:
        time_slice = TimeSlice()
        after = begin
        while after < end:
            page = self._reader.after(after, end, filter, _PAGE)
            after = page.through
            if page.records:
                yield page.records
            time_slice.pause_if_due()

    def _erase(self, tombstones: dict[int, bytes]) -> None:
        if not tombstones:
            return
        self._history.erase(tombstones)
        if self._tell is not None:
            self._tell(tombstones)
        self.replace_frames(tombstones)

    def replace_frames(self, tombstones: Mapping[int, bytes]) -> None:
        """Put tombstones in the places of events in memory; by offset."""
        epochs, broadcast = self._history.epochs, self._broadcast
        frames = {offset: sse.frame(epochs.of(offset), offset, data) for offset, data in tombstones.items()}
        with broadcast.lock:
            broadcast.log.erase(frames)
        self._erased()
