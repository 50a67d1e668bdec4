"""A TTS whose audio is silence of the length of the spoken text, with a timestamp for each word."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, TimedString
from livekit.agents.utils import shortuuid

from .pace import spoken_seconds

SAMPLE_RATE = 16000
FIRST_AUDIO = 0.12
"""Seconds until the first audio."""


class ScriptedTTS(tts.TTS[Any]):
    """`speed` shortens the wait for the first audio. The audio always has the length of human speech."""

    def __init__(self, *, speed: float = 1.0) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=True),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
        )
        self.speed = speed

    @property
    def model(self) -> str:
        return "scripted"

    @property
    def provider(self) -> str:
        return "event-hub"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        return _ScriptedTTSStream(self, conn_options)


class _ScriptedTTSStream(tts.SynthesizeStream):
    def __init__(self, scripted: ScriptedTTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=scripted, conn_options=conn_options)
        self._speed = scripted.speed

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=shortuuid("scripted_"),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        output_emitter.start_segment(segment_id=shortuuid("segment_"))
        duration, pending, first = 0.0, "", True

        def emit(words: list[str]) -> None:
            nonlocal duration
            for word in words:
                seconds = spoken_seconds(word)
                output_emitter.push_timed_transcript(
                    TimedString(f"{word} ", start_time=duration, end_time=duration + seconds)
                )
                output_emitter.push(bytes(2 * round(seconds * SAMPLE_RATE)))
                duration += seconds

        async for piece in self._input_ch:
            if isinstance(piece, str):
                self._mark_started()
                if first:
                    first = False
                    await asyncio.sleep(FIRST_AUDIO / self._speed)
                *whole, pending = (pending + piece).split(" ")
                emit([word for word in whole if word])
        emit(pending.split())
        output_emitter.end_segment()
