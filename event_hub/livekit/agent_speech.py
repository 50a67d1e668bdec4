"""The agent's side of a conversation: text, playback and conversation items in, events out. Pure.

LiveKit reports a reply in pieces from different places: the streaming text, the start and end of playback, and finally the
conversation item, which decides what was said. The pieces of one reply arrive in order, one reply after the
other, but any of them may be missing: text without audio (a text session), audio without text (a recording), no item
(`say(add_to_chat_ctx=False)`, or an interruption before the first word).

Every utterance that has text ends in exactly one event: a final `transcript`, or `agent_text_unsaid`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Emit = Callable[[dict[str, Any]], object]

_DRAFTS = 8
"""Drafts that are remembered: models do not write more replies than this at once."""


@dataclass(eq=False)
class Utterance:
    """One reply, as far as it is known."""

    id: str
    speech: str | None = None
    """The id of LiveKit's SpeechHandle, if known."""
    draft: Utterance | None = None
    """What the model wrote, if that was read at the model."""
    raw: bool = False
    """Its text is not reported when it is said, because drafts are."""
    audible: bool = False
    """The session has an audio output, so text that was not played was not said."""
    half: str = ""
    """A high surrogate: the model split a character over two pieces."""
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    completed: int = 0
    """Characters that `agent_text_complete` has reported."""
    playing: int = 0
    """Segments of audio that have started and not ended."""
    started_at: float | None = None
    finished: bool = False
    ended_at: float | None = None
    position: float = 0.0
    interrupted: bool = False
    heard: str | None = None
    """What LiveKit says was heard, if it knows."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def of_speech(self) -> dict[str, str]:
        """The field that ties it to the metrics of the requests that made it."""
        return {} if self.speech is None else {"speech_id": self.speech}


class AgentSpeech:
    """Turns what LiveKit reports about the agent's speech into events for `emit`. Times are epoch seconds.

    `name` makes utterance ids; `current` is the id of the speech that is being said, or None if unknown.

    `segments`: each segment of text and audio has its own item (realtime models); otherwise an item may cover several.
    `audio`: the session has an audio output. `raw`: streaming text is reported as drafts, when the model writes it, and
    not again when it is said.
    """

    def __init__(self, emit: Emit, name: Callable[[], str], current: Callable[[], str | None] = lambda: None) -> None:
        self.segments = False
        self.audio = False
        self.raw = False
        self._emit = emit
        self._name = name
        self._speech = current
        self._current: Utterance | None = None
        self._drafts: deque[Utterance] = deque()
        """What the model writes, oldest first. Whether a draft will be said is not known yet."""
        self._waiting: deque[Utterance] = deque()
        """Ended, but their items may still arrive."""

    @property
    def unsettled(self) -> bool:
        """An utterance has ended and its item has not arrived: call `settle` after a while."""
        return bool(self._waiting)

    def text(self, delta: str) -> None:
        """A piece of the text that is being said."""
        utterance = self._open(delta)
        self._write(utterance, delta, None if utterance.raw else "transcription")

    def flush(self) -> None:
        """A segment of text is complete. Does nothing if there was no text, as after a swap of outputs."""
        utterance = self._current or (self._waiting[-1] if self._waiting else None)
        complete = utterance is not None and self._complete(utterance, None if utterance.raw else "transcription")
        if complete and utterance and self.segments and not self.audio:
            self._end(utterance)

    def draft(self, speech: str | None = None) -> Utterance:
        """The model starts to write, for the SpeechHandle `speech` if known. Not every draft will be said."""
        draft = Utterance(self._name(), speech)
        self.drafted(draft)
        return draft

    def drafted(self, draft: Utterance) -> None:
        """The same, for a draft that the caller has made."""
        self._drafts.append(draft)
        if len(self._drafts) > _DRAFTS:
            self._discard(self._drafts[0])

    def draft_text(self, draft: Utterance, delta: str) -> None:
        """A piece of what the model writes."""
        self._write(draft, delta, "llm")

    def draft_ended(self, draft: Utterance, whole: bool) -> None:
        """The model finished, or was stopped."""
        self._complete(draft, "llm")
        if draft in self._drafts and (not draft.length or (not whole and draft.speech is None)):
            self._discard(draft)

    def playback_started(self, at: float) -> None:
        utterance = self._open()
        utterance.playing += 1
        self._start(utterance, at)

    def playback_finished(self, position: float, interrupted: bool, heard: str | None, now: float) -> None:
        """A segment of audio ended after `position` seconds, in which `heard` was said."""
        utterance = self._current
        if utterance is None:
            if position <= 0:
                return  # cut off before it began
            utterance = self._open()
        utterance.playing = max(0, utterance.playing - 1)
        if position > 0:
            self._start(utterance, now - position)  # for an output that does not report when it starts
        utterance.position += max(0.0, position)
        utterance.interrupted |= interrupted
        utterance.ended_at = now
        if heard is not None:
            utterance.heard = (utterance.heard or "") + heard
        if self.segments and utterance.started_at is not None:
            self._end(utterance)

    def item(self, text: str, interrupted: bool, now: float, began: float | None = None) -> str:
        """The reply was added to the conversation, with what was actually said. Returns its utterance."""
        utterance = self._of(text)
        utterance.interrupted |= interrupted
        self._finish(utterance, now)
        if text.strip():
            self._say(utterance, text, began)
        else:
            self._unsay(utterance)
        return utterance.id

    def rested(self, now: float) -> None:
        """The agent has stopped speaking. Unless its audio is only paused, its utterance has ended."""
        utterance = self._current
        if utterance and not utterance.playing:
            self._finish(utterance, now)
            self._end(utterance)

    def speech_done(self, speech: str, now: float) -> None:
        """LiveKit is done with this SpeechHandle: what it wrote and did not say will not be said."""
        if self._current and self._current.speech == speech and not self._current.playing:
            self._finish(self._current, now)
            self._end(self._current)
        for utterance in [waiting for waiting in self._waiting if waiting.speech == speech]:
            self._waiting.remove(utterance)
            self._settle(utterance)
        for draft in [draft for draft in self._drafts if draft.speech == speech]:
            self._discard(draft)

    def settle(self, *, all: bool = False, now: float = 0.0) -> None:
        """No more items arrive for utterances that have ended; with `all` (the session has ended), for any utterance."""
        if all and self._current:
            self._finish(self._current, now)
            self._end(self._current)
        while self._waiting:
            self._settle(self._waiting.popleft())
        while all and self._drafts:
            self._discard(self._drafts[0])

    # -- internals ---------------------------------------------------------------------------------------------------

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
                    **utterance.of_speech,
                }
            )
        return True

    def _open(self, text: str = "") -> Utterance:
        """The utterance in progress, or a new one that starts with `text`."""
        speech = self._speech()
        current = self._current
        if current and speech and current.speech and current.speech != speech and not current.playing:
            self._end(current)  # the next speech starts, and nothing reported the end of this one
        if self._current is None:
            last = self._waiting[-1] if self._waiting else None
            same = last and (not speech or not last.speech or last.speech == speech)
            if last and same and last.length and last.started_at is None and not self.segments and not text:
                self._current = self._waiting.pop()  # it seemed to have ended before it was heard
            else:
                draft = self._drafted(text, speech) if self.raw else None
                self._current = Utterance(draft.id if draft else self._name(), speech, draft, self.raw, self.audio)
        self._current.audible |= self.audio
        return self._current

    def _drafted(self, text: str, speech: str | None) -> Utterance | None:
        """The draft that is now being said. Audio may start before the first piece of its text arrives."""
        start = _letters(text)
        written = [draft for draft in self._drafts if draft.length]
        known = speech is not None and any(draft.speech is not None for draft in written)
        if known:
            written = [draft for draft in written if draft.speech == speech]
        matches = [draft for draft in written if _letters(draft.text).startswith(start)] if start else []
        if not matches and (known or not start):
            matches = written  # a transcription node changed the text, or there is none yet
        if not matches:
            return None
        draft = matches[0]
        while not known and self._drafts[0] is not draft:
            self._discard(self._drafts[0])  # replies are said in the order in which they were written
        self._drafts.remove(draft)
        return draft

    def _discard(self, draft: Utterance) -> None:
        """The draft will not be said."""
        self._drafts.remove(draft)
        if draft.length:
            self._emit_unsaid(draft, "llm")

    def _start(self, utterance: Utterance, at: float) -> None:
        if utterance.started_at is None:
            utterance.started_at = at
            about = {"utterance": utterance.id, "timestamp": at, **utterance.of_speech}
            self._emit({"type": "agent_speech_started", "role": "agent", **about})

    def _finish(self, utterance: Utterance, now: float) -> None:
        if utterance.started_at is not None and not utterance.finished:
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
        """Only its item may still arrive."""
        self._finish(utterance, utterance.ended_at or 0.0)
        if utterance is self._current:
            self._current = None
            self._waiting.append(utterance)

    def _settle(self, utterance: Utterance) -> None:
        """Decide without an item, by LiveKit's own rule: what was heard, else all of the text if any of it was audible."""
        text = utterance.heard
        if text is None:
            was_audible = utterance.position > 0 or (utterance.started_at is not None and not utterance.interrupted)
            text = utterance.text if was_audible or not utterance.audible else ""
        if text.strip():
            self._say(utterance, text, utterance.started_at)
        else:
            self._unsay(utterance)

    def _say(self, utterance: Utterance, text: str, began: float | None) -> None:
        event: dict[str, Any] = {
            "type": "transcript",
            "role": "agent",
            "text": text.strip(),
            "final": True,
            "interrupted": utterance.interrupted,
            "utterance": utterance.id,
            **utterance.of_speech,
        }
        if began is not None:
            event["began"] = began
        self._emit(event)

    def _unsay(self, utterance: Utterance) -> None:
        if utterance.draft:
            self._emit_unsaid(utterance.draft, "llm")
        elif utterance.length:
            self._emit_unsaid(utterance, "transcription")

    def _emit_unsaid(self, utterance: Utterance, source: str) -> None:
        self._emit(
            {
                "type": "agent_text_unsaid",
                "role": "agent",
                "generated": utterance.text,
                "utterance": utterance.id,
                "source": source,
                **utterance.of_speech,
            }
        )

    def _of(self, text: str) -> Utterance:
        """The utterance of an item: the one in progress, or one that ended just now. The items of a realtime model arrive
        together, after all of its messages have been said. Earlier utterances no longer get an item."""
        known = [*self._waiting, *([self._current] if self._current else [])]
        if not self.segments:
            known.reverse()
        speech = self._speech()
        own = [utterance for utterance in known if speech and utterance.speech == speech]
        known = own or [utterance for utterance in known if not speech or not utterance.speech]
        start = text.strip()[:24]
        matches = (utterance for utterance in known if utterance.text.strip().startswith(start))
        found = next(matches, known[0] if known else None)
        if found is None:
            return Utterance(self._name(), speech, audible=self.audio)
        while self._waiting and self._waiting[0] is not found:
            self._settle(self._waiting.popleft())
        if found is self._current:
            self._current = None
        else:
            self._waiting.popleft()
        return found


def _letters(text: str) -> str:
    """The part of a text that a transcription node is likely to keep."""
    return "".join(filter(str.isalnum, text)).casefold()
