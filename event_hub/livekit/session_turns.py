"""Where the turns of an AgentSession begin and end.

A flush does not end a turn: LiveKit flushes after each generation with text, so once before a tool call and once after it,
and never in a turn without text. A turn ends when its RunResult or its speeches are done.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Callable
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.io import AgentOutput

from .guarded import Failed, handler
from .job_context import current_speech
from .text_turn import Turn

_DEPTH = 40
"""Frames that are searched for the AgentOutput: one for each output in the chain, and a few more."""


def attaching() -> tuple[AgentOutput, AgentSession[Any]] | None:
    """The output and session that call `on_attached` or `on_detached` of a text output, perhaps through others in its chain.

    LiveKit passes neither as an argument, so they are found in the calling frames. None if there is none.
    """
    frame: Any = sys._getframe(1)
    for _ in range(_DEPTH):
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, AgentOutput):
            session = getattr(getattr(owner, "_transcription_changed", None), "__self__", None)
            return (owner, session) if isinstance(session, AgentSession) else None
        frame = frame.f_back
    return None


class SessionTurns:
    """Follows one session. `begin` makes a turn for a RunResult or None; `closed` is called when the session closes."""

    def __init__(
        self, session: AgentSession[Any], begin: Callable[[Any], Turn], closed: Callable[[], None], failed: Failed
    ) -> None:
        self._session = weakref.ref(session)
        self._begin, self._closed = begin, closed
        self.over = False
        """Whether the session is closed. It may be started again."""
        self._open: dict[Turn, dict[str, SpeechHandle]] = {}
        self._runs: dict[Turn, asyncio.Task[None]] = {}
        self._handlers = {
            "speech_created": handler(lambda ev: self._add(ev.speech_handle), failed, "speech_created"),
            "close": handler(lambda ev: self.end(ev.error), failed, "close"),
        }
        self._speech_done = handler(self._on_speech_done, failed)
        for name, handle in self._handlers.items():
            session.on(name, handle)  # type: ignore[arg-type]  # a Literal
        speech = session.current_speech
        if self._run() is not None or (speech is not None and not speech.done()):
            self._add(speech)

    @property
    def session(self) -> AgentSession[Any] | None:
        return self._session()

    def running(self) -> Turn | None:
        """The turn of the `session.run` in progress."""
        run = self._run()
        return next((turn for turn in self._open if run is not None and turn.run is run), None)

    def current(self) -> tuple[Turn, bool] | None:
        """The turn that the calling task writes for, and whether its speech was interrupted.

        Some outputs write from tasks of their own, such as LiveKit's TranscriptSynchronizer. Then it is the newest turn in
        progress, and any of its speeches.
        """
        speech = current_speech(self._session())
        for turn, handles in self._open.items():
            if speech is not None and speech.id in handles:
                return turn, handles[speech.id].interrupted
        for turn, handles in reversed(self._open.items()):
            return turn, any(handle.interrupted for handle in handles.values())
        return None

    def stop(self) -> None:
        """Follow the session no longer."""
        session = self._session()
        if session is not None:
            for name, handle in self._handlers.items():
                session.off(name, handle)  # type: ignore[arg-type]
        self.end(None)

    def end(self, error: Any = None) -> None:
        """End all turns in progress."""
        self.over = True
        cause = getattr(error, "error", error)
        for turn in list(self._open):
            self._end(turn, cause if isinstance(cause, BaseException) else None)
        self._closed()

    def _run(self) -> Any:
        """The RunResult in progress. Private, but LiveKit has no event for it, and text can begin before it is awaited."""
        run = getattr(self._session(), "_global_run_state", None)
        return None if run is None or run.done() else run

    def _add(self, speech: SpeechHandle | None) -> None:
        self.over = False
        run = self._run()
        turn = self.running() if run is not None else self._joinable()
        if turn is None:
            turn = self._begin(run)
            self._open[turn] = {}
            if run is not None:
                self._runs[turn] = asyncio.create_task(self._wait(run, turn), name="text turn")
        if speech is not None and not speech.done():
            self._open[turn][speech.id] = speech
            speech.add_done_callback(self._speech_done)

    def _joinable(self) -> Turn | None:
        """The turn in progress that a further speech belongs to: what a tool says, for example."""
        for turn in reversed(self._open):
            if turn.run is None and any(not speech.interrupted for speech in self._open[turn].values()):
                return turn
        return None

    async def _wait(self, run: Any, turn: Turn) -> None:
        try:
            await run
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._end(turn, error)
        else:
            self._end(turn, None)

    def _on_speech_done(self, speech: SpeechHandle) -> None:
        for turn, handles in list(self._open.items()):
            if speech.id in handles and turn.run is None and all(handle.done() for handle in handles.values()):
                self._end(turn, speech.exception())

    def _end(self, turn: Turn, error: BaseException | None) -> None:
        handles = self._open.pop(turn, {})
        self._runs.pop(turn, None)
        turn.end(error, interrupted=any(speech.interrupted for speech in handles.values()))
