"""Samples on their way from a client to an STT: 16 kHz, 16-bit, mono. Pure but for the waiting."""

from __future__ import annotations

import asyncio
from collections import deque

from ..frames import FrameError
from .formats import container_of

RATE = 16000
BYTES_PER_SECOND = 2 * RATE
CHUNK = BYTES_PER_SECOND // 10
"""Bytes that are given to the STT at once: 0.1 s."""


def check(data: bytes) -> None:
    """Raise FrameError unless `data` can be 16-bit samples."""
    if len(data) % 2:
        raise FrameError(
            "bad_audio",
            f"The frame has {len(data)} bytes and was ignored: 16-bit samples take an even number.",
        )
    container = container_of(data)
    if container is not None:
        raise FrameError(
            "bad_audio",
            f"The frame begins a {container} file and was ignored: send samples only (16 kHz, 16-bit, mono), without a "
            "header; /ws/audio-stream takes files.",
        )


class AudioQueue:
    """Audio that the STT has not been given yet, at most `limit` bytes.

    While `live` is true, `put` waits when it is full, so the client waits too and nothing is lost. While it is false (the
    STT is away), the oldest audio makes room, and `lost` counts its bytes: a microphone cannot wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.live = True
        self.lost = 0
        self.size = 0
        self._pieces: deque[bytes | None] = deque()
        self._changed = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Append samples."""
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            while self.live and self.size + len(piece) > self.limit:
                await self._wait()
            self._append(piece)

    def put_end(self) -> None:
        """Mark the end of a stretch of audio."""
        self._pieces.append(None)
        self._wake()

    async def get(self) -> bytes | None:
        """The next samples, at most CHUNK bytes; None at an end."""
        await self.filled()
        piece = self._pieces.popleft()
        while piece is not None and self._pieces:
            following = self._pieces[0]
            if following is None or len(piece) + len(following) > CHUNK:
                break
            self._pieces.popleft()
            piece += following
        if piece is not None:
            self.size -= len(piece)
        self._wake()
        return piece

    async def filled(self) -> None:
        """Wait until there is something to get."""
        while not self._pieces:
            await self._wait()

    @property
    def has_end(self) -> bool:
        """Whether an end is waiting."""
        return None in self._pieces

    def resume(self) -> int:
        """The STT is back: `put` waits again. Returns the bytes that were lost since the last call."""
        self.live = True
        lost, self.lost = self.lost, 0
        return lost

    def away(self) -> None:
        """The STT is away: `put` no longer waits."""
        self.live = False
        self._wake()

    def drop_to_end(self) -> int:
        """Drop everything up to the next end, and the end. Returns the bytes dropped."""
        dropped = 0
        while self._pieces and (piece := self._pieces.popleft()) is not None:
            dropped += len(piece)
        self.size -= dropped
        self._wake()
        return dropped

    def _append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)
        while self.size > self.limit:
            oldest = next(index for index, found in enumerate(self._pieces) if found is not None)
            gone = self._pieces[oldest]
            del self._pieces[oldest]
            self.size -= len(gone or b"")
            self.lost += len(gone or b"")
        self._wake()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()


class Recent:
    """The audio that the STT got and has not settled: it is given to the next stream if this one fails.

    While nothing is said it is the last `idle` bytes; while an utterance is open, all of it, at most `limit` bytes.
    """

    def __init__(self, limit: int, idle: int) -> None:
        self._limit, self._idle = limit, idle
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self.given = 0
        """Bytes that the present stream was given."""
        self.lost = 0
        """Bytes of the open utterance that are too old to be kept."""

    def add(self, piece: bytes, *, speaking: bool) -> None:
        """Remember what the stream is given."""
        self._pieces.append(piece)
        self._size += len(piece)
        self.given += len(piece)
        dropped = self._trim(self._limit if speaking else self._idle)
        self.lost = self.lost + dropped if speaking else 0

    def settle(self, position: int) -> None:
        """A final covers the stream's audio up to `position`: it must not be transcribed twice."""
        self._trim(max(0, self.given - position) // 2 * 2)
        self.lost = 0

    def replay(self) -> tuple[list[bytes], int]:
        """The audio to give to a new stream, and how many bytes of the utterance are missing: reported once."""
        lost, self.lost = self.lost, 0
        self.given = self._size
        return list(self._pieces), lost

    def _trim(self, limit: int) -> int:
        dropped = 0
        while self._size > limit:
            piece = self._pieces.popleft()
            excess = min(len(piece), self._size - limit)
            if excess < len(piece):
                self._pieces.appendleft(piece[excess:])
            dropped += excess
            self._size -= excess
        return dropped
