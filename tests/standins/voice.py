"""What the speech vendors' stand-ins speak with: flite, at the sample rate that the client asks for."""

from __future__ import annotations

import asyncio
import base64

from ..livekit.speech import RATE, resampled, said

CHUNK = 0.1
"""Seconds of audio in one message."""
BEFORE_CUT = 8
"""Messages before the connection is cut."""


async def spoken(text: str, rate: int) -> list[bytes]:
    """`text` as chunks of PCM: mono, 16 bits, little endian. Empty if there is nothing to say."""
    if not text.strip():
        return []
    sound = await asyncio.to_thread(lambda: resampled(said(text.strip()), RATE, rate))
    pcm, size = sound.astype("<i2").tobytes(), 2 * round(rate * CHUNK)
    return [pcm[start : start + size] for start in range(0, len(pcm), size)]


def encoded(pcm: bytes) -> str:
    """PCM in a JSON message."""
    return base64.b64encode(pcm).decode()
