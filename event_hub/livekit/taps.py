"""Taps on a session's outputs: they observe text and playback without affecting them."""

from __future__ import annotations

import time
from typing import Any, Literal

from livekit.agents import Agent, AgentSession, llm

from .agent_speech import AgentSpeech
from .guarded import Failed, handler
from .llm_tap import LLMTap
from .text_tap import TextTap


def agent_of(session: AgentSession[Any]) -> Agent | None:
    """The active agent, or None before the session has one."""
    try:
        return session.current_agent
    except RuntimeError:
        return None


class Taps:
    """Reports what one session's outputs do to an `AgentSpeech`. `text`: where text is read. `failed`: receives errors."""

    def __init__(self, text: Literal["transcription", "llm"], failed: Failed) -> None:
        self._failed = failed
        self._source = text
        self._started = handler(self._on_playback_started, failed)
        self._finished = handler(self._on_playback_finished, failed)
        self._text = handler(self._on_text, failed)
        self._flushed = handler(self._on_flush, failed)
        self._speech: AgentSpeech | None = None
        self._audio: Any = None
        self._leaving: list[Any] = []
        self._text_tap: TextTap | None = None
        self._llm_tap: LLMTap | None = None

    def refresh(self, session: AgentSession[Any], speech: AgentSpeech) -> None:
        """Tap the outputs that the session has now, and report to `speech` from now on."""
        self._speech = speech
        output = session.output
        self._listen_to(output.audio)
        speech.audio = output.audio is not None and output.audio_enabled
        agent = agent_of(session)
        model = agent.llm if agent and isinstance(agent.llm, llm.LLM | llm.RealtimeModel) else session.llm
        speech.segments = isinstance(model, llm.RealtimeModel)
        speech.raw = self._source == "llm" and not speech.segments
        if not speech.raw:
            self._remove_llm_tap()
        elif agent and (self._llm_tap is None or self._llm_tap.agent is not agent):
            self._remove_llm_tap()
            self._llm_tap = LLMTap(agent, speech, self._failed)
        self._tap_text(session)

    def _tap_text(self, session: AgentSession[Any]) -> None:
        output = session.output
        tap = self._in_chain(output.transcription)
        if tap is None or tap is not self._text_tap:
            if self._text_tap:
                self._text_tap.active = False
            self._text_tap = tap or TextTap(self, self._text, self._flushed, output.transcription)
            self._text_tap.active = True
        if tap is None:
            output.transcription = self._text_tap

    def remove(self, session: AgentSession[Any]) -> None:
        """Restore the session. If another output was put in front of our tap, the tap stays and only passes text on."""
        self._speech = None
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
        if self._speech is None or not self._speech.playing:
            self._leave()

    def _leave(self) -> None:
        """Stop listening to the outputs that were swapped out: none of their audio is playing any more."""
        for audio in self._leaving:
            audio.off("playback_started", self._started)
            audio.off("playback_finished", self._finished)
        self._leaving.clear()

    def _on_playback_started(self, ev: Any) -> None:
        if self._speech:
            self._speech.playback_started(ev.created_at)

    def _on_playback_finished(self, ev: Any) -> None:
        if self._speech:
            heard = ev.synchronized_transcript
            self._speech.playback_finished(ev.playback_position, ev.interrupted, heard, time.time())
            if self._leaving and not self._speech.playing:
                self._leave()

    def _on_text(self, text: str) -> None:
        if self._speech:
            self._speech.text(str(text))

    def _on_flush(self) -> None:
        if self._speech:
            self._speech.flush()
