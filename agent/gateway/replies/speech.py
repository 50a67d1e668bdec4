"""The spoken reply: text to a WAV file, through any LiveKit TTS."""

from __future__ import annotations

import asyncio
import base64
import io
import wave
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livekit.agents import tts

LONGEST = 2000
"""Characters that are spoken: about two minutes."""
LONGEST_AUDIO = 240
"""Seconds of audio, whatever the TTS makes of the text."""


async def speak(voice: tts.TTS[Any], text: str) -> tuple[str, bool]:
    """A WAV file (16 bits, mono) in base64, and whether only the beginning of `text` is spoken. Raises as the TTS does."""
    from livekit.agents import tokenize, tts

    spoken = beginning(text)
    engine = voice
    if not voice.capabilities.streaming and len(spoken) > 400:
        engine = tts.StreamAdapter(tts=voice, sentence_tokenizer=tokenize.basic.SentenceTokenizer())
    data, rate = bytearray(), voice.sample_rate
    limit = None
    if engine is voice:
        async with engine.synthesize(spoken) as stream:
            attempt = ""
            async for event in stream:
                if event.request_id != attempt:  # LiveKit begins again after an error: what was said is stale
                    attempt = event.request_id
                    data.clear()
                rate, limit = event.frame.sample_rate, 2 * LONGEST_AUDIO * event.frame.sample_rate
                data += _mono(event.frame)
                if len(data) > limit:
                    break
    else:
        async with engine.stream() as stream:
            stream.push_text(spoken)
            stream.end_input()
            async for event in stream:
                rate, limit = event.frame.sample_rate, 2 * LONGEST_AUDIO * event.frame.sample_rate
                data += _mono(event.frame)
                if len(data) > limit:
                    break
    if not data:
        raise ValueError("the TTS made no audio")
    truncated = len(spoken) < len(text.strip()) or (limit is not None and len(data) > limit)
    return await asyncio.to_thread(_wav, bytes(data[:limit]), rate), truncated


def beginning(text: str) -> str:
    """As many whole sentences, or words, as are spoken."""
    text = text.strip()
    if len(text) <= LONGEST:
        return text
    cut = text[:LONGEST]
    ends = [cut.rfind(mark) for mark in (". ", "! ", "? ", "。")]
    at = max(ends)
    return cut[: at + 1] if at > LONGEST // 2 else cut[: cut.rfind(" ") if " " in cut else LONGEST]


def _mono(frame: Any) -> bytes:
    """The first channel of a frame."""
    data = bytes(frame.data)
    if frame.num_channels == 1:
        return data
    samples = memoryview(data).cast("h")
    return samples[:: frame.num_channels].tobytes()


def _wav(audio: bytes, rate: int) -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(audio)
    return base64.b64encode(file.getvalue()).decode()
