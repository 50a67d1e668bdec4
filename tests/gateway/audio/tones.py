"""A language that needs no model: a stretch of equal samples is a word, silence ends an utterance.

`ToneSTT` hears it, through LiveKit's own interface for STTs, and fails as it is asked to: what real providers do rarely.
"""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions

from .sounds import RATE

PAUSE = RATE // 2
"""Silent samples that end an utterance."""
Kind = stt.SpeechEventType


def say(*words: int, seconds: float = 0.3) -> bytes:
    """An utterance: each word, then silence."""
    samples = int(seconds * RATE)
    return b"".join(word.to_bytes(2, "little") * samples for word in words) + bytes(2 * PAUSE)


class ToneSTT(stt.STT[Any]):
    """`fails`: for each stream, the seconds of audio after which it fails (0: at once, None: never); then none fails.

    `announces`: whether it reports where speech begins and ends. `seconds_per_second`: time to hear a second of audio.
    """

    def __init__(
        self,
        *fails: float | None,
        error: Exception | None = None,
        announces: bool = True,
        any_pace: bool = True,
        seconds_per_second: float = 0.0,
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.fails, self.announces, self.slow = list(fails), announces, seconds_per_second
        self.error = error or APIConnectionError("a cable was pulled")
        self.takes_any_pace = any_pace
        self.streams = 0
        self.open = 0
        self.most_waiting = 0

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self, *, language: Any = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        self.streams += 1
        return _ToneStream(self, conn_options, self.fails.pop(0) if self.fails else None)


class _ToneStream(stt.RecognizeStream):
    def __init__(self, ear: ToneSTT, conn_options: APIConnectOptions, fails: float | None) -> None:
        super().__init__(stt=ear, conn_options=conn_options, sample_rate=RATE)
        self._ear, self._fails = ear, fails

    async def _run(self) -> None:
        self._ear.open += 1
        try:
            await self._hear()
        finally:
            self._ear.open -= 1

    async def _hear(self) -> None:
        words: list[str] = []
        heard = silent = 0
        if self._fails == 0:
            raise self._ear.error
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            self._ear.most_waiting = max(self._ear.most_waiting, self._input_ch.qsize())
            if self._ear.slow:
                await asyncio.sleep(frame.duration * self._ear.slow)
            for sample in frame.data:
                heard += 1
                silent = 0 if sample else silent + 1
                if sample and not words:
                    self._tell(Kind.START_OF_SPEECH)
                if sample and (not words or words[-1] != str(sample)):
                    words.append(str(sample))
                    self._tell(Kind.INTERIM_TRANSCRIPT, " ".join(words))
                if words and silent >= PAUSE:
                    self._tell(Kind.FINAL_TRANSCRIPT, " ".join(words), (heard - silent) / RATE)
                    self._tell(Kind.END_OF_SPEECH)
                    words = []
            if self._fails is not None and heard > self._fails * RATE:
                raise self._ear.error

    def _tell(self, kind: stt.SpeechEventType, text: str | None = None, end: float = 0.0) -> None:
        if text is None and not self._ear.announces:
            return
        said = [] if text is None else [stt.SpeechData(language=LanguageCode("en"), text=text, end_time=end)]
        self._event_ch.send_nowait(stt.SpeechEvent(kind, alternatives=said))
