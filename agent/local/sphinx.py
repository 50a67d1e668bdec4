"""pocketsphinx as a streaming STT: interims while somebody speaks, a final when the VAD says that they have stopped."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pocketsphinx
from livekit import rtc
from livekit.agents import LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import AudioBuffer, aio, merge_frames, shortuuid
from livekit.agents.vad import VAD, VADEvent, VADEventType

SAMPLE_RATE = 16000
CHUNK = 512 * 2
"""Bytes that are decoded at once: 32 ms of audio, some 6 ms for the decoder, in which it holds the GIL."""
INTERIM_EVERY = 6
"""Chunks between two looks at the hypothesis: five times a second."""
LANGUAGE = LanguageCode("en")
Kind = stt.SpeechEventType

_spare: list[Any] = []
"""Decoders that nobody uses: loading one takes 0.3 s. One serves one stream at a time."""
_lock = threading.Lock()


class PocketSphinxSTT(stt.STT[Any]):
    """English, with the model that is in pocketsphinx' wheel. `vad` says where speech begins and ends."""

    def __init__(self, *, vad: VAD) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.vad = vad

    @property
    def model(self) -> str:
        return "en-us"

    @property
    def provider(self) -> str:
        return "pocketsphinx"

    def prewarm(self) -> None:
        """Load a decoder, in the thread that calls."""
        _give_back(_take())

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  there is one
        conn_options: APIConnectOptions,  # noqa: ARG002  nothing is connected
    ) -> stt.SpeechEvent:
        data = _resampled(merge_frames(buffer))
        text = await asyncio.to_thread(_decode_whole, data)
        return _transcript(Kind.FINAL_TRANSCRIPT, shortuuid("sphinx_"), text)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _Stream(self, conn_options)


class _Stream(stt.RecognizeStream):
    def __init__(self, recogniser: PocketSphinxSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=recogniser, conn_options=conn_options, sample_rate=SAMPLE_RATE)
        self._vad = recogniser.vad

    async def _run(self) -> None:
        hearing = self._vad.stream()

        async def forward() -> None:
            async for frame in self._input_ch:
                if isinstance(frame, rtc.AudioFrame):
                    hearing.push_frame(frame)
            hearing.end_input()

        # A thread of its own: chunks are decoded in order, and never on the event loop.
        with ThreadPoolExecutor(1, thread_name_prefix="pocketsphinx") as thread:
            forwarding = asyncio.create_task(forward())
            utterance: _Utterance | None = None
            decoder = await asyncio.get_running_loop().run_in_executor(thread, _take)
            try:
                async for event in hearing:
                    if event.type == VADEventType.START_OF_SPEECH:
                        utterance = _Utterance(decoder, thread, self._event_ch)
                        await utterance.hear(_pcm(event))  # with what came just before it was sure
                    elif utterance is not None and event.type == VADEventType.END_OF_SPEECH:
                        await utterance.end(event)
                        utterance = None
                    elif utterance is not None:
                        await utterance.hear(_pcm(event))
            finally:
                await aio.cancel_and_wait(forwarding)
                await hearing.aclose()
                thread.submit(_give_back, decoder)


class _Utterance:
    """One stretch of speech."""

    def __init__(self, decoder: Any, thread: ThreadPoolExecutor, events: aio.Chan[stt.SpeechEvent]) -> None:
        self._decoder, self._thread, self._events = decoder, thread, events
        self._id = shortuuid("sphinx_")
        self._text = ""
        self._chunks = 0
        self._started = False
        events.send_nowait(stt.SpeechEvent(Kind.START_OF_SPEECH, request_id=self._id))

    async def hear(self, audio: bytes) -> None:
        for start in range(0, len(audio), CHUNK):
            text = await self._in_thread(self._decode, audio[start : start + CHUNK])
            if text is not None and text != self._text:
                self._text = text
                self._events.send_nowait(_transcript(Kind.INTERIM_TRANSCRIPT, self._id, text))

    async def end(self, event: VADEvent) -> None:
        ended = time.time() - event.silence_duration
        text = await self._in_thread(self._finish)
        if text:
            final = _transcript(Kind.FINAL_TRANSCRIPT, self._id, text)
            final.speech_end_time = ended
            self._events.send_nowait(final)
        self._events.send_nowait(stt.SpeechEvent(Kind.END_OF_SPEECH, request_id=self._id, speech_end_time=ended))
        usage = stt.RecognitionUsage(audio_duration=event.speech_duration)
        self._events.send_nowait(stt.SpeechEvent(Kind.RECOGNITION_USAGE, request_id=self._id, recognition_usage=usage))

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _decode(self, chunk: bytes) -> str | None:
        """The hypothesis so far, where it is time to look at it."""
        if not self._started:
            _restart(self._decoder)
            self._started = True
        self._decoder.process_raw(chunk, False, False)
        self._chunks += 1
        return None if self._chunks % INTERIM_EVERY else _hypothesis(self._decoder)

    def _finish(self) -> str:
        if not self._started:
            return ""
        self._decoder.end_utt()
        return _hypothesis(self._decoder) or ""


def _pcm(event: VADEvent) -> bytes:
    return b"".join(bytes(frame.data) for frame in event.frames)


def _take() -> Any:
    with _lock:
        if _spare:
            return _spare.pop()
    return pocketsphinx.Decoder(samprate=SAMPLE_RATE, logfn=os.devnull)


def _give_back(decoder: Any) -> None:
    with _lock:
        _spare.append(decoder)


def _restart(decoder: Any) -> None:
    try:
        decoder.start_utt()
    except RuntimeError:  # the utterance before was cut off by the end of its stream
        decoder.end_utt()
        decoder.start_utt()


def _hypothesis(decoder: Any) -> str | None:
    found = decoder.hyp()
    return found.hypstr if found is not None and found.hypstr else None


def _decode_whole(data: bytes) -> str:
    decoder = _take()
    try:
        _restart(decoder)
        for start in range(0, len(data), CHUNK):
            decoder.process_raw(data[start : start + CHUNK], False, False)
        decoder.end_utt()
        return _hypothesis(decoder) or ""
    finally:
        _give_back(decoder)


def _resampled(frame: rtc.AudioFrame) -> bytes:
    if frame.sample_rate == SAMPLE_RATE:
        return bytes(frame.data)
    resampler = rtc.AudioResampler(frame.sample_rate, SAMPLE_RATE, quality=rtc.AudioResamplerQuality.HIGH)
    return b"".join(bytes(part.data) for part in [*resampler.push(frame), *resampler.flush()])


def _transcript(kind: stt.SpeechEventType, request: str, text: str) -> stt.SpeechEvent:
    return stt.SpeechEvent(kind, request_id=request, alternatives=[stt.SpeechData(language=LANGUAGE, text=text)])
