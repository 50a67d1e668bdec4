"""Speech in and out of a part of the pipeline, without a session."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit import rtc


async def synthesised(tts: Any, text: str) -> rtc.AudioFrame:
    """`text` as the TTS says it."""
    stream = tts.synthesize(text)
    frame: rtc.AudioFrame = await stream.collect()
    await stream.aclose()
    return frame


async def recognised(stt: Any, audio: rtc.AudioFrame) -> list[Any]:
    """The STT's events for this audio, resampled to 48 kHz as a room delivers it, with silence around it."""
    resampler = rtc.AudioResampler(audio.sample_rate, 48000)
    data = b"".join(bytes(part.data) for part in [*resampler.push(audio), *resampler.flush()])
    data = bytes(48000) + data + bytes(96000)
    stream = stt.stream()
    for start in range(0, len(data), 4800):
        piece = data[start : start + 4800].ljust(4800, b"\0")
        stream.push_frame(rtc.AudioFrame(piece, 48000, 1, 2400))
        await asyncio.sleep(0.002)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    return events
