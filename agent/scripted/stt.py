"""An STT that recognizes the scripted caller by the marks in its audio."""

from __future__ import annotations

import time
from typing import Any

from livekit.agents import LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import AudioBuffer, shortuuid

from .caller import MARK, Heard

LANGUAGE = LanguageCode("en")
Kind = stt.SpeechEventType


class ScriptedSTT(stt.STT[Any]):
    """Streams interims and finals, and reports where speech begins and ends (turn detection "stt")."""

    def __init__(self) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True, offline_recognize=False)
        )

    @property
    def model(self) -> str:
        return "scripted"

    @property
    def provider(self) -> str:
        return "event-hub"

    async def _recognize_impl(
        self, buffer: AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError("the scripted STT only streams")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  English only
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _ScriptedSTTStream(stt=self, conn_options=conn_options)


class _ScriptedSTTStream(stt.RecognizeStream):
    async def _run(self) -> None:
        request, ended = "", 0.0
        async for frame in self._input_ch:
            heard = None if isinstance(frame, self._FlushSentinel) else frame.userdata.get(MARK)
            if not isinstance(heard, Heard):
                continue
            if heard.kind == "start":
                request = shortuuid("scripted_")
                self._emit(stt.SpeechEvent(Kind.START_OF_SPEECH, request_id=request))
            elif heard.kind == "interim":
                self._emit(_transcript(Kind.INTERIM_TRANSCRIPT, request, heard.text))
            elif heard.kind == "end":
                ended = time.time()
            else:
                if heard.text:
                    final = _transcript(Kind.FINAL_TRANSCRIPT, request, heard.text)
                    final.speech_end_time = ended
                    self._emit(final)
                self._emit(stt.SpeechEvent(Kind.END_OF_SPEECH, request_id=request, speech_end_time=ended))
                usage = stt.RecognitionUsage(audio_duration=heard.seconds)
                self._emit(stt.SpeechEvent(Kind.RECOGNITION_USAGE, request_id=request, recognition_usage=usage))

    def _emit(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)


def _transcript(kind: stt.SpeechEventType, request: str, text: str) -> stt.SpeechEvent:
    return stt.SpeechEvent(
        kind, request_id=request, alternatives=[stt.SpeechData(language=LANGUAGE, text=text, confidence=0.95)]
    )
