"""Use the parts of the pipeline outside a job, as the gateway does: text in, speech out, and the reverse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectOptions, utils

from event_hub.providers import Providers

from ..hubs import PATIENCE
from ..livekit.speech import RATE, Recogniser, Sound, resampled, said
from .server import Standin

Result = TypeVar("Result")
ONCE = APIConnectOptions(max_retry=0, timeout=PATIENCE)
"""The first error counts."""
RETRIED = APIConnectOptions(max_retry=2, retry_interval=0.05, timeout=PATIENCE)
NOTHING = {f"AGENT_{kind}": "none" for kind in ("STT", "LLM", "TTS", "VAD", "REALTIME")}
QUIET = np.zeros(RATE, np.int16)
PIECE = RATE // 20


def only(kind: str, provider: str, **more: str) -> Providers:
    """Providers with this one part."""
    return Providers.of({**NOTHING, f"AGENT_{kind}": provider, **more})


def outside_a_job(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run with an HTTP session, which plugins otherwise take from their job."""

    async def run() -> Result:
        async with utils.http_context.open(), asyncio.timeout(6 * PATIENCE):
            return await work()

    return asyncio.run(run())


async def push(stream: Any, sound: Sound) -> None:
    """Feed a recognition stream, faster than real time. A stream that has failed takes no more."""
    for start in range(0, len(sound), PIECE):
        piece = sound[start : start + PIECE]
        try:
            stream.push_frame(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
        except RuntimeError:
            return
        await asyncio.sleep(0)


def uttered(*texts: str) -> Sound:
    """Utterances with a second of silence around each. A sentence gives the same pieces wherever it stands."""
    sounds = [QUIET]
    for text in texts:
        sound = said(text)
        sounds += [np.pad(sound, (0, -len(sound) % PIECE)), QUIET]
    return np.concatenate(sounds)


async def transcribed(standin: Standin, stt: Any, sound: Sound, options: APIConnectOptions = ONCE) -> list[Any]:
    """All events of a stream that is fed with this sound and then ended. Raises what the stream raises."""
    stream = stt.stream(conn_options=options)
    try:
        await push(stream, sound)
        end(stream)
        return await remaining(standin, stream)
    finally:
        await stream.aclose()


def end(stream: Any) -> None:
    """No more audio."""
    with contextlib.suppress(RuntimeError):  # it has failed
        stream.end_input()


async def remaining(standin: Standin, stream: Any) -> list[Any]:
    """The events until the stream ends, or until the vendor has closed the connection: Deepgram's stream lasts up to five
    seconds longer, because its task that sends KeepAlive has to notice.
    """
    events: list[Any] = []

    async def read() -> None:
        async for event in stream:
            events.append(event)

    reading = asyncio.create_task(read())
    while not reading.done() and not (standin.closed and not standin.connections):
        await asyncio.wait([reading], timeout=0.01)
    if reading.done():
        reading.result()
    reading.cancel()
    return events


def texts(events: Iterable[Any], kind: str) -> list[str]:
    """The texts of the transcripts of a kind."""
    return [event.alternatives[0].text for event in events if event.type.value == kind]


async def synthesised(tts: Any, text: str, options: APIConnectOptions = ONCE) -> rtc.AudioFrame:
    """One request for the whole text. A second attempt begins again with another request id: what came before it is stale."""
    stream = tts.synthesize(text, conn_options=options)
    frames: dict[str, list[rtc.AudioFrame]] = {}
    try:
        async for audio in stream:
            frames.setdefault(audio.request_id, []).append(audio.frame)
    finally:
        await stream.aclose()
    return rtc.combine_audio_frames(list(frames.values())[-1])


async def streamed(tts: Any, pieces: Iterable[str], options: APIConnectOptions = ONCE) -> rtc.AudioFrame:
    """Text in pieces, as an LLM writes it."""
    stream = tts.stream(conn_options=options)
    try:
        for piece in pieces:
            stream.push_text(piece)
            await asyncio.sleep(0)
        stream.end_input()
        return rtc.combine_audio_frames([audio.frame async for audio in stream])
    finally:
        await stream.aclose()


def long_enough(frame: rtc.AudioFrame, *texts: str) -> bool:
    """Whether audio lasts as long as these texts do when flite says them one by one."""
    return abs(frame.duration - sum(len(said(text)) for text in texts) / RATE) < 0.1


def heard(recogniser: Recogniser, frame: rtc.AudioFrame) -> str:
    """The words of synthesised audio."""
    sound = np.frombuffer(bytes(frame.data), "<i2")
    return recogniser.text(np.concatenate([QUIET, resampled(sound, frame.sample_rate, RATE), QUIET]))
