"""StreamingTextOutput without a session: events, iteration, several readers, bounds, threads (T01–T14, T19–T23, T26, X17)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import tracemalloc
from collections.abc import Awaitable
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from livekit.agents.voice.io import TextOutput

from event_hub.livekit import StreamEvent, StreamingTextOutput, TextCompleteEvent, TextDeltaEvent, TextStream

from ..hubs import PATIENCE

WORDS = ["Hello", " world", "!"]
HELLO = [
    TextDeltaEvent("Hello", "Hello"),
    TextDeltaEvent(" world", "Hello world"),
    TextDeltaEvent("!", "Hello world!"),
    TextCompleteEvent("Hello world!"),
]


def run(body: Awaitable[Any]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(body, PATIENCE)

    asyncio.run(limited())


async def say(output: TextOutput, *texts: str) -> None:
    for text in texts:
        await output.capture_text(text)
    output.flush()


async def read(stream: TextStream | StreamingTextOutput) -> list[StreamEvent]:
    return [event async for event in stream]


class Recorder(TextOutput):
    def __init__(self) -> None:
        super().__init__(label="recorder", next_in_chain=None)
        self.calls: list[str | None] = []
        self.threads: set[int] = set()

    async def capture_text(self, text: str) -> None:
        self.calls.append(text)
        self.threads.add(threading.get_ident())

    def flush(self) -> None:
        self.calls.append(None)
        self.threads.add(threading.get_ident())


def test_the_class_and_its_events() -> None:
    """T01 T02 T03 T04 T05"""
    assert issubclass(StreamingTextOutput, TextOutput)
    assert (TextDeltaEvent("a", "ba").type, TextCompleteEvent("ba").type) == ("text_delta", "text_complete")
    assert set(get_args(StreamEvent)) == {TextDeltaEvent, TextCompleteEvent}
    output = StreamingTextOutput()
    assert (output.label, output.next_in_chain) == ("streaming_text", None)
    with pytest.raises(TypeError):
        StreamingTextOutput(None)  # type: ignore[misc]
    with pytest.raises(ValueError, match="queue_size"):
        StreamingTextOutput(queue_size=0)


def test_deltas_a_complete_and_the_end() -> None:
    """T06 T07 T09 T11 T12"""

    async def body() -> None:
        output = StreamingTextOutput()
        assert output.accumulated_text == ""
        reader = asyncio.create_task(read(output))
        for text, so_far in zip(WORDS, ["Hello", "Hello world", "Hello world!"], strict=True):
            await output.capture_text(text)
            assert output.accumulated_text == so_far
        output.flush()
        assert output.accumulated_text == ""
        assert await reader == HELLO
        await say(output, *WORDS)
        assert await read(output.stream()) == HELLO  # what was queued before the iteration began

    run(body())


def test_generations_one_after_another() -> None:
    """T13: read while they are written, and afterwards."""

    async def body() -> None:
        output = StreamingTextOutput()
        for n in range(3):
            reader = asyncio.create_task(read(output))
            await say(output, f"a{n}", "b")
            assert await reader == [
                TextDeltaEvent(f"a{n}", f"a{n}"),
                TextDeltaEvent("b", f"a{n}b"),
                TextCompleteEvent(f"a{n}b"),
            ]
        await say(output, "first")
        await say(output, "second")
        assert (await read(output))[-1] == TextCompleteEvent("first")
        assert (await read(output))[-1] == TextCompleteEvent("second")
        output.flush()
        assert await read(output) == [TextCompleteEvent("")]
        assert output.dropped == 0

    run(body())


def test_deltas_are_received_when_they_are_written() -> None:
    """T14: 100 ms apart, not in a batch."""

    async def body() -> None:
        output = StreamingTextOutput()
        received: list[float] = []

        async def reader() -> None:
            async for event in output:
                if event.type == "text_delta":
                    received.append(asyncio.get_running_loop().time())

        task = asyncio.create_task(reader())
        for n in range(4):
            written = asyncio.get_running_loop().time()
            await output.capture_text("x")
            while len(received) <= n:
                await asyncio.sleep(0)
            assert received[n] >= written
            await asyncio.sleep(0.1)
        output.flush()
        await task
        assert all(after - before >= 0.09 for before, after in itertools.pairwise(received))

    run(body())


def test_text_and_flushes_are_passed_on_in_order() -> None:
    """T08 T09: also when the stream is closed."""

    async def body() -> None:
        recorder = Recorder()
        output = StreamingTextOutput(next_in_chain=recorder)
        await say(output, *WORDS)
        output.close()
        await say(output, "more")
        assert recorder.calls == [*WORDS, None, "more", None]

    run(body())


def test_a_reader_is_ended_by_close() -> None:
    """T10: what is queued comes first, later iterations end at once, a second close does nothing."""

    async def body() -> None:
        output = StreamingTextOutput()
        waiting, endless = asyncio.create_task(read(output)), asyncio.create_task(read(output.events()))
        await asyncio.sleep(0)
        output.close()
        output.close()
        assert await asyncio.wait_for(waiting, 1) == await asyncio.wait_for(endless, 1) == []
        assert await read(output) == await read(output.events()) == []

        output = StreamingTextOutput()
        half = output.stream()
        await output.capture_text("a")
        assert (await anext(half)).type == "text_delta"
        await output.capture_text("b")
        output.close()
        await say(output, "unheard")
        assert await read(half) == [TextDeltaEvent("b", "ab")]
        assert [event.delta for event in await read(output) if event.type == "text_delta"] == []

        output = StreamingTextOutput()
        await output.capture_text("queued")
        output.close()
        assert await read(output) == [TextDeltaEvent("queued", "queued")]
        assert await read(output) == []

    run(body())


def test_every_reader_gets_every_event() -> None:
    """T23: streams opened before, in the middle and after; the endless one gets all turns."""

    async def body() -> None:
        output = StreamingTextOutput()
        endless, first, second = output.events(), output.stream(), output.stream()
        await output.capture_text("Hello")
        late = output.stream()
        await output.capture_text(" world")
        await output.capture_text("!")
        output.flush()
        assert await read(first) == await read(late) == await read(second) == HELLO
        await say(output, "again")
        output.close()
        assert await read(endless) == [*HELLO, TextDeltaEvent("again", "again"), TextCompleteEvent("again")]

    run(body())


def test_two_tasks_may_wait_for_one_stream() -> None:
    async def body() -> None:
        output = StreamingTextOutput()
        stream = output.stream()
        tasks = [asyncio.create_task(read(stream)) for _ in range(2)]
        await asyncio.sleep(0)
        await say(output, *WORDS)
        assert sorted(map(len, await asyncio.gather(*tasks))) in ([0, 4], [1, 3], [2, 2])

    run(body())


def test_a_cancelled_reader_loses_nothing() -> None:
    async def body() -> None:
        output = StreamingTextOutput()
        stream = output.stream()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        await say(output, *WORDS)
        assert await read(stream) == HELLO

    run(body())


def test_a_slow_reader_loses_the_oldest_deltas_and_no_text() -> None:
    """T21: counted, and healed by `accumulated`; a complete is never dropped."""

    async def body() -> None:
        output = StreamingTextOutput(queue_size=10)
        slow, quick = output.stream(), output.stream()
        got = []
        for n in range(100):
            await output.capture_text(f"{n} ")
            got.append(await anext(quick))
        output.flush()
        whole = "".join(f"{n} " for n in range(100))
        rest = await read(slow)
        assert len(rest) == 10
        assert rest[0] == TextDeltaEvent("91 ", "".join(f"{n} " for n in range(92)))
        assert rest[-1] == TextCompleteEvent(whole)
        assert (slow.dropped, quick.dropped, output.dropped) == (91, 0, 91)
        assert len(got) == 100

    run(body())


@pytest.mark.parametrize("turns", [1, 10_000])
def test_text_that_is_not_read_stays_bounded(turns: int) -> None:
    """T22: 10,000 deltas in one turn, and in 10,000."""

    async def body() -> None:
        output = StreamingTextOutput()
        tracemalloc.start()
        try:
            for n in range(10_000):
                await output.capture_text("hello ")
                if turns > 1 or n == 9_999:
                    output.flush()
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size < 1_000_000
        found = await read(output)
        kept = len(found)
        assert found[-1] == TextCompleteEvent("hello " * (10_000 if turns == 1 else 1))
        assert output.dropped == (10_001 - kept if turns == 1 else 2 * (10_000 - 16))

    run(body())


def test_calls_from_another_thread_run_on_the_loop() -> None:
    """T26 X17: in order, the chain too; iterating there is refused."""

    async def body() -> None:
        recorder = Recorder()
        output = StreamingTextOutput(next_in_chain=recorder)
        stream = output.stream()

        def other_thread() -> None:
            asyncio.run(say(output, *WORDS))
            with pytest.raises(RuntimeError, match="another thread"):
                output.stream()
            with pytest.raises(RuntimeError, match="another thread"):
                asyncio.run(read(stream))
            output.close()

        thread = asyncio.create_task(asyncio.to_thread(other_thread))
        assert await read(stream) == HELLO
        await thread
        assert await read(output) == []
        assert recorder.calls == [*WORDS, None]
        assert recorder.threads == {threading.get_ident()}

    run(body())


def test_many_threads_at_once() -> None:
    """T26"""

    async def body() -> None:
        output = StreamingTextOutput(queue_size=5_000)
        stream = output.stream()

        async def write() -> None:
            for _ in range(100):
                await output.capture_text("x")

        await asyncio.gather(*(asyncio.to_thread(asyncio.run, write()) for _ in range(4)))
        output.flush()
        assert [len(event.accumulated) for event in await read(stream) if event.type == "text_delta"] == [
            *range(1, 401)
        ]

    run(body())


def test_an_output_outlives_its_loop() -> None:
    """The next loop takes it over; a call to a loop that is gone fails plainly."""
    output = StreamingTextOutput()
    run(say(output, "a"))
    with pytest.raises(RuntimeError):
        failed: list[BaseException] = []

        def close() -> None:
            try:
                output.close()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
        raise failed[0]

    async def body() -> None:
        assert (await read(output))[-1] == TextCompleteEvent("a")

    run(body())


def test_the_producer_closes_when_its_client_has_left() -> None:
    """T20: with a real WebSocket of the package `websockets` that is closed in the middle of the stream."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve
    from websockets.exceptions import ConnectionClosed

    output = StreamingTextOutput()
    ended = asyncio.Event()

    async def handle(websocket: Any) -> None:
        try:
            async for event in output:
                await websocket.send(event.type)
        except ConnectionClosed:
            output.close()
            ended.set()

    async def body() -> None:
        before = asyncio.all_tasks()
        async with serve(handle, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}") as client:
                await output.capture_text("a")
                await client.recv()
            while not ended.is_set():
                await output.capture_text("b")
                await asyncio.sleep(0.001)
        assert await read(output) == []
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    logging.getLogger("websockets").setLevel(logging.WARNING)
    run(body())


@given(
    size=st.integers(1, 6),
    steps=st.lists(st.one_of(st.sampled_from(["a", "bc", "", "🦊"]), st.just(None), st.integers(1, 4)), max_size=40),
)
@example(size=1, steps=["a", None, "bc", None])
def test_any_pace_of_writing_and_reading(size: int, steps: list[str | int | None]) -> None:
    """Text is written, completed (None) and read (n events) in any order: each event is received once, in order, or counted;
    and the last event that is received has the whole text."""

    async def body() -> None:
        output = StreamingTextOutput(queue_size=size)
        stream, received, sent, so_far = output.events(), [], [], ""
        for step in steps:
            if isinstance(step, str):
                await output.capture_text(step)
                so_far += step
                sent.append(TextDeltaEvent(step, so_far))
            elif step is None:
                output.flush()
                sent.append(TextCompleteEvent(so_far))
                so_far = ""
            else:
                for _ in range(min(step, len(stream._queue))):
                    received.append(await anext(stream))
        output.close()
        received += await read(stream)
        assert len(received) + stream.dropped == len(sent)
        remaining = iter(sent)
        assert all(event in remaining for event in received)  # a subsequence
        assert received[-1:] == sent[-1:]

    run(body())
