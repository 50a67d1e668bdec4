"""The event log: what has just been published, as frames ready for the wire, and each subscriber's place in it.

Pure: no socket, thread or clock. An event is encoded once, outside. Each distinct filter is a `View` with its own run
of frames, and a subscriber is no more than a number in it: how many of the view's frames it has taken. So publishing
costs nothing per subscriber, and a subscriber that is slow costs nothing but its number.

The runs are bounded together by the ring: the newest `ring` events, and at most `ring_bytes` of frames. What falls
out of the ring falls out of every view, and who had not taken it has a gap, counted exactly. Nothing falls out before
it was offered to everybody once (`settle`): only who could not take it can be passed by.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Any, NamedTuple

from .filters import Filter

_COMPACT = 512
"""Taken-off frames at the head of a run before the list is moved up: small enough to cost no memory, large enough that
moving costs nothing per event."""


class Gap(NamedTuple):
    """What a subscriber has missed: `missed` events of its view, the last of them at `through`."""

    missed: int
    through: int


class View:
    """The run of frames that one filter lets through.

    Positions count the frames that the view ever had, so they stay valid while frames fall out at the other end:
    the run holds the positions `first` … `head` - 1.
    """

    __slots__ = ("_frames", "_offsets", "_skip", "_through", "dirty", "filter", "first", "subscribers")

    def __init__(self, filter: Filter, since: int) -> None:
        self.filter = filter
        self.first = 0
        self.subscribers: list[Any] = []
        """Whoever reads this view; kept by `broadcast`, counted here."""
        self.dirty = False
        """Frames came since the last flush; kept by `broadcast`."""
        self._frames: list[bytes | None] = []
        self._offsets: list[int] = []
        self._skip = 0
        self._through = since
        """The offset before the run: of the last frame that fell out, or where the view began."""

    @property
    def head(self) -> int:
        """The position after the newest frame."""
        return self.first + len(self._frames) - self._skip

    def read(self, position: int, limit: int) -> tuple[bytes, int]:
        """All frames from `position` on, joined, and the position after them: at least one, else up to `limit` bytes.

        `position` must not lie before `first`: ask `gap` first.
        """
        start = position - self.first + self._skip
        frames: list[Any] = self._frames[start:]
        joined = b"".join(frames)
        if len(joined) <= limit:
            return joined, position + len(frames)
        size = count = 0
        for one in frames:
            size += len(one)
            if size > limit and count:
                break
            count += 1
        return b"".join(frames[:count]), position + count

    def after(self, position: int, sent: int) -> tuple[int, bytes]:
        """Where a send of `sent` bytes from `position` on ended: the next position, and what is left of a torn frame."""
        index = position - self.first + self._skip
        while True:
            one = self._frames[index]
            assert one is not None
            if sent < len(one):
                return (position, b"") if sent == 0 else (position + 1, one[sent:])
            sent -= len(one)
            position += 1
            index += 1
            if sent == 0:
                return position, b""

    def gap(self, position: int) -> Gap | None:
        """What has fallen out of the ring before one at `position` took it; None if nothing has."""
        return Gap(self.first - position, self._through) if position < self.first else None

    def offset_at(self, position: int) -> int:
        """The offset of the last event that one at `position` has taken, or the view's beginning."""
        index = position - self.first + self._skip - 1
        return self._offsets[index] if index >= self._skip else self._through

    def position_after(self, offset: int) -> int | None:
        """Where to go on after the event at `offset`; None if the run does not reach back so far."""
        if offset < self._through:
            return None
        index = bisect_right(self._offsets, offset, self._skip)
        return self.first + index - self._skip

    def _append(self, offset: int, frame: bytes) -> None:
        self._frames.append(frame)
        self._offsets.append(offset)

    def _evict(self, offset: int) -> None:
        """Drop the oldest frame if it is the event at `offset` (it is not, if the event came before the view)."""
        skip = self._skip
        if skip < len(self._frames) and self._offsets[skip] == offset:
            self._frames[skip] = None
            self._skip = skip + 1
            self.first += 1
            self._through = offset
            if self._skip >= _COMPACT or self._skip == len(self._frames):
                del self._frames[: self._skip], self._offsets[: self._skip]
                self._skip = 0


class Log:
    """Views, the index that finds those an event belongs to, and the ring that bounds them all."""

    def __init__(self, *, ring: int, ring_bytes: int, head: int = 0) -> None:
        self.head = head
        """The offset of the newest event."""
        self.settled = head
        """The offset up to which every subscriber that can take something has it."""
        self.bytes = 0
        """What the ring holds, in bytes of frames."""
        self.globs = 0
        """Patterns with `*` in all views: what an event may have to be compared with one by one."""
        self._ring = ring
        self._ring_bytes = ring_bytes
        self._entries: deque[tuple[int, int, tuple[View, ...]]] = deque()
        self._views: dict[Filter, View] = {}
        self._all: list[View] = []
        self._tried: list[View] = []
        self._index: dict[str, dict[str, list[View]]] = {"session": {}, "room": {}, "type": {}}

    def __len__(self) -> int:
        """How many events the ring holds for somebody."""
        return len(self._entries)

    @property
    def views(self) -> list[View]:
        return list(self._views.values())

    def find(self, filter: Filter) -> View | None:
        """The view of `filter`, if somebody watches it."""
        return self._views.get(filter)

    def watch(self, filter: Filter) -> View:
        """The view of `filter`, made at the head if there is none yet."""
        view = self._views.get(filter)
        if view is None:
            view = self._views[filter] = View(filter, self.head)
            for places in self._places(filter):
                places.append(view)
            self.globs += filter.globs
        return view

    def forget(self, view: View) -> None:
        """Nobody watches `view` any more."""
        if self._views.get(view.filter) is not view:
            return
        del self._views[view.filter]
        for places in self._places(view.filter):
            places.remove(view)
        if view.filter.exact:
            dimension, names = view.filter.exact
            index = self._index[dimension]
            for name in names:
                if not index[name]:
                    del index[name]
        self.globs -= view.filter.globs

    def append(self, offset: int, frame: bytes, type: str, room: str | None, session: str | None) -> tuple[View, ...]:
        """Publish one event at `offset`, which is greater than every one before; returns the views that have it now."""
        views = self._matching(type, room, session)
        self.head = offset
        if views:
            for view in views:
                view._append(offset, frame)
            self._entries.append((offset, len(frame), views))
            self.bytes += len(frame)
            self._trim()
        return views

    def settle(self, offset: int) -> None:
        """Everything up to `offset` was offered to every subscriber: from here on the ring may pass by who is slow."""
        self.settled = offset
        self._trim()

    @property
    def behind(self) -> bool:
        """Half a ring waits to be offered: publishers should wait too, so that what is kept stays bounded."""
        return self.head - self.settled > self._ring // 2 or self.bytes > 2 * self._ring_bytes

    def _trim(self) -> None:
        entries, oldest_kept = self._entries, self.head - self._ring
        while entries and entries[0][0] <= self.settled:
            if entries[0][0] > oldest_kept and self.bytes <= self._ring_bytes:
                break
            offset, size, had = entries.popleft()
            self.bytes -= size
            for view in had:
                view._evict(offset)

    def _matching(self, type: str, room: str | None, session: str | None) -> tuple[View, ...]:
        index = self._index
        views = [*self._all]
        if index["type"]:
            views += [v for v in index["type"].get(type, ()) if v.filter.matches(type, room, session)]
        if room is not None and index["room"]:
            views += [v for v in index["room"].get(room, ()) if v.filter.matches(type, room, session)]
        if session is not None and index["session"]:
            views += [v for v in index["session"].get(session, ()) if v.filter.matches(type, room, session)]
        if self._tried:
            views += [v for v in self._tried if v.filter.matches(type, room, session)]
        return tuple(views)

    def _places(self, filter: Filter) -> list[list[View]]:
        if filter.everything:
            return [self._all]
        if not filter.exact:
            return [self._tried]
        dimension, names = filter.exact
        return [self._index[dimension].setdefault(name, []) for name in names]
