"""`WebSocketLLM` as the LLM of real AgentSessions, whose requests go to a real server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.agents import Agent, AgentSession, APIConnectOptions, function_tool
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent.gateway.llm import BackendError, LLMServer, Piece
from agent.gateway.llm.scripted import ScriptedBackend
from agent.scripted.caller import Caller
from agent.scripted.speaker import Speaker
from agent.scripted.stt import ScriptedSTT
from agent.scripted.tts import ScriptedTTS
from event_hub.client import Publisher
from event_hub.livekit import WebSocketLLM, attach
from event_hub.websocket_protocols.llm import ChatRequest

from ...attach.sessions import events, of
from ...hubs import PATIENCE, ROOT, HubProcess
from .asking import connected
from .servers import Model, connections, run, serving, until

SPEED = 6.0


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="Be kind.")
        self.asked: list[str] = []

    @function_tool
    async def lookup_weather(self, location: str) -> str:
        """Look up the weather for a place.

        Args:
            location: The city.
        """
        self.asked.append(location)
        return "snow, -3 degrees"


def text_session(model: WebSocketLLM, **options: Any) -> AgentSession[None]:
    return AgentSession(llm=model, vad=None, turn_handling={"turn_detection": None}, **options)


def voice_session(model: WebSocketLLM) -> tuple[AgentSession[None], Caller, Speaker]:
    session: AgentSession[None] = AgentSession(
        stt=ScriptedSTT(),
        llm=model,
        tts=ScriptedTTS(speed=SPEED),
        vad=None,
        turn_handling={
            "turn_detection": "stt",
            "endpointing": {"mode": "fixed", "min_delay": 0.05, "max_delay": 0.2},
            "interruption": {"mode": "vad", "min_duration": 0.05, "resume_false_interruption": False},
        },
        user_away_timeout=None,
        aec_warmup_duration=None,
        session_close_transcript_timeout=0.05,
    )
    caller, speaker = Caller(SPEED), Speaker(SPEED)
    session.input.audio, session.output.audio = caller, speaker
    return session, caller, speaker


def test_a_tool_round_trip(hub: HubProcess) -> None:
    """L21: question, tool call, tool, result, answer: through a real server with the scripted backend, over one socket; the
    hub sees it once, from the session, not from the server."""
    ids: list[str] = []

    async def body() -> None:
        publisher = Publisher(hub.url, flush_at_exit=0)
        backend = ScriptedBackend(speed=50)
        async with serving(LLMServer(backend), publisher=publisher) as url, connected(url) as model:
            clerk = Clerk()
            async with text_session(model) as session:
                ids.append(attach(session, publisher=publisher).session)
                await session.start(clerk)
                result = await session.run(user_input="What is the weather in Oslo?")
                assert [event.type for event in result.events] == ["function_call", "function_call_output", "message"]
                result.expect.next_event().is_function_call(name="lookup_weather", arguments={"location": "Oslo"})
                result.expect.next_event().is_function_call_output(output="snow, -3 degrees")
                message = result.expect.next_event().is_message(role="assistant").event()
                assert message.item.text_content == "The weather in Oslo is snow, -3 degrees."
                assert clerk.asked == ["Oslo"]
                again = await session.run(user_input="And what is the weather in Paris?")
                assert again.events[-1].type == "message"
                assert clerk.asked == ["Oslo", "Paris"]
                usage = session.usage.model_usage[0]
                assert usage.input_tokens > usage.output_tokens > 0  # type: ignore[union-attr]
            assert await connections(url) <= 2
        assert await asyncio.to_thread(publisher.flush, PATIENCE)
        await asyncio.to_thread(publisher.close)

    run(body)
    found = events(hub, ids[0])
    assert len(of(found, "tool_call_started")) == 2
    answers = [event["text"] for event in of(found, "transcript") if event["role"] == "agent"]
    assert answers[0] == "The weather in Oslo is snow, -3 degrees."
    everything = [entry["event"] for entry in hub.get("/api/events?limit=1000")["events"]]
    assert not [event for event in everything if str(event.get("session", "")).startswith("ws_")]


def test_speech_begins_before_the_answer_is_complete() -> None:
    """L13: what the caller says reaches the server as text, and the answer is heard while the server still writes it."""
    heard = asyncio.Event()

    async def answer(request: ChatRequest) -> AsyncIterator[Piece]:
        for word in "This is the first sentence of the answer. And here ".split():
            yield word + " "
        await heard.wait()  # `complete` waits until the speaker plays
        yield "it ends."

    async def body() -> None:
        server = Model(answer)
        async with serving(server) as url, connected(url) as model:
            session, caller, speaker = voice_session(model)
            async with session:
                await session.start(Agent(instructions="Be kind."))
                await caller.say("What helps against a cold?")
                await until(lambda: speaker.segments)
                assert server.ended == 0
                heard.set()
                await until(lambda: [m for m in session.history.messages() if m.role == "assistant"])
            assert server.requests[-1].messages[-1] == {"role": "user", "content": "What helps against a cold?"}
            spoken = next(m for m in session.history.messages() if m.role == "assistant").text_content
            assert spoken == "This is the first sentence of the answer. And here it ends."

    run(body)


def test_an_interruption_stops_the_server_and_the_next_answer_is_clean() -> None:
    """L13, L22: barge-in cancels the request; the backend stops generating."""

    async def answer(request: ChatRequest) -> AsyncIterator[Piece]:
        if "stop" in str(request.messages[-1]["content"]).lower():
            yield "I have stopped."
            return
        while True:
            yield "and so on, "
            await asyncio.sleep(0.02)

    async def body() -> None:
        server = Model(answer)
        async with serving(server) as url, connected(url) as model:
            session, caller, speaker = voice_session(model)
            async with session:
                await session.start(Agent(instructions="Be kind."))
                await caller.say("Tell me everything.")
                await until(lambda: speaker.segments)
                await caller.say("Please stop it now.")
                await until(lambda: "I have stopped." in str(session.history.to_dict()))
            said = [m for m in session.history.messages() if m.role == "assistant"]
            assert said[0].interrupted
            assert said[-1].text_content == "I have stopped."
            await until(lambda: server.ended == len(server.requests))

    run(body)


def test_a_server_that_recovers_costs_the_session_a_retry_and_no_word() -> None:
    """D11: LiveKit's own retry. An answer that broke off is reported, and the session goes on."""
    failures = [BackendError("Busy."), BackendError("Busy.")]

    async def answer(request: ChatRequest) -> AsyncIterator[Piece]:
        if failures:
            raise failures.pop()
        yield "Half "
        if request.messages[-1]["content"] == "break":
            raise BackendError("Broken.", retryable=True)
        yield "and half."

    async def body() -> None:
        options = SessionConnectOptions(llm_conn_options=APIConnectOptions(max_retry=3, retry_interval=0.01))
        server = Model(answer)
        async with serving(server) as url, connected(url) as model:
            errors: list[Any] = []
            async with text_session(model, conn_options=options) as session:
                session.on("error", errors.append)
                await session.start(Agent(instructions="Be kind."))
                result = await session.run(user_input="hi")
                assert result.events[-1].item.text_content == "Half and half."  # type: ignore[union-attr]
                assert [error.error.recoverable for error in errors] == [True, True]
                with pytest.raises(Exception, match="Broken"):
                    await session.run(user_input="break")
                assert len(server.requests) == 4
                await session.run(user_input="hi")
                assert len(server.requests) == 5
                texts = [m.text_content for m in session.history.messages() if m.role == "assistant"]
                assert texts[0] == texts[-1] == "Half and half."

    run(body)


def test_the_example_agent_greets_on_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    """L11, L12, L13: the agent of `agent_example.py` with the server of `ws_llm_server.py`, speech left out."""
    folder = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
    monkeypatch.syspath_prepend(str(folder))
    for name in ("agent_example", "ws_llm_server", "ws_llm_provider"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(folder)
    import ws_llm_provider
    import ws_llm_server

    sys_prompts: list[str] = []

    class Recorded(ws_llm_server.HealthcareLLMServer):
        async def _generate_streaming_response(self, request: ChatRequest) -> AsyncIterator[Piece]:
            sys_prompts.append(request.messages[0]["content"])
            instructions = [m["content"] for m in request.messages if "healthcare assistant" in str(m["content"])]
            yield f"Hello. {len(instructions)}"

    async def body() -> None:
        async with serving(Recorded()) as url:
            monkeypatch.setenv("DEEPGRAM_API_KEY", "x")
            monkeypatch.setenv("CARTESIA_API_KEY", "x")
            monkeypatch.setenv("WS_LLM_URL", url)
            import agent_example

            built = agent_example.make_session()
            kinds = [type(part).__module__.split(".")[2] for part in (built.stt, built.tts)]
            assert kinds == ["deepgram", "cartesia"]
            assert isinstance(built.llm, ws_llm_provider.WebSocketLLM)
            async with text_session(built.llm) as session:
                await session.start(agent_example.HealthcareAssistant())
                await until(lambda: [m for m in session.history.messages() if m.role == "assistant"])
                greeting = next(m for m in session.history.messages() if m.role == "assistant")
                assert greeting.text_content == "Hello. 3"  # its own prompt, the agent's instructions, the greeting's
            await built.llm.aclose()
        assert set(sys_prompts) == {ws_llm_server.HEALTHCARE_SYSTEM_PROMPT}

    run(body)


def test_the_provider_example_asks_a_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """L09."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "voice_agents" / "websocket_text_streaming"))
    import ws_llm_provider

    async def body() -> None:
        async with serving(LLMServer(ScriptedBackend(speed=50))) as url:
            monkeypatch.setenv("WS_LLM_URL", url)
            await ws_llm_provider.main("hello")

    run(body)
    assert capsys.readouterr().out == "Hello. How can I help you?\n"
