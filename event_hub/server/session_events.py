"""Reads the events of sessions from the history, in time slices."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any

import msgspec

from ..sessions import Session
from .cooperate import TimeSlice
from .filters import Filter, Scope
from .history import HistoryReader, Record

PAGE = 250
"""Events in one read: half a millisecond, during which no other request is served."""
_MERGED = 32
"""Rooms of a scope whose events are read by the index, room by room; those of more are found by a scan of all events."""
_SCANNED = 100
"""Events that are scanned in the time of one read by the index."""

decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class SessionEvents:
    """The events that readers within a scope may see. Raises `HistoryError` if the history cannot be read."""

    def __init__(self, history: HistoryReader, within: Scope | None) -> None:
        self._history = history
        self._within = within

    def all(self, after: int, until: int, time_slice: TimeSlice) -> Iterator[tuple[int, dict[str, Any]]]:
        """All events after one offset and up to another, with their offsets."""
        for record in self._records(Filter(), after, until, time_slice):
            yield record.offset, decode(record.data)

    def of(
        self, session: Session, after: int, until: int, time_slice: TimeSlice
    ) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The events that may concern a session, and those of its agent's process; `replay_into` finds its own."""
        room, name = session.room, session.session
        if name is not None and not session.nameless:
            rooms = () if room is None or session.roomless else (room,)
            filters = [Filter(rooms=rooms, sessions=(name,))]
        elif room is not None:
            filters = [Filter(rooms=(room,))]
            if name is not None and session.roomless:
                filters.append(Filter(sessions=(name,)))
        else:
            filters = [Filter(sessions=(name,)) if name is not None else Filter()]
        before = 0
        matching = [
            ((record.offset, decode(record.data)) for record in self._records(filter, after, until, time_slice))
            for filter in filters
        ]
        exits = [(offset, event) for offset, event in session.exits if after < offset <= until]
        for offset, event in heapq.merge(*matching, exits, key=itemgetter(0)):
            if offset != before:
                yield offset, event
            before = offset

    def _records(self, filter: Filter, after: int, until: int, time_slice: TimeSlice) -> Iterator[Record]:
        visible = filter.narrowed(self._within)
        rooms = visible.rooms
        exact = visible.exact is not None and visible.exact[0] == "room"
        if exact and 1 < len(rooms) <= _MERGED and until - after > _SCANNED * len(rooms):
            of_rooms = [self._pages(replace(visible, rooms=(room,)), after, until, time_slice) for room in rooms]
            return heapq.merge(*of_rooms, key=itemgetter(0))
        return self._pages(visible, after, until, time_slice)

    def _pages(self, filter: Filter, after: int, until: int, time_slice: TimeSlice) -> Iterator[Record]:
        while after < until:
            page = self._history.after(after, until, filter, PAGE)
            for record in page.records:
                yield record
                time_slice.pause_if_due()
            after = page.through
            time_slice.pause_if_due()
