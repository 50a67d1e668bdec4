"""A loudspeaker without a device: it plays audio in real time, and knows how much of it was heard."""

from __future__ import annotations

import asyncio
import time

from livekit import rtc
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
from livekit.agents.utils import is_given
from livekit.agents.voice import io

_TICK = 0.05
"""Seconds between two checks in `reach`, at human speed."""


class Speaker(io.AudioOutput):
    """Plays in real time × `speed`. An interrupted segment finishes with the seconds and the words that were heard.

    LiveKit's contract: `capture_frame` takes a segment's audio, faster than real time; `flush` marks it as complete;
    `clear_buffer` discards the rest. Each segment is finished exactly once. `pause` can be called repeatedly.
    """

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(label="scripted", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=None)
        self.speed = speed
        self.segments = 0
        """How many have started to play."""
        self._captured = 0.0
        self._words: list[TimedString] = []
        self._heard = 0.0
        self._since: float | None = None
        """The monotonic time at which `_heard` was up to date; None while nothing plays."""
        self._paused = False
        self._playout: asyncio.Task[None] | None = None

    @property
    def position(self) -> float:
        """Seconds heard of the current segment."""
        if self._since is None:
            return self._heard
        return min(self._captured, self._heard + (time.monotonic() - self._since) * self.speed)

    async def reach(self, segment: int, seconds: float) -> None:
        """Wait until this many seconds of a segment (1 is the first) have been heard, or it is over."""
        while self.segments < segment or (self.segments == segment and self._captured and self.position < seconds):
            await asyncio.sleep(_TICK / self.speed)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        if self._playout is not None:
            await asyncio.wait([self._playout])  # the previous segment is still playing
        await super().capture_frame(frame)
        words = frame.userdata.get(USERDATA_TIMED_TRANSCRIPT) or []
        self._words.extend(word for word in words if isinstance(word, TimedString))
        if not self._captured:
            self.segments += 1
            self._resume()
            self.on_playback_started(created_at=time.time())
        elif self._since is not None:  # if the audio had run out, that time does not count
            self._heard, self._since = self.position, time.monotonic()
        self._captured += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._captured and self._playout is None:
            self._playout = asyncio.create_task(self._play_out(), name="speaker")

    def clear_buffer(self) -> None:
        if self._captured:
            self._finish(interrupted=True)

    def pause(self) -> None:
        super().pause()
        self._heard, self._since, self._paused = self.position, None, True

    def resume(self) -> None:
        super().resume()
        self._paused = False
        self._resume()

    def _resume(self) -> None:
        if self._since is None and not self._paused:
            self._since = time.monotonic()

    async def _play_out(self) -> None:
        while (left := self._captured - self.position) > 0.001 or self._since is None:
            await asyncio.sleep(_TICK / self.speed if self._since is None else left / self.speed)
        self._finish(interrupted=False)

    def _finish(self, *, interrupted: bool) -> None:
        playout, self._playout = self._playout, None
        if playout is not None and interrupted:
            playout.cancel()
        position = self.position if interrupted else self._captured
        timed = bool(self._words)
        heard = "".join(word for word in self._words if is_given(word.start_time) and word.start_time < position)
        self._captured, self._heard, self._since, self._words = 0.0, 0.0, None, []
        self.on_playback_finished(
            playback_position=position,
            interrupted=interrupted,
            synchronized_transcript=heard.rstrip() if interrupted and timed else None,
        )
