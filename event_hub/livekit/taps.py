"""Taps on a session's outputs: they observe text and playback without affecting them."""

from __future__ import annotations

import operator
from typing import Any, Literal

from livekit.agents import Agent, AgentSession, llm

from .conversation import Conversation
from .guarded import Failed, handler
from .llm_tap import LLMTap
from .text_tap import RecordSaid, TextTap
from .translator import Translator


def agent_of(session: AgentSession[Any]) -> Agent | None:
    """The active agent, or None before the session has one."""
    try:
        return session.current_agent
    except RuntimeError:
        return None


class Taps:
    """Records what one session's outputs do. `text`: where text is read. `failed`: receives errors."""

    def __init__(self, text: Literal["transcription", "llm"], record_said: RecordSaid, failed: Failed) -> None:
        self._record_said, self._failed = record_said, failed
        self._source = text
        self._started = handler(self._on_playback_started, failed)
        self._finished = handler(self._on_playback_finished, failed)
        self._translator: Translator | None = None
        self._playing = 0
        """Segments of audio that have started and not ended."""
        self._known: tuple[Any, ...] = ()
        self._audio: Any = None
        self._leaving: list[Any] = []
        self._text_tap: TextTap | None = None
        self._llm_tap: LLMTap | None = None

    def refresh(self, session: AgentSession[Any], translator: Translator) -> None:
        """Tap the outputs that the session has now, and record to `translator` from now on."""
        output = session.output
        agent = agent_of(session)
        model = agent.llm if agent else None
        found = (translator, output.audio, output.audio_enabled, output.transcription, agent, model, session.llm)
        if len(found) == len(self._known) and all(map(operator.is_, found, self._known)):
            return
        if translator is not self._translator:
            self._playing = 0
        self._translator = translator
        self._listen_to(output.audio)
        audio = output.audio is not None and output.audio_enabled
        if not isinstance(model, llm.LLM | llm.RealtimeModel):
            model = session.llm
        segments = isinstance(model, llm.RealtimeModel)
        raw = self._source == "llm" and not segments
        if not raw:
            self._remove_llm_tap()
        elif agent and (self._llm_tap is None or self._llm_tap.agent is not agent):
            self._remove_llm_tap()
            self._llm_tap = LLMTap(agent, translator, self._failed)
        self._tap_text(session)
        translator.outputs(audio, segments, raw)
        self._known = (*found[:3], output.transcription, *found[4:])

    def _tap_text(self, session: AgentSession[Any]) -> None:
        output = session.output
        tap = self._in_chain(output.transcription)
        if tap is None or tap is not self._text_tap:
            if self._text_tap:
                self._text_tap.active = False
            self._text_tap = tap or TextTap(self, self._record_said, self._failed, output.transcription)
            self._text_tap.active = True
        if tap is None:
            output.transcription = self._text_tap

    def remove(self, session: AgentSession[Any]) -> None:
        """Restore the session. If another output was put in front of our tap, the tap stays and only passes text on."""
        self._translator, self._known, self._playing = None, (), 0
        self._listen_to(None)
        self._remove_llm_tap()
        tap, self._text_tap = self._text_tap, None
        if tap:
            tap.active = False
            if session.output.transcription is tap:
                session.output.transcription = tap.next_in_chain

    def _in_chain(self, output: Any) -> TextTap | None:
        """Our tap, if it is in this chain: one that was swapped out may be back."""
        while output is not None:
            if isinstance(output, TextTap) and output.owner is self:
                return output
            output = output.next_in_chain
        return None

    def _remove_llm_tap(self) -> None:
        tap, self._llm_tap = self._llm_tap, None
        if tap:
            tap.remove()

    def _listen_to(self, audio: Any) -> None:
        if audio is self._audio:
            return
        if self._audio is not None:
            self._leaving.append(self._audio)
        if audio in self._leaving:
            self._leaving.remove(audio)
        elif audio is not None:
            audio.on("playback_started", self._started)
            audio.on("playback_finished", self._finished)
        self._audio = audio
        if not self._playing:
            self._leave()

    def _leave(self) -> None:
        """Stop listening to the outputs that were swapped out: none of their audio is playing any more."""
        for audio in self._leaving:
            audio.off("playback_started", self._started)
            audio.off("playback_finished", self._finished)
        self._leaving.clear()

    def _on_playback_started(self, ev: Any) -> None:
        self._playing += 1
        self._record_said(Conversation.playback_started, ev.created_at)

    def _on_playback_finished(self, ev: Any) -> None:
        self._playing = max(0, self._playing - 1)
        self._record_said(
            Conversation.playback_finished, ev.playback_position, ev.interrupted, ev.synchronized_transcript
        )
        if self._leaving and not self._playing:
            self._leave()
