"""What the user says: states, transcripts and conversation items come in, events come out. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], object]


class UserSpeech:
    """The user's side of a conversation. `emit` gets each event; times are epoch seconds."""

    def __init__(self, emit: Emit, name: Callable[[], str]) -> None:
        self._emit = emit
        self._name = name
        self._utterance: str | None = None
        self._speaking = False
        self._over = False
        """The speech of the utterance has ended; its final may still come, but nothing that is said later is part of it."""
        self._last: str | None = None

    def state(self, new: str, at: float) -> None:
        """LiveKit's user state has changed."""
        speaking = new == "speaking"
        if speaking == self._speaking:
            return
        self._speaking = speaking
        if not speaking:
            self._over = True
        elif self._over:
            self._utterance = None
        kind = "user_speech_started" if speaking else "user_speech_finished"
        self._emit({"type": kind, "role": "user", "timestamp": at})

    def close(self, now: float) -> None:
        """The session has ended."""
        self.state("listening", now)

    def transcribed(self, text: str, final: bool, at: float, **more: Any) -> None:
        """An interim or final transcript; `more`: what else LiveKit knows of it, where it does."""
        if not text.strip():
            return
        if self._utterance is None:
            self._utterance, self._over = self._name(), not self._speaking
        event = {
            "type": "transcript",
            "role": "user",
            "text": text,
            "final": final,
            "utterance": self._utterance,
            "timestamp": at,
        }
        event.update((name, value) for name, value in more.items() if value is not None)
        self._emit(event)
        if final:
            self._last, self._utterance = self._utterance, None

    def item(self, text: str, spoken: bool, at: float) -> str | None:
        """The user's turn is in the conversation. What was typed has not been told before: it becomes a transcript.
        Returns the utterance with which the turn ended."""
        if spoken or not text.strip():
            return self._last
        utterance = self._name()
        self._emit(
            {
                "type": "transcript",
                "role": "user",
                "text": text,
                "final": True,
                "typed": True,
                "utterance": utterance,
                "timestamp": at,
            }
        )
        return utterance
