"""attach on a session with a realtime model: OpenAI's real plugin against a stand-in for its API (D08)."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import Agent, AgentSession, utils
from livekit.plugins import openai

from agent.scripted.speaker import Speaker
from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import HubProcess
from .openai_realtime_standin import OpenAIRealtimeStandin
from .sessions import events, kinds, of, run, sent


async def _rest(session: AgentSession[Any], replies: int, finished: list[Any]) -> None:
    """Wait until this number of segments has been played and the agent listens again."""
    while len(finished) < replies or session.agent_state != "listening":
        await asyncio.sleep(0.01)


def test_a_realtime_model(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        replies = [["Hello, who is there?"], ["It is sunny.", "Take a hat."], ["Once upon a time " * 20]]
        async with OpenAIRealtimeStandin(replies).serving() as api, utils.http_context.open():
            model = openai.realtime.RealtimeModel(api_key="stand-in", base_url=api.url)
            session: AgentSession[Any] = AgentSession(llm=model, vad=None)
            speaker = session.output.audio = Speaker(speed=20)
            finished: list[Any] = []
            speaker.on("playback_finished", finished.append)
            session_id = attach(session, publisher=publisher, room="realtime").session
            await session.start(Agent(instructions="Be kind."))
            await session.generate_reply(instructions="Greet.")
            await api.say("What is the weather?")
            await _rest(session, 3, finished)
            speaker.speed = 1
            await api.say("Tell me a story.")
            await speaker.reach(4, 1.0)
            await api.interrupt()
            await _rest(session, 4, finished)
            await session.aclose()
            await model.aclose()
            await sent(publisher)

    run(body)
    found = events(hub, session_id)
    said = [(event["role"], event["text"]) for event in of(found, "transcript") if event["final"]]
    assert said[:5] == [
        ("agent", "Hello, who is there?"),
        ("user", "What is the weather?"),
        ("agent", "It is sunny."),
        ("agent", "Take a hat."),
        ("user", "Tell me a story."),
    ]
    assert [e["text"] for e in of(found, "transcript") if not e["final"]][:1] == ["What"]
    for reply in [event for event in of(found, "transcript") if event["role"] == "agent"]:
        mine = [event for event in found if event.get("utterance") == reply["utterance"]]
        assert kinds(mine).count("agent_speech_started") == kinds(mine).count("agent_speech_finished") == 1
    assert kinds(found).count("user_speech_started") == 3
    finished = of(found, "agent_speech_finished")
    assert [event["interrupted"] for event in finished] == [False, False, False, True]
    assert 0.5 < finished[-1]["position"] < 15  # of 24 s
    assert any(model.get("output_tokens") for event in of(found, "usage_updated") for model in event["model_usage"])
