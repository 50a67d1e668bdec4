"""What an STT reports, as the frames of a client: each final is tied to its interims by an utterance. Pure."""

from __future__ import annotations

import uuid
from typing import Literal

from event_hub.websocket_protocols.audio import Final, Partial, SpeechEnded, SpeechStarted
from event_hub.websocket_protocols.base import Frame

Kind = Literal["start", "interim", "final", "end"]


class Utterances:
    """STTs differ: some report no start or end of speech, some report the end before the final.

    Every `speech_started` is followed by a `speech_ended`, and every text is between the two. A speech with several finals
    has an utterance for each.
    """

    def __init__(self) -> None:
        self.speaking = False
        self._announced = False
        """Whether the STT itself reports where speech begins."""
        self._utterance: str | None = None
        self._interim = ""
        self._said = False
        """Whether a final has come since speech began."""
        self._interrupted = False
        self._language: str | None = None

    @property
    def owed(self) -> bool:
        """Whether there was speech whose final has not come."""
        return bool(self._interim) or (self.speaking and not self._said)

    def on(self, kind: Kind, text: str = "", language: str | None = None) -> list[Frame]:
        """The frames for an event of the STT."""
        if kind == "start":
            self._announced = True
            interrupted, self._interrupted = self._interrupted, False
            return [*([] if interrupted else self._settle()), *self._begin()]
        if kind == "end":
            return self._finish() if self.speaking else []
        if not text:
            return []
        self._interrupted = False
        begun = self._begin() if kind == "interim" or (self._utterance is None and not self._announced) else []
        self._utterance = self._utterance or f"utt_{uuid.uuid4().hex[:12]}"
        if kind == "interim":
            self._interim, self._language = text, language
            return [*begun, Partial(text=text, utterance=self._utterance)]
        final = Final(text=text, utterance=self._utterance, language=language)
        self._utterance, self._interim, self._said = None, "", True
        return [*begun, final, *([] if self._announced else self._finish())]

    def interrupt(self) -> None:
        """The STT has failed: the next one hears the open utterance from its beginning, so it goes on."""
        self._interrupted = True

    def close(self) -> list[Frame]:
        """The frames when nothing more comes: an interim without a final is all that was understood, so it is final."""
        return [*self._settle(), *self._finish()]

    def _begin(self) -> list[Frame]:
        begins, self.speaking = not self.speaking, True
        if begins:
            self._said = False
        return [SpeechStarted()] if begins else []

    def _finish(self) -> list[Frame]:
        ends, self.speaking = self.speaking, False
        return [SpeechEnded()] if ends else []

    def _settle(self) -> list[Frame]:
        if self._utterance is None or not self._interim:
            return []
        final = Final(text=self._interim, utterance=self._utterance, language=self._language)
        self._utterance, self._interim = None, ""
        return [final]
