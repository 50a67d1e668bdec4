"""One turn of the agent's text, and the streams that read it. Free of LiveKit."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from .stream_events import Source, StreamEvent, TextCompleteEvent, TextDeltaEvent


class Segment:
    """The text of one generation. A turn with tool calls has several."""

    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text = ""


class Delta:
    """A delta as a range of its segment's text: with a copy of `accumulated` in each, a queue would grow quadratically."""

    __slots__ = ("end", "segment", "start")

    def __init__(self, segment: Segment, start: int, end: int) -> None:
        self.segment, self.start, self.end = segment, start, end

    def event(self, source: Source) -> TextDeltaEvent:
        text = self.segment.text
        return TextDeltaEvent(text[self.start : self.end], text[: self.end], source=source)


class EventQueue:
    """At most `size` events. If it is full, the oldest delta is dropped: later ones have its text in `accumulated`."""

    def __init__(self, size: int) -> None:
        self.dropped = 0
        self._size = size
        self._items: deque[Delta | TextCompleteEvent] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Delta | TextCompleteEvent) -> bool:
        """Add an event. Returns whether another was dropped to make room."""
        full = len(self._items) >= self._size
        if full:
            self.dropped += 1
            for index, old in enumerate(self._items):
                if isinstance(old, Delta):
                    del self._items[index]
                    break
            else:
                self._items.popleft()
        self._items.append(item)
        return full

    def take(self) -> Delta | TextCompleteEvent:
        return self._items.popleft()

    def copy(self) -> EventQueue:
        made = EventQueue(self._size)
        made.dropped, made._items = self.dropped, self._items.copy()
        return made


class Turn:
    """One turn: what the agent writes for one question, through all its tool calls.

    `run`: the RunResult that it belongs to, if the turn was started with `session.run`. `lost` is called for each event that
    no stream will get or that a stream loses.
    """

    def __init__(self, size: int, source: Source, lost: Callable[[int], None], run: Any = None) -> None:
        self.run = run
        self.source = source
        self.ended = self.interrupted = False
        self.begun = self.read = False
        """Whether a stream has delivered an event of the turn, and whether all."""
        self.error: BaseException | None = None
        self.segment = Segment()
        self.completed = 0
        self.backlog = EventQueue(size)
        """For streams that are opened while the turn is in progress, or after it."""
        self.streams: weakref.WeakSet[TextStream] = weakref.WeakSet()
        self._lost = lost

    def text(self, delta: str) -> None:
        """The agent writes."""
        start = len(self.segment.text)
        self.segment.text += delta
        self._put(Delta(self.segment, start, start + len(delta)))

    def complete(self, *, interrupted: bool = False) -> None:
        """The generation ends."""
        text, self.segment = self.segment.text, Segment()
        self.completed += 1
        self.interrupted |= interrupted
        self._put(TextCompleteEvent(text, source=self.source, interrupted=interrupted))

    def end(self, error: BaseException | None = None, *, interrupted: bool = False) -> None:
        """The turn is over. A turn without text completes with an empty one, unless it failed."""
        if self.ended:
            return
        self.interrupted |= interrupted
        if self.segment.text or not (self.completed or error):
            self.complete(interrupted=interrupted)
        self._stop(error)

    def close(self) -> None:
        """End without a further event. If a reader has begun, no other can begin."""
        self.read |= self.begun
        self._stop(self.error)

    def _stop(self, error: BaseException | None) -> None:
        self.ended, self.error = True, error
        for stream in list(self.streams):
            stream.wake()

    def abandoned(self) -> None:
        """The turn is forgotten: events that no stream has read are lost."""
        if not self.read and not self.streams:
            self._lost(len(self.backlog))

    def _put(self, item: Delta | TextCompleteEvent) -> None:
        streams = list(self.streams)
        if self.backlog.put(item) and not streams and not self.read:
            self._lost(1)
        for stream in streams:
            if stream.put(item):
                self._lost(1)


class TextStream(AsyncIterator[StreamEvent]):
    """Iterates over the events of one turn, or of all turns if `endless`. A subscription with its own bounded queue.

    Opened by `StreamingTextOutput.stream`, `turn` or `events`. Several tasks can each have their own.
    """

    def __init__(self, size: int, source: Source, check: Callable[[], None], *, endless: bool = False) -> None:
        self._queue = EventQueue(size)
        self._source = source
        self._check = check
        self._endless = endless
        self._turn: Turn | None = None
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def dropped(self) -> int:
        """How many events this stream has lost because it was read too slowly or was opened late."""
        return self._queue.dropped

    @property
    def interrupted(self) -> bool:
        """Whether the turn was interrupted."""
        return self._turn is not None and self._turn.interrupted

    @property
    def error(self) -> BaseException | None:
        """What ended the turn, if it failed: the exception that `await result` raises too."""
        return self._turn.error if self._turn is not None else None

    def __aiter__(self) -> TextStream:
        return self

    async def __anext__(self) -> StreamEvent:
        self._check()
        while not self._queue:
            if self._closed or (self._turn is not None and self._turn.ended and not self._endless):
                if self._turn is not None and self._turn.ended:
                    self._turn.read = True
                raise StopAsyncIteration
            if self._waiter is None or self._waiter.done():
                self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiter)  # two tasks may wait for one stream
        item = self._queue.take()
        if self._turn is not None:
            self._turn.begun = True
        return item.event(self._source) if isinstance(item, Delta) else item

    # -- called by StreamingTextOutput ---------------------------------------------------------------------------------

    def bind(self, turn: Turn) -> None:
        """Deliver this turn, from its beginning."""
        if self._turn is None:
            self._queue = turn.backlog.copy()
        self._turn = turn
        turn.streams.add(self)
        self.wake()

    def put(self, item: Delta | TextCompleteEvent) -> bool:
        lost = self._queue.put(item)
        self.wake()
        return lost

    def close(self) -> None:
        """End once the events in the queue are delivered."""
        self._closed = True
        self.wake()

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
