"""The scripted caller: a microphone whose audio is silence, marked with the words that the caller says."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from livekit import rtc
from livekit.agents.voice import io

from .pace import spoken_seconds

SAMPLE_RATE = 16000
FRAME = 0.05
"""Seconds of audio in a frame."""
SHORTEST_TICK = 0.01
"""Minimum seconds between two frames; at high speed the frames get longer instead."""
RECOGNITION = 0.25
"""Seconds from the end of the speech to the final transcript."""
MARK = "event_hub.heard"


@dataclass(frozen=True, slots=True)
class Heard:
    """What an STT recognizes in a frame."""

    kind: Literal["start", "interim", "end", "final"]
    text: str = ""
    seconds: float = 0.0


class Caller(io.AudioInput):
    """Speaks at human speed × `speed`, and sends silence in between."""

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(label="scripted")
        self._tick = max(FRAME / speed, SHORTEST_TICK)
        self._audio = self._tick * speed
        self._samples = round(self._audio * SAMPLE_RATE)
        self._ahead: deque[Heard | None] = deque()
        self._quiet = asyncio.Event()
        self._next: float | None = None

    async def say(self, text: str) -> None:
        """Say this; returns once it has been said and recognized."""
        words, elapsed = text.split(), 0.0
        self._put(Heard("start"), 0.0)
        for count, word in enumerate(words, 1):
            self._put(Heard("interim", " ".join(words[:count])), elapsed := elapsed + spoken_seconds(word))
        self._put(Heard("end"), elapsed + self._audio)
        self._put(Heard("final", text, elapsed), elapsed + RECOGNITION)
        self._quiet.clear()
        await self._quiet.wait()

    def _put(self, heard: Heard, seconds: float) -> None:
        """Mark the frame that ends this many seconds from now. Two marks never share a frame."""
        while len(self._ahead) < round(seconds / self._audio):
            self._ahead.append(None)
        self._ahead.append(heard)

    async def __anext__(self) -> rtc.AudioFrame:
        now = time.monotonic()
        self._next = max(now, (self._next or now) + self._tick)  # if late, continue from now, without a burst
        await asyncio.sleep(self._next - now)
        frame = rtc.AudioFrame(bytes(2 * self._samples), SAMPLE_RATE, 1, self._samples)
        if self._ahead:
            heard = self._ahead.popleft()
            if heard is not None:
                frame.userdata[MARK] = heard
            if not self._ahead:
                self._quiet.set()
        return frame
