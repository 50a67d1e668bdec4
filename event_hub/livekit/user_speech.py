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
        self._finals: list[str] = []
        """What was recognised since the last item: an item that has nothing of it was typed."""
        self._last: str | None = None

    def state(self, new: str, at: float) -> None:
        """LiveKit's user state has changed."""
        speaking = new == "speaking"
        if speaking != self._speaking:
            self._speaking = speaking
            kind = "user_speech_started" if speaking else "user_speech_finished"
            self._emit({"type": kind, "role": "user", "timestamp": at})

    def transcribed(self, text: str, final: bool, at: float, **more: Any) -> None:
        """An interim or final transcript; `more`: what else LiveKit knows of it, where it does."""
        if not text.strip():
            return
        if self._utterance is None:
            self._utterance = self._name()
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
            self._finals.append(text)

    def item(self, text: str, at: float) -> str | None:
        """The user's turn is in the conversation. Typed text has not been seen before: it becomes a transcript.
        Returns the utterance that it ended with."""
        finals, self._finals = self._finals, []
        spoken = any(part.strip() in text for part in finals) or (text and text in " ".join(finals))
        if text.strip() and not spoken:
            self._last = self._name()
            self._emit(
                {
                    "type": "transcript",
                    "role": "user",
                    "text": text,
                    "final": True,
                    "typed": True,
                    "utterance": self._last,
                    "timestamp": at,
                }
            )
        return self._last
