"""A text output that streams what the agent writes, while it writes it, to any number of readers.

>>> output = StreamingTextOutput()                          # doctest: +SKIP
>>> session.output.transcription = output                   # doctest: +SKIP
>>> await session.start(agent)                              # doctest: +SKIP
>>> result = session.run(user_input="Hello")                # doctest: +SKIP
>>> async for event in output:                              # doctest: +SKIP
...     print(event)                                        # ends with this turn
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections import deque
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.voice.io import TextOutput
from livekit.agents.voice.run_result import RunResult

from .session_turns import SessionTurns, attaching
from .stream_events import Source
from .text_turn import TextStream, Turn

logger = logging.getLogger("event_hub.livekit")

QUEUE = 1000
"""Events that wait for each reader, by default."""
UNREAD = 16
"""Turns that wait to be read; after that, the oldest is dropped."""


class StreamingTextOutput(TextOutput):
    """Streams the agent's text as `TextDeltaEvent` and `TextCompleteEvent`.

    Attach it with `session.output.transcription = output`. `async for event in output` delivers one turn and ends: all
    generations of the reply, each with its deltas and one complete, through tool calls. A turn without text completes with
    an empty text; a turn that fails ends, and `await result` raises the error. Without a session, `flush()` ends the
    iteration.

    An iteration that begins while a `session.run` is in progress delivers that run's turn. Otherwise it delivers the turn
    in progress, or the last one if it has not been read, or waits for the next.

    `next_in_chain`: another text output, which gets the same calls. `queue_size`: events that wait for each reader. If a
    reader is slower, its oldest deltas are dropped and counted in `dropped`; `accumulated` in the next delta has their text.
    `source`: what the events say about themselves; see `tap_llm` for `"llm"`.

    It belongs to one event loop and to one session at a time. `capture_text`, `flush` and `close` may be called from other
    threads: they run on the loop. Iterating from another thread raises RuntimeError.
    """

    def __init__(
        self, *, next_in_chain: TextOutput | None = None, queue_size: int = QUEUE, source: Source = "transcription"
    ) -> None:
        if queue_size < 1:
            raise ValueError(f"queue_size is 1 or more, not {queue_size}")
        super().__init__(label="streaming_text", next_in_chain=next_in_chain)
        self.dropped = 0
        """Events that were lost: those that streams were too slow for, and those of turns that were not read."""
        self._size, self._source = queue_size, source
        self._accumulated: Turn | None = None
        self._turns: deque[Turn] = deque()
        """Turns that are in progress or not read yet."""
        self._waiting: weakref.WeakSet[TextStream] = weakref.WeakSet()
        self._endless: weakref.WeakSet[TextStream] = weakref.WeakSet()
        self._session: SessionTurns | None = None
        self._attached = self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None

    @property
    def accumulated_text(self) -> str:
        """The text of the generation in progress; empty between generations."""
        return self._accumulated.segment.text if self._accumulated is not None else ""

    # -- reading -------------------------------------------------------------------------------------------------------

    def stream(self) -> TextStream:
        """A stream of one turn; see the class for which. Open one for each reader. Raises RuntimeError in another thread."""
        self._own_loop()
        stream = self._new_stream()
        turn = self._turn_to_read()
        if turn is not None:
            stream.bind(turn)
        elif self._closed or (self._session is not None and self._session.over):
            stream.close()
        else:
            self._waiting.add(stream)
        return stream

    def __aiter__(self) -> TextStream:
        """The same as `stream()`."""
        return self.stream()

    def turn(self, result: RunResult[Any]) -> TextStream:
        """A stream of the turn of one `session.run`. Raises ValueError if it is unknown here, or was read long ago."""
        self._own_loop()
        for turn in self._turns:
            if turn.run is result:
                stream = self._new_stream()
                stream.bind(turn)
                return stream
        raise ValueError("This run belongs to no turn of this output: attach the output before session.run.")

    def events(self) -> TextStream:
        """An endless stream: all turns from the one in progress on, until `close()`."""
        self._own_loop()
        stream = self._new_stream(endless=True)
        self._endless.add(stream)
        turn = next((turn for turn in reversed(self._turns) if not turn.ended), None)
        if turn is not None:
            stream.bind(turn)
        if self._closed:
            stream.close()
        return stream

    def close(self) -> None:
        """Stop streaming, for example because the reader has left. Streams deliver what they have queued, then they end.

        The session goes on, and `next_in_chain` gets its text. A second call does nothing.
        """
        if self._elsewhere():
            self._call(self.close)
            return
        if self._closed:
            return
        self._closed = True
        for turn in self._turns:
            turn.close()
        for stream in [*self._waiting, *self._endless]:
            stream.close()
        self._waiting.clear()
        if self._session is not None:
            self._session.stop()

    # -- called by LiveKit ---------------------------------------------------------------------------------------------

    async def capture_text(self, text: str) -> None:
        """Stream a piece of text, and pass it on. Waits for no reader. LiveKit calls this."""
        if self._elsewhere() and self._loop is not None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.capture_text(text), self._loop))
            return
        self.write(text)
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_text(text)

    def write(self, text: str) -> None:
        """Stream a piece of text without passing it on. Only on the output's loop."""
        if not self._closed:
            turn = self._accumulated = self._writing()
            turn.text(str(text))

    def flush(self) -> None:
        """Complete the generation, and pass it on. Without a session this also ends the turn. LiveKit calls this."""
        if self._elsewhere():
            self._call(self.flush)
            return
        if not self._closed:
            current = self._session.current() if self._session is not None else None
            if current is not None:
                turn, interrupted = current
                if turn.segment.text:  # LiveKit also flushes when outputs are exchanged
                    turn.complete(interrupted=interrupted)
            elif self._session is None or self.accumulated_text:
                self._writing().end()
            self._accumulated = None
        if self.next_in_chain is not None:
            self.next_in_chain.flush()

    def on_attached(self) -> None:
        """Follow the session that this output is attached to. Raises RuntimeError if it is attached to another session."""
        found = attaching()
        if found is not None:
            owner, session = found
            try:
                self.follow(session)
            except RuntimeError:
                owner.transcription = None
                raise
            self._attached = True
        super().on_attached()

    def on_detached(self) -> None:
        """The session may now be replaced by another. Turns in progress are streamed to their end."""
        found = attaching()
        if found is not None and self._session is not None and found[1] is self._session.session:
            self._attached = False
        super().on_detached()

    def follow(self, session: AgentSession[Any]) -> None:
        """Take the turns' beginnings and ends from `session`. Attaching the output does this; call it yourself only if
        something else than the session calls `capture_text`. Raises RuntimeError while it is attached to another session."""
        followed = self._session.session if self._session is not None else None
        if followed is session:
            return
        if followed is not None and self._attached:
            raise RuntimeError(
                "This StreamingTextOutput is attached to another AgentSession: make one for each session."
            )
        if self._session is not None:
            self._session.stop()
        if not self._closed:
            self._bind_loop()
            self._session = SessionTurns(session, self._begin, self._session_closed, _failed)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _begin(self, run: Any = None) -> Turn:
        turn = Turn(self._size, self._source, self._lost, run)
        for old in [old for old in self._turns if old.ended and old.read]:
            self._turns.remove(old)
        while len(self._turns) >= UNREAD and self._turns[0].ended:
            self._turns.popleft().abandoned()
        self._turns.append(turn)
        for stream in [*self._waiting, *self._endless]:
            stream.bind(turn)
        self._waiting.clear()
        return turn

    def _writing(self) -> Turn:
        """The turn that the text being written belongs to."""
        current = self._session.current() if self._session is not None else None
        if current is not None:
            return current[0]
        if self._turns and not self._turns[-1].ended:
            return self._turns[-1]
        return self._begin()

    def _turn_to_read(self) -> Turn | None:
        if self._session is None:
            return next((turn for turn in self._turns if not turn.read), None)
        running = self._session.running()
        if running is not None:
            return running
        open_turns = [turn for turn in self._turns if not turn.ended]
        if open_turns:
            return open_turns[-1]
        last = self._turns[-1] if self._turns else None
        return None if last is None or last.read else last

    def _session_closed(self) -> None:
        for stream in self._waiting:
            stream.close()
        self._waiting.clear()

    def _lost(self, count: int) -> None:
        self.dropped += count

    def _new_stream(self, *, endless: bool = False) -> TextStream:
        return TextStream(self._size, self._source, self._own_loop, endless=endless)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _bind_loop(self) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._loop is None or self._loop.is_closed():
            self._loop, self._thread = running, threading.get_ident()

    def _elsewhere(self) -> bool:
        """Whether the caller is in another thread than the output's loop."""
        self._bind_loop()
        return self._thread is not None and self._thread != threading.get_ident()

    def _own_loop(self) -> None:
        if self._elsewhere():
            raise RuntimeError(
                "This StreamingTextOutput belongs to the event loop of another thread: iterate there, and pass events on."
            )

    def _call(self, method: Any) -> None:
        """Run a method on the output's loop. Raises RuntimeError if that is closed."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(method)


def _failed(where: str, error: Exception) -> None:
    logger.warning("A session's event could not be followed (%s).", where, exc_info=error)
