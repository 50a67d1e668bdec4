"""Rules that hold for any STT and any client: utterances, the audio on its way, file names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gateway.audio import formats
from agent.gateway.audio.pcm import CHUNK, AudioQueue, Recent
from agent.gateway.audio.utterances import Utterances

KINDS = st.sampled_from(["start", "interim", "final", "end", "interrupt"])


@given(st.lists(st.tuples(KINDS, st.sampled_from(["", "one", "one two"]))))
def test_every_text_is_within_speech_and_every_interim_has_its_final(events: list[tuple[Any, str]]) -> None:
    """V28: in whatever order an STT reports, and wherever it fails."""
    utterances = Utterances()
    frames: list[Any] = []
    for kind, text in events:
        if kind == "interrupt":
            utterances.interrupt()
        else:
            frames += utterances.on(kind, text)
    frames += utterances.close()
    speaking, interims, finals = False, set(), set()
    for frame in frames:
        if frame.type in ("speech_started", "speech_ended"):
            assert speaking is (frame.type == "speech_ended")
            speaking = not speaking
        elif frame.type == "partial":
            assert speaking
            assert frame.utterance not in finals
            interims.add(frame.utterance)
        else:
            assert frame.utterance not in finals
            finals.add(frame.utterance)
    assert not speaking
    assert interims <= finals


def test_a_final_after_the_end_of_speech_keeps_its_utterance() -> None:
    """OpenAI's realtime STT reports in this order."""
    utterances = Utterances()
    frames: list[Any] = [
        *utterances.on("start"),
        *utterances.on("interim", "one"),
        *utterances.on("end"),
        *utterances.on("final", "one two", "en"),
    ]
    assert [frame.type for frame in frames] == ["speech_started", "partial", "speech_ended", "final"]
    assert frames[1].utterance == frames[3].utterance
    assert utterances.close() == []


@given(st.lists(st.binary(max_size=3 * CHUNK).map(lambda data: data[: len(data) // 2 * 2]), max_size=8))
def test_audio_comes_out_as_it_went_in(pieces: list[bytes]) -> None:
    async def test() -> bytes:
        queue = AudioQueue(1 << 20)
        for piece in pieces:
            await queue.put(piece)
        queue.put_end()
        out = b""
        while (piece := await queue.get()) is not None:
            assert 0 < len(piece) <= CHUNK
            out += piece
        assert queue.size == 0
        return out

    assert asyncio.run(test()) == b"".join(pieces)


def test_while_the_stt_is_away_the_oldest_audio_is_lost_and_counted() -> None:
    async def test() -> None:
        queue = AudioQueue(10)
        await queue.put(b"01234567")
        waiting = asyncio.create_task(queue.put(b"89abcdef"))
        await asyncio.sleep(0)
        assert not waiting.done()
        queue.away()
        await waiting
        assert (queue.size, queue.resume(), queue.resume()) == (8, 8, 0)
        assert await queue.get() == b"89abcdef"

    asyncio.run(test())


def test_what_a_final_covers_is_not_replayed() -> None:
    recent = Recent(limit=100, idle=20)
    for piece in (bytes(10), b"1" * 10, b"2" * 10):
        recent.add(piece, speaking=True)
    recent.settle(14)
    assert (b"".join(recent.replay()[0]), recent.given) == (b"1" * 6 + b"2" * 10, 16)
    for n in range(12):
        recent.add(bytes([n]) * 10, speaking=True)
    assert recent.replay()[1] == 36  # the open utterance is longer than what is kept
    recent.add(bytes([12]) * 10, speaking=False)
    assert recent.replay() == ([bytes([11]) * 10, bytes([12]) * 10], 0)


@pytest.mark.parametrize(
    ("name", "finished", "unfinished"),
    [
        ("streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.wav", True, False),
        ("streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.webm", True, False),
        ("streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.wav.part", False, True),
        ("streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.raw.part", False, True),
        ("streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.wav.new", False, False),
        ("streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.wav\n", False, False),
        ("../streamed_audio_7d47a72f-8dc0-4163-a21a-914fb6e3de15_1755437664.wav", False, False),
        ("streamed_audio__1755437664.wav", False, False),
        ("", False, False),
    ],
)
def test_only_names_of_recordings_are_recordings(name: str, finished: bool, unfinished: bool) -> None:
    """V37: the seed's own example is one."""
    assert (formats.is_recording(name), formats.is_unfinished(name)) == (finished, unfinished)
    session, stem = formats.new_name(1755437664.9)
    assert formats.session_of(f"{stem}.wav") == session
    assert stem.endswith("_1755437664")


def test_speech_without_a_final_is_owed() -> None:
    utterances = Utterances()
    expected = [("start", "", True), ("end", "", False), ("start", "", True), ("interim", "a", True), ("end", "", True)]
    for kind, text, owed in [*expected, ("final", "a", False), ("start", "", True), ("final", "b", False)]:
        utterances.on(kind, text)  # type: ignore[arg-type]
        assert utterances.owed is owed, kind
