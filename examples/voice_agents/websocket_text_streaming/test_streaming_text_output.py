"""From the root of the project, without a key:

uv run pytest examples/voice_agents/websocket_text_streaming/test_streaming_text_output.py -v
"""

import asyncio

import pytest
from livekit.agents import AgentSession
from streaming_text_output import (
    LoggingTextOutput,
    MyAgent,
    StreamingTextOutput,
    TextCompleteEvent,
    TextDeltaEvent,
    main,
)

from agent.local.answers import answer
from agent.scripted.llm import ScriptedLLM

QUESTION = "What is the weather in San Francisco?"
ANSWER = "The weather in San Francisco is sunny, 68°F."


def session():
    return AgentSession(llm=ScriptedLLM(answer, speed=50), vad=None, turn_handling={"turn_detection": None})


def test_deltas_and_a_complete():
    async def body():
        output = StreamingTextOutput()
        for text in ("Hello", " world", "!"):
            await output.capture_text(text)
        assert output.accumulated_text == "Hello world!"
        output.flush()
        assert [event async for event in output] == [
            TextDeltaEvent(delta="Hello", accumulated="Hello"),
            TextDeltaEvent(delta=" world", accumulated="Hello world"),
            TextDeltaEvent(delta="!", accumulated="Hello world!"),
            TextCompleteEvent(text="Hello world!"),
        ]
        assert output.accumulated_text == ""

    asyncio.run(body())


def test_close_ends_a_waiting_reader():
    async def body():
        output = StreamingTextOutput()
        asyncio.get_running_loop().call_later(0.01, output.close)
        assert [event async for event in output] == []

    asyncio.run(asyncio.wait_for(body(), 30))


def test_in_the_same_task():
    """Each loop delivers its own turn, through the tool call."""

    async def body():
        output = StreamingTextOutput()
        async with session() as sess:
            sess.output.transcription = output
            await sess.start(MyAgent())
            for question, text in ((QUESTION, ANSWER), ("Hello", "Hello. How can I help you?"), (QUESTION, ANSWER)):
                result = sess.run(user_input=question)
                events = [event async for event in output]
                await result
                assert len(events) > 2
                assert events[-1] == TextCompleteEvent(text)
                assert "".join(event.delta for event in events[:-1]) == text
        types = [event.type for event in result.events]
        assert types == ["function_call", "function_call_output", "message"]

    asyncio.run(body())


def test_in_a_task_of_its_own():
    async def body():
        output = StreamingTextOutput()
        async with session() as sess:
            sess.output.transcription = LoggingTextOutput(next_in_chain=output)
            await sess.start(MyAgent())

            async def consume():
                return [event async for event in output]

            consumer = asyncio.create_task(consume())
            result = await sess.run(user_input=QUESTION)
            assert (await consumer)[-1].text == ANSWER
            result.expect.next_event().is_function_call(name="lookup_weather", arguments={"location": "San Francisco"})

    asyncio.run(body())


def test_the_demonstration(capsys: pytest.CaptureFixture[str]):
    asyncio.run(main(QUESTION))
    assert capsys.readouterr().out.splitlines() == [ANSWER, "function_call", "function_call_output", "message"]
