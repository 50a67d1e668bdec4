"""pocketsphinx as a streaming STT: interims during speech, a final when the VAD detects its end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pocketsphinx
from livekit import rtc
from livekit.agents import LanguageCode, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import AudioBuffer, aio, merge_frames, shortuuid
from livekit.agents.vad import VAD, VADEvent, VADEventType

from .sphinx_process import ProcessDecoders

SAMPLE_RATE = 16000
CHUNK = 512 * 2
"""Bytes decoded at a time: 32 ms of audio, for which the decoder holds the GIL for about 6 ms."""
INTERIM_EVERY = 6
"""Chunks per interim: five interims a second."""
LANGUAGE = LanguageCode("en")
Kind = stt.SpeechEventType

PENDING = 2 * SAMPLE_RATE
"""Samples that wait to be decoded; beyond that a stream takes no more audio."""


class Decoders:
    """Decoders of this process. Reused, because loading takes 0.3 s; each serves one stream at a time."""

    def __init__(self) -> None:
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def acquire(self) -> Any:
        """A decoder: `start_utt`, `process_raw`, `end_utt`, `hyp`. Blocks while it is loaded."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return pocketsphinx.Decoder(samprate=SAMPLE_RATE, logfn=os.devnull)

    def release(self, decoder: Any) -> None:
        """The decoder is no longer in use."""
        with self._lock:
            self._idle.append(decoder)

    def close(self) -> None:
        """Release everything."""
        with self._lock:
            self._idle.clear()


_OWN = Decoders()


class PocketSphinxSTT(stt.STT[Any]):
    """English, with the model from pocketsphinx' wheel. `vad` detects where speech begins and ends.

    `decoders`: where the decoders are; by default in this process, where they hold the GIL.
    """

    takes_any_pace = True
    """A stream leaves audio in its channel until it can be decoded, so audio need not come in real time."""

    def __init__(self, *, vad: VAD, decoders: Decoders | ProcessDecoders | None = None) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.vad = vad
        self.decoders: Decoders | ProcessDecoders = decoders or _OWN

    @property
    def model(self) -> str:
        return "en-us"

    @property
    def provider(self) -> str:
        return "pocketsphinx"

    def prewarm(self) -> None:
        """Load a decoder, in the calling thread."""
        self.decoders.release(self.decoders.acquire())

    async def aclose(self) -> None:
        """Close decoders that are processes."""
        await super().aclose()
        if self.decoders is not _OWN:
            await asyncio.to_thread(self.decoders.close)

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  English only
        conn_options: APIConnectOptions,  # noqa: ARG002  there is no connection
    ) -> stt.SpeechEvent:
        data = _resampled(merge_frames(buffer))
        text = await asyncio.to_thread(_decode_whole, self.decoders, data)
        return _transcript(Kind.FINAL_TRANSCRIPT, shortuuid("sphinx_"), text)

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _SphinxStream(self, conn_options)


class _SphinxStream(stt.RecognizeStream):
    def __init__(self, recogniser: PocketSphinxSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=recogniser, conn_options=conn_options, sample_rate=SAMPLE_RATE)
        self._vad, self._decoders = recogniser.vad, recogniser.decoders

    async def _run(self) -> None:
        activity = self._vad.stream()
        pending = 0
        decoded = asyncio.Event()

        async def forward() -> None:
            nonlocal pending
            async for frame in self._input_ch:
                if isinstance(frame, rtc.AudioFrame):
                    while pending > PENDING:
                        decoded.clear()
                        await decoded.wait()
                    pending += frame.samples_per_channel
                    activity.push_frame(frame)
            activity.end_input()

        # One thread per stream: chunks are decoded in order, and never on the event loop.
        thread = ThreadPoolExecutor(1, thread_name_prefix="pocketsphinx")
        acquiring = thread.submit(self._decoders.acquire)
        forwarding = asyncio.create_task(forward())
        utterance: _Utterance | None = None
        try:
            decoder = await asyncio.shield(asyncio.wrap_future(acquiring))
            async for event in activity:
                if event.type == VADEventType.INFERENCE_DONE:
                    pending -= sum(frame.samples_per_channel for frame in event.frames)
                    decoded.set()
                if event.type == VADEventType.START_OF_SPEECH:
                    utterance = _Utterance(decoder, thread, self._event_ch)
                    await utterance.push(_pcm(event))  # includes the audio from before the VAD was sure
                elif utterance is not None and event.type == VADEventType.END_OF_SPEECH:
                    await utterance.end(event)
                    utterance = None
                elif utterance is not None:
                    await utterance.push(_pcm(event))
        finally:
            # In the thread, after what it still decodes. Not waited for, because the event loop must go on.
            thread.submit(self._give_back, acquiring)
            thread.shutdown(wait=False)
            await aio.cancel_and_wait(forwarding)
            await activity.aclose()

    def _give_back(self, acquired: Future[Any]) -> None:
        if acquired.exception() is None:
            self._decoders.release(acquired.result())


class _Utterance:
    """One utterance: its audio goes in, its events come out."""

    def __init__(self, decoder: Any, thread: ThreadPoolExecutor, events: aio.Chan[stt.SpeechEvent]) -> None:
        self._decoder, self._thread, self._events = decoder, thread, events
        self._id = shortuuid("sphinx_")
        self._text = ""
        self._chunks = 0
        self._started = False
        events.send_nowait(stt.SpeechEvent(Kind.START_OF_SPEECH, request_id=self._id))

    async def push(self, audio: bytes) -> None:
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
            final.alternatives[0].end_time = event.timestamp - event.silence_duration
            self._events.send_nowait(final)
        self._events.send_nowait(stt.SpeechEvent(Kind.END_OF_SPEECH, request_id=self._id, speech_end_time=ended))
        usage = stt.RecognitionUsage(audio_duration=event.speech_duration)
        self._events.send_nowait(stt.SpeechEvent(Kind.RECOGNITION_USAGE, request_id=self._id, recognition_usage=usage))

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _decode(self, chunk: bytes) -> str | None:
        """Decode a chunk; the hypothesis so far if an interim is due."""
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


def _restart(decoder: Any) -> None:
    try:
        decoder.start_utt()
    except RuntimeError:  # the previous stream ended in the middle of an utterance
        decoder.end_utt()
        decoder.start_utt()


def _hypothesis(decoder: Any) -> str | None:
    found = decoder.hyp()
    return found.hypstr if found is not None and found.hypstr else None


def _decode_whole(decoders: Decoders | ProcessDecoders, data: bytes) -> str:
    decoder = decoders.acquire()
    try:
        _restart(decoder)
        for start in range(0, len(data), CHUNK):
            decoder.process_raw(data[start : start + CHUNK], False, False)
        decoder.end_utt()
        return _hypothesis(decoder) or ""
    finally:
        decoders.release(decoder)


def _resampled(frame: rtc.AudioFrame) -> bytes:
    if frame.sample_rate == SAMPLE_RATE:
        return bytes(frame.data)
    resampler = rtc.AudioResampler(frame.sample_rate, SAMPLE_RATE, quality=rtc.AudioResamplerQuality.HIGH)
    return b"".join(bytes(part.data) for part in [*resampler.push(frame), *resampler.flush()])


def _transcript(kind: stt.SpeechEventType, request: str, text: str) -> stt.SpeechEvent:
    return stt.SpeechEvent(kind, request_id=request, alternatives=[stt.SpeechData(language=LANGUAGE, text=text)])
