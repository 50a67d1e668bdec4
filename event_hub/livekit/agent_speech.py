"""What the agent says: text, playback and conversation items come in, events come out. Pure.

LiveKit tells of one reply in pieces that come from different places: the text as it streams, when its audio begins and
ends to be played, and at last the conversation item, which is the authority on what was said. The pieces of a reply come
in order, and one reply after the other, but any of them may be missing: text without audio (a text session), audio
without text (a recording that is played), an item never (`say(add_to_chat_ctx=False)`, cut off before the first word).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Emit = Callable[[dict[str, Any]], object]


@dataclass(eq=False)
class Utterance:
    """One reply, as far as it is known."""

    id: str
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
    `audio`: there is an audio output, so that text which was not played was not said.
    """

    def __init__(self, emit: Emit, name: Callable[[], str]) -> None:
        self.segments = False
        self.audio = False
        self._emit = emit
        self._name = name
        self._current: Utterance | None = None
        self._drafts: deque[Utterance] = deque()
        """What the model writes, read at the model: nobody knows yet which of it will be said."""
        self._waiting: deque[Utterance] = deque()
        """Over, but for their items."""

    @property
    def unsettled(self) -> bool:
        """Something is over whose item has not come (yet): call `settle` when it has had its time."""
        return bool(self._waiting)

    def text(self, delta: str, draft: Utterance | None = None) -> None:
        """A piece of the text that is being said, or of a `draft`."""
        utterance = draft or self._open()
        self._emit(
            {
                "type": "agent_text_delta",
                "role": "agent",
                "delta": delta,
                "offset": utterance.length,
                "utterance": utterance.id,
                "source": "llm" if draft else "transcription",
            }
        )
        utterance.pieces.append(delta)
        utterance.length += len(delta)

    def flush(self, draft: Utterance | None = None) -> None:
        """A segment of text is complete. Says nothing where there was no text, as after a swap of outputs."""
        utterance = draft or self._current or (self._waiting[-1] if self._waiting else None)
        if utterance and utterance.length > utterance.completed:
            utterance.completed = utterance.length
            self._emit(
                {
                    "type": "agent_text_complete",
                    "role": "agent",
                    "text": utterance.text,
                    "utterance": utterance.id,
                    "source": "llm" if draft else "transcription",
                }
            )
            if self.segments and not self.audio:
                self._end(utterance)

    def draft(self) -> Utterance:
        """The model begins to write. It may write several things at once, and not all of it will be said."""
        draft = Utterance(self._name())
        self._drafts.append(draft)
        return draft

    def give_up(self, draft: Utterance) -> None:
        """The model was stopped."""
        if draft in self._drafts:
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
            utterance = self._waiting.popleft()
            text = utterance.heard
            if text is None and not utterance.interrupted and (utterance.started or not self.audio):
                text = utterance.text
            if text and text.strip():
                self._say(utterance, text)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _open(self) -> Utterance:
        if self._current is None:
            last = self._waiting[-1] if self._waiting else None
            if last and last.length and not last.started and not self.segments:
                self._current = self._waiting.pop()  # it seemed to be over before it was heard
            else:
                self._current = self._drafts.popleft() if self._drafts else Utterance(self._name())
        return self._current

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
        """The utterance of an item: the oldest whose text begins like it, else the oldest."""
        known = list(self._known())
        start = text.strip()[:24]
        utterance = next((one for one in known if one.text.strip().startswith(start)), known[0] if known else None)
        if utterance is None:
            return Utterance(self._name())
        if utterance is self._current:
            self._current = None
        elif utterance in self._waiting:
            self._waiting.remove(utterance)
        while utterance in self._drafts:
            self._drafts.popleft()  # those before it will not be said any more
        return utterance

    def _known(self) -> Iterator[Utterance]:
        yield from self._waiting
        if self._current:
            yield self._current
        yield from self._drafts
