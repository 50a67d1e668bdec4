"""The log: the newest events, encoded once, and each subscriber's position in them.

Pure: no socket, thread or clock. Each distinct filter is a `View` with its own run of frames, and a subscriber is only a
position in it: the number of the view's frames that it has taken. Publishing therefore costs nothing per subscriber, and
a slow subscriber costs nothing but its position.

A frame is an event in its SSE encoding. How frames are put on a connection (HTTP chunks, a WSGI iterable, WebSocket
messages) is up to the code that writes to it: `Batch.joined`.

The ring bounds all runs together: the newest `ring` events, and at most `ring_bytes` of frames. An event that falls out of
the ring falls out of every view, and a subscriber that had not taken it has a gap, counted exactly. No event falls out
before it has been offered to every subscriber once (`settle`), so only a subscriber that could not take it is overrun.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, repeat
from typing import Any, NamedTuple

from ..filters import Filter
from ..history.base import TOMBSTONE

_COMPACT = 512
"""Evicted frames at the head of a run before the list is compacted: few enough to waste no memory, enough that compacting
costs nothing per event."""

_SLICE = 256
"""Frames that a read takes at a time: a subscriber that is far behind does not copy all of the run."""

_ERASED = b": erased\n\n"
"""A comment, which no client sees, where a frame was."""

Encode = Callable[[bytes], bytes]


class Overrun(NamedTuple):
    """The ring has overrun a subscriber: `missed` events of its view, the last of them at offset `through`."""

    missed: int
    through: int


class Batch:
    """The frames of a view from one position on: the same object, and the same bytes, for all subscribers there."""

    __slots__ = ("_encoded", "frames", "offset", "offsets", "position", "size", "start")

    def __init__(self, start: int, frames: list[bytes], offsets: list[int]) -> None:
        self.start = start
        self.frames = frames
        self.offsets = offsets
        self.position = start + len(frames)
        """The position after the last frame."""
        self.offset = offsets[-1]
        """The offset of the last event."""
        self.size = sum(map(len, frames))
        """Bytes of frames."""
        self._encoded: dict[Encode | None, tuple[list[bytes], bytes]] = {}

    def joined(self, encode: Encode | None = None) -> bytes:
        """All frames as one `bytes`, each passed through `encode` first; computed once per `encode`."""
        encoded = self._encoded.get(encode)
        if encoded is None:
            frames = self.frames if encode is None else list(map(encode, self.frames))
            encoded = self._encoded[encode] = frames, frames[0] if len(frames) == 1 else b"".join(frames)
        return encoded[1]

    def split(self, sent: int, encode: Encode) -> tuple[int, bytes]:
        """Where a send of only `sent` bytes of `joined(encode)` ended: the number of frames that it took with it, the
        last of them perhaps torn, and the rest of that one."""
        joined = self.joined(encode)
        ends = list(accumulate(map(len, self._encoded[encode][0])))
        whole = bisect_right(ends, sent)
        if whole == len(ends) or sent == (ends[whole - 1] if whole else 0):
            return whole, b""
        return whole + 1, joined[sent : ends[whole]]


class View:
    """The run of frames that pass one filter.

    Positions count all frames that the view ever had, so they stay valid while frames are evicted: the run holds the
    positions `first` … `head` - 1.
    """

    __slots__ = ("_frames", "_offsets", "_skip", "_through", "dirty", "filter", "first", "subscribers")

    def __init__(self, filter: Filter, since: int) -> None:
        self.filter = filter
        self.first = 0
        self.subscribers: list[Any] = []
        """The subscribers of this view; maintained by `broadcast`."""
        self.dirty = False
        """Frames have arrived since the last flush; maintained by `broadcast`."""
        self._frames: list[bytes | None] = []
        self._offsets: list[int] = []
        self._skip = 0
        self._through = since
        """The offset before the run: of the last evicted frame, or where the view began."""

    @property
    def head(self) -> int:
        """The position after the newest frame."""
        return self.first + len(self._frames) - self._skip

    def read(self, position: int, limit: int) -> Batch:
        """The frames from `position` on: at least one, then up to `limit` bytes.

        `position` lies before `head`, and not before `first`: check `overrun` first.
        """
        at = position - self.first + self._skip
        frames: list[Any] = self._frames[at : at + _SLICE]
        size = sum(map(len, frames))
        while size <= limit and at + len(frames) < len(self._frames):
            more: list[Any] = self._frames[at + len(frames) : at + len(frames) + _SLICE]
            size += sum(map(len, more))
            frames += more
        if size > limit:
            del frames[max(1, bisect_right(list(accumulate(map(len, frames))), limit)) :]
        return Batch(position, frames, self._offsets[at : at + len(frames)])

    def overrun(self, position: int) -> Overrun | None:
        """The frames that were evicted before a subscriber at `position` took them; None if there are none."""
        return Overrun(self.first - position, self._through) if position < self.first else None

    def offset_at(self, position: int) -> int:
        """The offset of the last event that a subscriber at `position` has taken, or where the view began."""
        index = position - self.first + self._skip - 1
        return self._offsets[index] if index >= self._skip else self._through

    def position_after(self, offset: int) -> int | None:
        """The position after the event at `offset`; None if the run does not reach back that far."""
        if offset < self._through:
            return None
        index = bisect_right(self._offsets, offset, self._skip)
        return self.first + index - self._skip

    def _append(self, offset: int, frame: bytes) -> None:
        self._frames.append(frame)
        self._offsets.append(offset)

    def _extend(self, offsets: Sequence[int], frames: Sequence[bytes]) -> None:
        self._frames += frames
        self._offsets += offsets

    def _erase(self, frames: Mapping[int, bytes], in_order: Sequence[int]) -> None:
        """`in_order`: the offsets of `frames`. Looks for each of these, or at each frame of the run, if they are fewer."""
        offsets, skip = self._offsets, self._skip
        begin = bisect_left(offsets, in_order[0], skip)
        end = bisect_right(offsets, in_order[-1], begin)
        if begin == end:
            return
        if end - begin <= len(in_order):
            found = [index for index in range(begin, end) if offsets[index] in frames]
        else:
            places = [bisect_left(offsets, offset, begin, end) for offset in in_order]
            found = [place for place in places if place < end and offsets[place] in frames]
        passes = self.filter.matches(TOMBSTONE, None, None)
        for index in found:
            self._frames[index] = frames[offsets[index]] if passes else _ERASED

    def _evict(self, offset: int) -> None:
        """Drop the frames of all events up to the one at `offset` (none if those came before the view)."""
        offsets, skip = self._offsets, self._skip
        if skip == len(offsets) or offsets[skip] > offset:
            return
        end = skip + 1
        if end < len(offsets) and offsets[end] <= offset:
            end = bisect_right(offsets, offset, end)
        self._frames[skip:end] = repeat(None, end - skip)
        self._skip = end
        self.first += end - skip
        self._through = offsets[end - 1]
        if end >= _COMPACT or end == len(offsets):
            del self._frames[:end], offsets[:end]
            self._skip = 0


class Log:
    """All views, an index from events to the views that match them, and the ring that bounds them."""

    def __init__(self, *, ring: int, ring_bytes: int, head: int = 0) -> None:
        self.head = head
        """The offset of the newest event."""
        self.settled = head
        """The offset up to which every subscriber that can be written to has been served."""
        self.restarts = 0
        """How often it began again, because the history had lost events."""
        self._ring = ring
        self._ring_bytes = ring_bytes
        self._clear()

    def _clear(self) -> None:
        self.bytes = 0
        """The size of the frames in the ring."""
        self._entries: deque[tuple[int, int, tuple[View, ...]]] = deque()
        self._views: dict[Filter, View] = {}
        self._all: list[View] = []
        self._tried: list[View] = []
        self._matched: tuple[str, str | None, str | None] | None = None
        self._matching: tuple[View, ...] = ()
        """The views that match such an event, until views change."""
        self._index: dict[str, dict[str, list[View]]] = {"session": {}, "room": {}, "type": {}}

    def restart(self, head: int) -> None:
        """Begin at `head`, with no views: those that there were get no more events."""
        self._clear()
        self.head = self.settled = head
        self.restarts += 1

    def __len__(self) -> int:
        """The number of events in the ring."""
        return len(self._entries)

    @property
    def views(self) -> list[View]:
        return list(self._views.values())

    def find(self, filter: Filter) -> View | None:
        """The view of `filter`, if it has subscribers."""
        return self._views.get(filter)

    def watch(self, filter: Filter) -> View:
        """The view of `filter`; a new one begins at the head."""
        view = self._views.get(filter)
        if view is None:
            view = self._views[filter] = View(filter, self.head)
            for views in self._indexed(filter):
                views.append(view)
            self._matched = None
        return view

    def forget(self, view: View) -> None:
        """Remove `view`: its last subscriber has left."""
        if self._views.get(view.filter) is not view:
            return
        del self._views[view.filter]
        self._matched = None
        for views in self._indexed(view.filter):
            views.remove(view)
        if view.filter.exact:
            dimension, names = view.filter.exact
            index = self._index[dimension]
            for name in names:
                if not index[name]:
                    del index[name]

    def append(self, offset: int, frame: bytes, type: str, room: str | None, session: str | None) -> tuple[View, ...]:
        """Add the event at `offset`, which is greater than all before; returns the views that match it."""
        views = self.matching(type, room, session)
        self.head = offset
        if views:
            for view in views:
                view._append(offset, frame)
            self._entries.append((offset, len(frame), views))
            self.bytes += len(frame)
            self._trim()
        return views

    def extend(
        self, offsets: Sequence[int], frames: Sequence[bytes], type: str, room: str | None, session: str | None
    ) -> tuple[View, ...]:
        """`append` for a run of events, at least one, that filters cannot tell apart."""
        views = self.matching(type, room, session)
        self.head = offsets[-1]
        if views:
            for view in views:
                view._extend(offsets, frames)
            sizes = [len(frame) for frame in frames]
            self._entries.extend(zip(offsets, sizes, repeat(views)))
            self.bytes += sum(sizes)
            self._trim()
        return views

    def erase(self, frames: Mapping[int, bytes]) -> None:
        """Replace the frames at these offsets. Positions stay. Where a filter does not pass tombstones, a comment."""
        in_order = sorted(frames)
        if in_order:
            for view in self._views.values():
                view._erase(frames, in_order)

    def settle(self, offset: int) -> None:
        """Every subscriber was offered everything up to `offset`: from now on the ring may overrun slow ones."""
        self.settled = offset
        self._trim()

    @property
    def behind(self) -> bool:
        """Half a ring is waiting to be offered: publishers should wait too, so that memory stays bounded."""
        return self.head - self.settled > self._ring // 2 or self.bytes > 2 * self._ring_bytes

    def matching(self, type: str, room: str | None, session: str | None) -> tuple[View, ...]:
        """The views whose filter passes such an event."""
        event = (type, room, session)
        if event == self._matched:  # most often the same as the last one
            return self._matching
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
        self._matched, self._matching = event, tuple(views)
        return self._matching

    def _trim(self) -> None:
        entries, oldest_kept, settled = self._entries, self.head - self._ring, self.settled
        through = 0
        evicting: tuple[View, ...] = ()
        while entries and (offset := entries[0][0]) <= settled:
            if offset > oldest_kept and self.bytes <= self._ring_bytes:
                break
            _, size, views = entries.popleft()
            self.bytes -= size
            if views is not evicting:
                for view in evicting:
                    view._evict(through)
                evicting = views
            through = offset
        for view in evicting:
            view._evict(through)

    def _indexed(self, filter: Filter) -> Iterator[list[View]]:
        """The lists in which the view of `filter` is found."""
        if filter.everything:
            yield self._all
        elif not filter.exact:
            yield self._tried
        else:
            dimension, names = filter.exact
            for name in names:
                yield self._index[dimension].setdefault(name, [])
