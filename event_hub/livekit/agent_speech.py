"""What the agent says: text, playback and conversation items come in, events come out. Pure.

LiveKit tells of one reply in pieces that come from different places: the text as it streams, when its audio begins and
ends to be played, and at last the conversation item, which is the authority on what was said. The pieces of a reply come
in order, and one reply after the other, but any of them may be missing: text without audio (a text session), audio
without text (a recording that is played), an item never (`say(add_to_chat_ctx=False)`, cut off before the first word).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Emit = Callable[[dict[str, Any]], object]

_DRAFTS = 8
"""Drafts that are remembered: more are not written at once."""


@dataclass(eq=False)
class Utterance:
    """One reply, as far as it is known."""

    id: str
    half: str = ""
    """The first half of a character that a model has split over two pieces."""
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    completed: int = 0
    """Characters that `agent_text_complete` has told."""
    playing: int = 0
    """Segments of audio that have begun and not ended."""
    started: bool = False
    finished: bool = False
    ended_at: float | None = None
    position: float = 0.0
    interrupted: bool = False
    heard: str | None = None
    """What LiveKit says was heard, where it knows that."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class AgentSpeech:
    """The agent's side of a conversation. `emit` gets each event; times are epoch seconds.

    `segments`: each segment of text and audio is an item of its own (realtime models), else one item may have several.
    `audio`: there is an audio output, so that text which was not played was not said. `raw`: the streaming text is told
    as drafts, when the model writes it, and not once more when it is said.
    """

    def __init__(self, emit: Emit, name: Callable[[], str]) -> None:
        self.segments = False
        self.audio = False
        self.raw = False
        self._emit = emit
        self._name = name
        self._current: Utterance | None = None
        self._drafts: deque[Utterance] = deque(maxlen=_DRAFTS)
        """What the model writes, read at the model: nobody knows yet which of it will be said."""
        self._waiting: deque[Utterance] = deque()
        """Over, but for their items."""

    @property
    def unsettled(self) -> bool:
        """Something is over whose item has not come (yet): call `settle` when it has had its time."""
        return bool(self._waiting)

    @property
    def playing(self) -> bool:
        """Audio has begun and not ended."""
        return self._current is not None and self._current.playing > 0

    def text(self, delta: str) -> None:
        """A piece of the text that is being said."""
        utterance = self._open(delta)
        self._write(utterance, delta, None if self.raw else "transcription")

    def flush(self) -> None:
        """A segment of text is complete. Says nothing where there was no text, as after a swap of outputs."""
        utterance = self._current or (self._waiting[-1] if self._waiting else None)
        told = utterance is not None and self._complete(utterance, None if self.raw else "transcription")
        if told and utterance and self.segments and not self.audio:
            self._end(utterance)

    def draft(self) -> Utterance:
        """The model begins to write. It may write several things at once, and not all of it will be said."""
        draft = Utterance(self._name())
        self._drafts.append(draft)
        return draft

    def draft_text(self, draft: Utterance, delta: str) -> None:
        """A piece of what the model writes."""
        self._write(draft, delta, "llm")

    def draft_ended(self, draft: Utterance, whole: bool) -> None:
        """The model has written it, or was stopped."""
        self._complete(draft, "llm")
        if not (whole and draft.length) and draft in self._drafts:
            self._drafts.remove(draft)

    def playback_started(self, at: float) -> None:
        utterance = self._open()
        utterance.playing += 1
        self._start(utterance, at)

    def playback_finished(self, position: float, interrupted: bool, heard: str | None, now: float) -> None:
        """A segment of audio has ended: after `position` seconds, of which `heard` was the text."""
        utterance = self._current
        if utterance is None:
            if position <= 0:
                return  # cut off before it began
            utterance = self._open()
        utterance.playing = max(0, utterance.playing - 1)
        if position > 0 and not utterance.started:
            self._start(utterance, now - position)  # an output that does not tell when it begins
        utterance.position += max(0.0, position)
        utterance.interrupted |= interrupted
        utterance.ended_at = now
        if heard is not None:
            utterance.heard = (utterance.heard or "") + heard
        if self.segments and utterance.started:
            self._end(utterance)

    def item(self, text: str, interrupted: bool, now: float) -> str:
        """The reply is in the conversation, with what was really said. Returns its utterance."""
        utterance = self._of(text)
        utterance.interrupted |= interrupted
        self._finish(utterance, now)
        if text.strip():
            self._say(utterance, text)
        return utterance.id

    def rested(self, now: float) -> None:
        """The agent does not speak any more; unless its audio only pauses, what it said is over."""
        utterance = self._current
        if utterance and not utterance.playing:
            self._finish(utterance, now)
            self._end(utterance)

    def settle(self, *, all: bool = False, now: float = 0.0) -> None:
        """No item comes any more for what is over; with `all` (the session has ended) for nothing at all."""
        if all and self._current:
            self._finish(self._current, now)
            self._end(self._current)
        while self._waiting:
            self._settle(self._waiting.popleft())

    # -- inside ------------------------------------------------------------------------------------------------------

    def _write(self, utterance: Utterance, delta: str, source: str | None) -> None:
        delta, utterance.half = utterance.half + delta, ""
        if delta and "\ud800" <= delta[-1] <= "\udbff":
            delta, utterance.half = delta[:-1], delta[-1]
        if not delta:
            return
        offset = utterance.length
        utterance.pieces.append(delta)
        utterance.length += len(delta)
        if source:
            self._emit(
                {
                    "type": "agent_text_delta",
                    "role": "agent",
                    "delta": delta,
                    "offset": offset,
                    "utterance": utterance.id,
                    "source": source,
                }
            )

    def _complete(self, utterance: Utterance, source: str | None) -> bool:
        if utterance.length <= utterance.completed:
            return False
        utterance.completed = utterance.length
        if source:
            self._emit(
                {
                    "type": "agent_text_complete",
                    "role": "agent",
                    "text": utterance.text,
                    "utterance": utterance.id,
                    "source": source,
                }
            )
        return True

    def _open(self, text: str = "") -> Utterance:
        """The utterance that is under way; a new one begins with `text`."""
        if self._current is None:
            last = self._waiting[-1] if self._waiting else None
            if last and last.length and not last.started and not self.segments and not text:
                self._current = self._waiting.pop()  # it seemed to be over before it was heard
            else:
                self._current = Utterance(self._drafted(text) or self._name())
        return self._current

    def _drafted(self, text: str) -> str | None:
        """The draft that begins like `text`: it is being said, and those before it are not any more."""
        start = _letters(text)
        for draft in self._drafts if start else ():
            if _letters(draft.text).startswith(start):
                while self._drafts.popleft() is not draft:
                    pass
                return draft.id
        return None

    def _start(self, utterance: Utterance, at: float) -> None:
        if not utterance.started:
            utterance.started = True
            self._emit({"type": "agent_speech_started", "role": "agent", "utterance": utterance.id, "timestamp": at})

    def _finish(self, utterance: Utterance, now: float) -> None:
        if utterance.started and not utterance.finished:
            utterance.finished = True
            self._emit(
                {
                    "type": "agent_speech_finished",
                    "role": "agent",
                    "utterance": utterance.id,
                    "interrupted": utterance.interrupted,
                    "position": round(utterance.position, 3),
                    "timestamp": now if utterance.ended_at is None else utterance.ended_at,
                }
            )

    def _end(self, utterance: Utterance) -> None:
        """Nothing more comes of it but its item."""
        self._finish(utterance, utterance.ended_at or 0.0)
        if utterance is self._current:
            self._current = None
            self._waiting.append(utterance)

    def _settle(self, utterance: Utterance) -> None:
        text = utterance.heard
        if text is None and not utterance.interrupted and (utterance.started or not self.audio):
            text = utterance.text
        if text and text.strip():
            self._say(utterance, text)

    def _say(self, utterance: Utterance, text: str) -> None:
        self._emit(
            {
                "type": "transcript",
                "role": "agent",
                "text": text.strip(),
                "final": True,
                "interrupted": utterance.interrupted,
                "utterance": utterance.id,
            }
        )

    def _of(self, text: str) -> Utterance:
        """The utterance of an item. It is the one under way, or was until just now; the items of a realtime model come
        together, when all of them are over. What began before it gets no item any more."""
        known = [*self._waiting, *([self._current] if self._current else [])]
        if not self.segments:
            known.reverse()
        start = text.strip()[:24]
        utterance = next((one for one in known if one.text.strip().startswith(start)), known[0] if known else None)
        if utterance is None:
            return Utterance(self._name())
        while self._waiting and self._waiting[0] is not utterance:
            self._settle(self._waiting.popleft())
        if utterance is self._current:
            self._current = None
        else:
            self._waiting.popleft()
        return utterance


def _letters(text: str) -> str:
    """What a transcription node leaves alone."""
    return "".join(filter(str.isalnum, text)).casefold()
