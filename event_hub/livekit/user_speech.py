"""The user's side of a conversation: states, transcripts and conversation items in, events out. Pure.

An utterance is one input item (realtime models) or one STT segment: its interims and its final. An STT finishes a segment
before it starts the next, so a transcript without an item id belongs to the open utterance, unless the user has started to
speak again and the words are clearly different.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Emit = Callable[[dict[str, Any]], object]

_SPEECHES, _OPEN, _ITEMS = 8, 8, 64
"""Limits: stretches of speech, unfinished utterances and input items that are remembered."""
_LATE = 15.0
"""Seconds after the end of speech in which its final transcript may arrive."""
_TRAILING = 2.0
"""The same for an interim; a later one comes before the VAD hears the next speech."""
_ALIKE = 3
"""Letters at the start that make two texts versions of each other."""


@dataclass(eq=False)
class _Speech:
    """A stretch of speech, as the VAD or the realtime model hears it."""

    started: float
    ended: float | None = None
    transcribed: bool = False


@dataclass(eq=False)
class _Utterance:
    id: str
    speaker: str | None
    speech: _Speech | None
    began: float | None
    text: str = ""


class UserSpeech:
    """Turns what LiveKit reports about the user's speech into events for `emit`. Times are epoch seconds."""

    def __init__(self, emit: Emit, name: Callable[[], str]) -> None:
        self._emit = emit
        self._name = name
        self._speaking = False
        self._speeches: deque[_Speech] = deque(maxlen=_SPEECHES)
        self._open: deque[_Utterance] = deque(maxlen=_OPEN)
        """Utterances without an item id that have no final transcript yet."""
        self._items: OrderedDict[str, _Utterance] = OrderedDict()
        self._last: str | None = None

    def state(self, new: str, at: float) -> None:
        """LiveKit's user state changed."""
        speaking = new == "speaking"
        if speaking == self._speaking:
            return
        self._speaking = speaking
        if speaking:
            self._speeches.append(_Speech(at))
            for utterance in self._open:
                if utterance.speech is None:  # the STT was faster than the VAD
                    self._claim(utterance, self._speeches[-1])
        else:
            self._speeches[-1].ended = at
        kind = "user_speech_started" if speaking else "user_speech_finished"
        self._emit({"type": kind, "role": "user", "timestamp": at})

    def nothing_recognised(self) -> None:
        """The STT recognized nothing in what the user said last."""
        for speech in self._speeches:
            speech.transcribed |= speech.ended is not None

    def close(self, now: float) -> None:
        """The session has ended."""
        self.state("listening", now)

    def transcribed(
        self,
        text: str,
        final: bool,
        at: float,
        *,
        item_id: str | None = None,
        speaker_id: str | None = None,
        **more: Any,
    ) -> None:
        """An interim or final transcript. `more`: other fields for the event; None is left out."""
        if not text.strip():
            return
        utterance = self._of_item(item_id, at) if item_id else self._of_text(text, final, speaker_id, at)
        utterance.text = text
        event = {
            "type": "transcript",
            "role": "user",
            "text": text,
            "final": final,
            "utterance": utterance.id,
            "timestamp": at,
        }
        fields = {"began": utterance.began, "item_id": item_id, "speaker_id": speaker_id, **more}
        event.update((name, value) for name, value in fields.items() if value is not None)
        self._emit(event)
        if final:
            self._last = utterance.id
            self._finish(utterance, at)

    def item(
        self, text: str, spoken: bool, at: float, *, item_id: str | None = None, began: float | None = None, **more: Any
    ) -> str | None:
        """The user's turn was added to the conversation. What was typed becomes a transcript: nothing reported it before.
        `more`: other fields for the event of a spoken turn; None is left out. Returns the utterance that ended the turn.
        """
        known = self._items.get(item_id) if item_id else None
        utterance = known.id if known else self._last
        if not text.strip():
            return utterance
        if spoken:
            event = {"type": "user_turn_completed", "role": "user", "text": text}
            fields = {"utterance": utterance, "item_id": item_id, "began": began, **more}
            event.update((name, value) for name, value in fields.items() if value is not None)
            self._emit(event)
            return utterance
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
                "began": at if began is None else began,
            }
        )
        return utterance

    # -- internals ---------------------------------------------------------------------------------------------------

    def _of_item(self, item_id: str, at: float) -> _Utterance:
        utterance = self._items.get(item_id)
        if utterance is None:
            # Realtime models transcribe each stretch of speech, in order, but may be late.
            recent = (speech for speech in self._speeches if speech.ended is None or at - speech.ended < _LATE)
            speech = next((speech for speech in recent if not speech.transcribed), None)
            utterance = self._items[item_id] = self._new(None, speech, at)
            if len(self._items) > _ITEMS:
                self._items.popitem(last=False)
        return utterance

    def _of_text(self, text: str, final: bool, speaker: str | None, at: float) -> _Utterance:
        for utterance in self._candidates(text, final, speaker):
            return utterance
        utterance = self._new(speaker, self._speech_of(final, at), at)
        self._open.append(utterance)
        return utterance

    def _candidates(self, text: str, final: bool, speaker: str | None) -> list[_Utterance]:
        """The open utterances that a transcript may belong to, the likeliest first."""
        found = [u for u in reversed(self._open) if u.speaker in (None, speaker) or speaker is None]
        latest = self._speeches[-1] if self._speeches else None
        if not found or (not final and found[0].speech in (None, latest)):
            return found
        alike = [utterance for utterance in found if _alike(utterance.text, text)]
        return alike or (found if final else [])

    def _speech_of(self, final: bool, at: float) -> _Speech | None:
        """The stretch of speech that a new utterance belongs to, if it has no transcript yet."""
        patience = _LATE if final else _TRAILING
        speeches = [speech for speech in self._speeches if speech.ended is None or at - speech.ended < patience]
        if final and self._speaking and len(speeches) > 1 and not speeches[-2].transcribed:
            return speeches[-2]  # recognized only after the user started to speak again
        return speeches[-1] if speeches and not speeches[-1].transcribed else None

    def _new(self, speaker: str | None, speech: _Speech | None, at: float) -> _Utterance:
        utterance = _Utterance(self._name(), speaker, None, at)
        if speech:
            self._claim(utterance, speech)
        elif self._speaking:
            utterance.speech = self._speeches[-1]  # another segment of the same stretch
        return utterance

    def _claim(self, utterance: _Utterance, speech: _Speech) -> None:
        utterance.speech, speech.transcribed = speech, True
        utterance.began = speech.started if utterance.began is None else min(utterance.began, speech.started)

    def _finish(self, utterance: _Utterance, at: float) -> None:
        """The utterance has its final. An earlier one without a final was taken back by the STT: withdraw it."""
        if utterance not in self._open:
            return
        for earlier in list(self._open):
            if earlier is not utterance and earlier.speaker not in (None, utterance.speaker):
                continue
            self._open.remove(earlier)
            if earlier is utterance:
                break
            self._emit(
                {
                    "type": "transcript",
                    "role": "user",
                    "text": "",
                    "final": True,
                    "utterance": earlier.id,
                    "timestamp": at,
                }
            )


def _alike(text: str, other: str) -> bool:
    """The texts are versions of each other: they start with the same letters."""
    first, second = _letters(text), _letters(other)
    length = min(len(first), len(second), _ALIKE)
    return length > 0 and first[:length] == second[:length]


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
