"""The loudspeaker without a device honours LiveKit's contract: each segment finishes exactly once, with what was heard."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from livekit import rtc
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString

from agent.scripted.speaker import Speaker

from ..hubs import PATIENCE

SPEED = 20
LONG = 200.0
"""Seconds of audio, long enough at this speed to outlast a delay on a busy machine."""


def frame(seconds: float, *words: str) -> rtc.AudioFrame:
    """Audio with these words at equal distances."""
    samples = round(seconds * 16000)
    made = rtc.AudioFrame(bytes(2 * samples), 16000, 1, samples)
    made.userdata[USERDATA_TIMED_TRANSCRIPT] = [
        TimedString(f"{word} ", start_time=seconds * place / len(words)) for place, word in enumerate(words)
    ]
    return made


def listen(speaker: Speaker) -> list[Any]:
    finished: list[Any] = []
    speaker.on("playback_finished", finished.append)
    return finished


def test_a_whole_segment_takes_its_time_and_is_finished_once() -> None:
    async def scenario() -> None:
        speaker = Speaker(SPEED)
        finished, loop = listen(speaker), asyncio.get_running_loop()
        speaker.flush()
        speaker.clear_buffer()
        assert finished == [], "nothing was captured, so nothing finishes"
        began = loop.time()
        for _ in range(4):
            await speaker.capture_frame(frame(1.0))
        speaker.flush()
        event = await asyncio.wait_for(speaker.wait_for_playout(), PATIENCE)
        assert loop.time() - began >= 4 / SPEED
        assert (event.playback_position, event.interrupted, len(finished)) == (4.0, False, 1)
        speaker.clear_buffer()
        assert len(finished) == 1

    asyncio.run(scenario())


def test_an_interrupted_segment_reports_what_was_heard() -> None:
    async def scenario() -> None:
        speaker = Speaker(SPEED)
        finished = listen(speaker)
        await speaker.capture_frame(frame(LONG, *map(str, range(round(LONG)))))  # one number per second
        speaker.flush()
        await speaker.reach(1, 3.5)
        speaker.clear_buffer()
        speaker.clear_buffer()
        (event,) = finished
        assert event.interrupted
        assert 3.5 <= event.playback_position < LONG
        heard = event.synchronized_transcript.split()
        assert heard == [str(second) for second in range(math.ceil(event.playback_position))]

    asyncio.run(scenario())


def test_pause_and_resume_can_be_repeated() -> None:
    async def scenario() -> None:
        speaker = Speaker(SPEED)
        finished = listen(speaker)
        await speaker.capture_frame(frame(10.0))
        speaker.flush()
        await asyncio.sleep(0)  # playback starts
        speaker.pause()
        speaker.pause()
        position = speaker.position
        await asyncio.sleep(10 / SPEED)
        assert (speaker.position, finished) == (position, [])
        speaker.resume()
        speaker.resume()
        event = await asyncio.wait_for(speaker.wait_for_playout(), PATIENCE)
        assert (event.playback_position, event.interrupted) == (10.0, False)

    asyncio.run(scenario())
