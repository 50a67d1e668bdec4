"""StreamingTextOutput with real AgentSessions: where turns begin and end (T15–T18, T24, T25, D09, D10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable
from typing import Any

import pytest
from livekit.agents import (
    Agent,
    AgentSession,
    APIConnectOptions,
    APIStatusError,
    ModelSettings,
    RunContext,
    StopResponse,
    function_tool,
    llm,
)
from livekit.agents.voice.agent_session import SessionConnectOptions
from livekit.agents.voice.io import TextOutput
from livekit.agents.voice.transcription import TranscriptSynchronizer

from agent.scripted.llm import Reply, ScriptedLLM
from event_hub.client import Publisher
from event_hub.livekit import StreamEvent, StreamingTextOutput, TextCompleteEvent, attach, tap_llm

from .sessions import SPEED, STORY, Sink, run, voice_session


class Clerk(Agent):
    """Answers in every way that a turn can go."""

    def __init__(self) -> None:
        super().__init__(instructions="Be kind.")

    @function_tool
    async def weather(self, location: str) -> str:
        """The weather."""
        return f"sunny in {location}"

    @function_tool
    async def light(self) -> None:
        """Switches the light on and returns nothing."""

    @function_tool
    async def silence(self) -> str:
        """Asks for silence."""
        raise StopResponse

    @function_tool
    async def announce(self, ctx: RunContext[Any]) -> str:
        """Says something itself."""
        self.session.say("One moment.", add_to_chat_ctx=False)
        return "done"

    @function_tool
    async def hand_over(self) -> tuple[Agent, str]:
        """Hands over."""
        return Greeter(), "over"


class Greeter(Clerk):
    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet.")


def answer(context: llm.ChatContext) -> Reply:
    last = context.items[-1]
    if last.type == "function_call_output":
        return Reply(f"It is {last.output}.")
    if last.type != "message" or last.role != "user":
        return Reply("Hello, who is there?")
    asked = last.text_content or ""
    if asked == "weather":
        return Reply("Let me look.", tool="weather", arguments={"location": "Oslo"})
    if asked in ("light", "silence", "announce", "hand_over"):
        return Reply(tool=asked)
    if asked == "story":
        return Reply(STORY)
    return Reply(f"You said {asked}.")


class FailingLLM(ScriptedLLM):
    """Fails before the first word of `fail`, and after some words of `break`."""

    def chat(self, *, chat_ctx: llm.ChatContext, **options: Any) -> llm.LLMStream:
        stream = super().chat(chat_ctx=chat_ctx, **options)
        asked = chat_ctx.items[-1].text_content if chat_ctx.items[-1].type == "message" else ""
        if asked in ("fail", "break"):
            ordinary = stream._run

            async def run() -> None:
                if asked == "break":
                    await ordinary()
                raise APIStatusError("refused", status_code=400)

            stream._run = run  # type: ignore[method-assign]
        return stream


def made(**options: Any) -> AgentSession[Any]:
    return AgentSession(
        llm=FailingLLM(answer, speed=SPEED),
        vad=None,
        turn_handling={"turn_detection": None},
        conn_options=SessionConnectOptions(
            llm_conn_options=APIConnectOptions(max_retry=0), max_unrecoverable_errors=99
        ),
        **options,
    )


async def started(agent: Agent | None = None, **options: Any) -> tuple[AgentSession[Any], StreamingTextOutput]:
    session, output = made(), StreamingTextOutput(**options)
    session.output.transcription = output
    await session.start(agent or Clerk())
    return session, output


def completes(found: list[StreamEvent]) -> list[str]:
    """The completed texts; checks that each is the sum of its deltas."""
    texts, so_far = [], ""
    for event in found:
        if event.type == "text_delta":
            so_far += event.delta
            assert event.accumulated == so_far
        else:
            assert event.text == so_far
            texts.append(event.text)
            so_far = ""
    assert so_far == ""
    return texts


TURNS = {
    "hi": ["You said hi."],
    "weather": ["Let me look.", "It is sunny in Oslo."],
    "light": [""],
    "silence": [""],
    "fail": [],
    "break": ["You said break."],
    "announce": ["One moment.", "It is done."],
    "hand_over": ["It is over.", "Hello, who is there?"],
}
"""Question → the texts of its turn."""


def test_option_1_stays_in_step() -> None:
    """T15 T16 T17 D09 D10: the loop of the seed's server, through every kind of turn, twice."""

    async def body() -> None:
        session, output = await started()
        for question in [
            "hi",
            "weather",
            "light",
            "hi",
            "silence",
            "fail",
            "weather",
            "break",
            "announce",
            "hand_over",
            "hi",
        ]:
            result = session.run(user_input=question)
            found = [event async for event in output]
            assert sorted(completes(found)) == sorted(TURNS[question]), question
            assert result.done()
            if question in ("fail", "break"):
                with pytest.raises(APIStatusError):
                    await result
            else:
                await result
            if question == "weather":
                kinds = [event.type for event in result.events]
                assert sorted(kinds) == ["function_call", "function_call_output", "message", "message"]
        assert output.dropped == 0
        await session.aclose()

    run(body)


def test_option_2_stays_in_step() -> None:
    """T18: a consumer task, and `await session.run`; it may start before the run and lag behind it."""

    async def body() -> None:
        session, output = await started()
        for question in ("hi", "weather", "light", "hi"):

            async def consume() -> list[StreamEvent]:
                return [event async for event in output]

            early = asyncio.create_task(consume())
            if question == "hi":
                await asyncio.sleep(0)
            await session.run(user_input=question)
            assert completes(await early) == TURNS[question]
            assert (await session.run(user_input="hi")).done()
            late = asyncio.create_task(consume())
            assert completes(await late) == TURNS["hi"]
        await session.aclose()

    run(body)


def test_turns_that_were_not_read_do_not_put_the_next_out_of_step() -> None:
    """T22 D09: a greeting that was not read, and runs that were only awaited; both are counted."""

    async def body() -> None:
        session, output = await started(Greeter())
        while not session.history.messages():
            await asyncio.sleep(0.01)
        for question in ("hi", "weather"):
            await session.run(user_input=question)
        result = session.run(user_input="weather")
        assert completes([event async for event in output]) == TURNS["weather"]
        await result
        for _ in range(20):
            await session.run(user_input="light")
        assert output.dropped > 0
        await session.aclose()

    run(body)


def test_a_greeting_can_be_read_first() -> None:
    async def body() -> None:
        session, output = await started(Greeter())
        assert completes([event async for event in output]) == ["Hello, who is there?"]
        first = session.run(user_input="hi")
        assert completes([event async for event in output.turn(first)]) == TURNS["hi"]
        with pytest.raises(ValueError, match="belongs to no turn"):
            StreamingTextOutput().turn(first)
        await session.aclose()

    run(body)


def test_the_error_of_a_turn() -> None:
    """D10: the stream ends and has the exception; a consumer task does not fail with it."""

    async def body() -> None:
        session, output = await started()
        for question, texts in (("fail", []), ("break", ["You said break."])):
            result = session.run(user_input=question)
            stream = output.stream()
            assert completes([event async for event in stream]) == texts
            assert isinstance(stream.error, APIStatusError)
        result = session.run(user_input="hi")
        stream = output.turn(result)
        assert completes([event async for event in stream]) == TURNS["hi"]
        assert stream.error is None
        await session.aclose()

    run(body)


def test_an_interrupted_turn() -> None:
    """The partial text completes, with a flag; before the first word too."""

    async def body() -> None:
        session, output = await started()
        result = session.run(user_input="story")
        stream, found = output.stream(), []
        async for event in stream:
            found.append(event)
            if len(found) == 3:
                session.interrupt()
        await result
        last = found[-1]
        assert isinstance(last, TextCompleteEvent)
        assert last.interrupted
        assert stream.interrupted
        assert STORY.startswith(last.text)
        assert 0 < len(last.text) < len(STORY)

        result = session.run(user_input="story")
        stream = output.stream()
        session.interrupt()
        assert [event async for event in stream] == [TextCompleteEvent("", interrupted=True)]
        result = session.run(user_input="hi")
        assert completes([event async for event in output]) == TURNS["hi"]
        await result
        await session.aclose()

    run(body)


def test_several_readers_of_a_session() -> None:
    """T23: two plain iterations at once, and an endless one over all turns."""

    async def body() -> None:
        session, output = await started()

        async def consume() -> list[StreamEvent]:
            return [event async for event in output]

        async def consume_all() -> list[StreamEvent]:
            return [event async for event in output.events()]

        everything = asyncio.create_task(consume_all())
        for question in ("hi", "weather"):
            tasks = [asyncio.create_task(consume()) for _ in range(2)]
            await session.run(user_input=question)
            for task in tasks:
                assert completes(await task) == TURNS[question]
        output.close()
        assert completes(await everything) == TURNS["hi"] + TURNS["weather"]
        await session.run(user_input="hi")  # the session works on
        await session.aclose()

    run(body)


def test_a_waiting_reader_ends_with_the_session() -> None:
    async def body() -> None:
        session, output = await started()

        async def consume() -> list[StreamEvent]:
            return [event async for event in output]

        task = asyncio.create_task(consume())
        await asyncio.sleep(0)
        await session.aclose()
        assert await task == []
        assert await consume() == []

        session, output = await started()
        session.run(user_input="story")
        stream = output.stream()
        await anext(stream)
        closing = asyncio.create_task(session.aclose())
        *_, last = [event async for event in stream]
        assert last.type == "text_complete"
        await closing

    run(body)


class LoggingTextOutput(TextOutput):
    """T19: the seed's class, with the constructor that it lacks."""

    def __init__(self, *, next_in_chain: TextOutput | None = None) -> None:
        super().__init__(label="logging", next_in_chain=next_in_chain)

    async def capture_text(self, text: str) -> None:
        logging.getLogger(__name__).debug("%d characters", len(text))
        if self.next_in_chain:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        if self.next_in_chain:
            self.next_in_chain.flush()


def test_behind_another_output_and_in_front_of_one() -> None:
    """T19 T08: Logging → Streaming → another, and the tap of `attach` in front."""

    async def body() -> None:
        sink, session = Sink(), made()
        output = StreamingTextOutput(next_in_chain=sink)
        session.output.transcription = LoggingTextOutput(next_in_chain=output)
        with Publisher("http://127.0.0.1:9", flush_at_exit=0) as publisher:
            attachment = attach(session, publisher=publisher)
            await session.start(Clerk())
            texts = []
            for question in ("weather", "light", "hi"):
                session.run(user_input=question)
                texts += completes([event async for event in output])
                assert texts[-len(TURNS[question]) :] == TURNS[question]
            assert "".join(sink.texts) == "".join(texts)
            attachment.detach()
            session.run(user_input="weather")
            assert completes([event async for event in output]) == TURNS["weather"]
            await session.aclose()
            publisher.close(0)

    run(body)


def test_one_output_for_two_sessions_is_refused() -> None:
    """T25: while it is attached; the other session is left without an output, and the first works on."""

    async def body() -> None:
        session, output = await started()
        other = made()
        for wrong in (output, LoggingTextOutput(next_in_chain=output)):
            with pytest.raises(RuntimeError, match="one for each session"):
                other.output.transcription = wrong
            assert other.output.transcription is None
        session.run(user_input="hi")
        assert completes([event async for event in output]) == TURNS["hi"]
        session.output.transcription = None
        other.output.transcription = output
        await other.start(Clerk())
        other.run(user_input="weather")
        assert completes([event async for event in output]) == TURNS["weather"]
        await session.aclose()
        await other.aclose()

    run(body)


def test_attached_in_the_middle_of_a_run() -> None:
    async def body() -> None:
        session, output = made(), StreamingTextOutput()
        await session.start(Clerk())
        result = session.run(user_input="weather")
        session.output.transcription = output
        assert completes([event async for event in output]) == TURNS["weather"]
        await result
        await session.aclose()

    run(body)


class Loud(Clerk):
    """Changes the text between the LLM and the outputs."""

    async def transcription_node(self, text: AsyncIterable[Any], _: ModelSettings) -> AsyncIterable[str]:
        async for piece in text:
            yield str(piece).upper()


def test_the_raw_text_of_the_llm() -> None:
    """T24: beside the transcription; the events say which is which."""

    async def body() -> None:
        agent = Loud()
        node = agent.llm_node
        raw = tap_llm(agent)
        session, output = await started(agent)
        for question in ("weather", "light", "fail", "hi"):
            session.run(user_input=question)
            waiting = asyncio.create_task(_all(raw))
            altered = [event async for event in output]
            unaltered = await waiting
            assert completes(unaltered) == TURNS[question]
            assert completes(altered) == [text.upper() for text in TURNS[question]]
            assert {event.source for event in unaltered} <= {"llm"}
            assert {event.source for event in altered} <= {"transcription"}
        raw.close()
        assert agent.llm_node == node
        session.run(user_input="hi")
        assert [event async for event in output]
        await session.aclose()

    run(body)


async def _all(output: StreamingTextOutput) -> list[StreamEvent]:
    return [event async for event in output]


def test_with_a_voice() -> None:
    """The turn lasts until it is spoken."""

    async def body() -> None:
        session = voice_session()
        output = StreamingTextOutput()
        session.output.transcription = output
        await session.start(Agent(instructions="x"))
        for _ in range(2):
            result = session.run(user_input="hi")
            assert [text.strip() for text in completes([event async for event in output])] == ["Fine."]
            assert result.done()
        await session.aclose()

    run(body)


def test_behind_the_transcript_synchronizer() -> None:
    """As in a room: the text comes as it is spoken, and an interruption cuts it where the speech was cut."""

    async def body() -> None:
        session = voice_session(speed=10.0)
        output, speaker = StreamingTextOutput(), session.output.audio
        assert speaker is not None
        synchronizer = TranscriptSynchronizer(next_in_chain_audio=speaker, next_in_chain_text=output)
        session.output.audio, session.output.transcription = synchronizer.audio_output, synchronizer.text_output
        await session.start(Agent(instructions="x"))
        for _ in range(2):
            result = session.run(user_input="hi")
            assert [text.strip() for text in completes([event async for event in output])] == ["Fine."]
            await result
        result = session.run(user_input="story")
        stream = output.stream()
        for _ in range(3):
            await anext(stream)
        session.interrupt()
        last = [event async for event in stream][-1]
        assert isinstance(last, TextCompleteEvent)
        assert last.interrupted
        assert len(last.text) < len(STORY)
        await result
        result = session.run(user_input="hi")
        assert [text.strip() for text in completes([event async for event in output])] == ["Fine."]
        await session.aclose()
        await synchronizer.aclose()

    run(body)


def test_the_callers_frames_lead_to_the_session() -> None:
    """LiveKit passes no session to `on_attached`; if its internals change, this test says so."""

    async def body() -> None:
        session, output = made(), StreamingTextOutput()
        session.output.transcription = output
        assert output._session is not None
        assert output._session.session is session

    run(body)
