"""attach(session): a real AgentSession, a real hub, and the events that reach it (H15, H16, H36, D08, T24)."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import HubProcess
from .sessions import (
    SECRET,
    STORY,
    Clerk,
    conversation,
    events,
    greeted,
    kinds,
    of,
    run,
    sent,
    text_session,
    voice_session,
)


def test_a_spoken_conversation(hub: HubProcess, publisher: Publisher) -> None:
    """H15, D08: greeting, typed question, tool, answer: each once, in order, grouped by utterance."""
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = voice_session()
        session_id = attach(session, publisher=publisher, room="attach-1", participant="caller").session
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input="What is the weather?")
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    assert kinds(found)[0] == "session_started"
    assert kinds(found)[-1] == "session_ended"
    assert found[0]["mode"] == "audio"
    assert found[0]["agent"] == "clerk"
    assert found[-1]["reason"] == "user_initiated"
    took = found[-1]["timestamp"] - found[0]["timestamp"]
    assert {event["room"] for event in found} == {"attach-1"}
    assert kinds(found).count("agent_ready") == 1
    said = [(event["role"], event["text"]) for event in of(found, "transcript")]
    assert said == [
        ("agent", "Hello, what can I do for you?"),
        ("user", "What is the weather?"),
        ("agent", "It is sunny in Oslo."),
    ]
    assert of(found, "transcript")[1]["participant"] == "caller"
    for reply in (event for event in of(found, "transcript") if event["role"] == "agent"):
        mine = [event for event in found if event.get("utterance") == reply["utterance"]]
        assert kinds(mine).count("agent_speech_started") == kinds(mine).count("agent_speech_finished") == 1
        assert "".join(event["delta"] for event in of(mine, "agent_text_delta")).strip() == reply["text"]
        assert of(mine, "agent_text_complete")[0]["text"].strip() == reply["text"]
        metrics = of(mine, "turn_metrics")[0]
        assert 0 < metrics["llm_node_ttft"] < took
        assert 0 < metrics["tts_node_ttfb"] < took
        assert kinds(mine).index("agent_speech_started") < kinds(mine).index("agent_speech_finished")
        assert of(mine, "agent_speech_finished")[0]["position"] > 0
    call, done = of(found, "tool_call_started")[0], of(found, "tool_call_finished")[0]
    assert (call["name"], call["arguments"]) == ("lookup_weather", {"location": "Oslo"})
    assert (done["call_id"], done["output"], done["is_error"]) == (call["call_id"], "sunny in Oslo", False)
    assert 0 <= done["duration"] < took
    states = [event["new_state"] for event in of(found, "agent_state_changed")]
    assert {"listening", "thinking", "speaking"} <= set(states)  # H36
    usage = of(found, "usage_updated")
    assert usage
    assert all(a["model_usage"] != b["model_usage"] for a, b in itertools.pairwise(usage))


def test_after_an_interruption_only_what_was_heard_was_said(hub: HubProcess, publisher: Publisher) -> None:
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = voice_session(speed=4)
        session_id = attach(session, publisher=publisher).session
        await session.start(Clerk())
        await greeted(session)
        speaker = session.output.audio
        story = session.generate_reply(user_input="Tell me a story.")
        await speaker.reach(2, 1.0)  # type: ignore[union-attr]
        await session.interrupt()
        await story
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    story = of(found, "transcript")[-1]
    assert story["interrupted"] is True
    assert 0 < len(story["text"]) < len(STORY) // 2  # ten seconds after it was cut off
    finished = [event for event in of(found, "agent_speech_finished") if event["utterance"] == story["utterance"]]
    assert [event["interrupted"] for event in finished] == [True]
    written = "".join(e["delta"] for e in of(found, "agent_text_delta") if e["utterance"] == story["utterance"])
    assert written.startswith(story["text"][:20])


@pytest.mark.parametrize("tool", ["broken", "refused"])
def test_exception_texts_are_not_published(hub: HubProcess, publisher: Publisher, tool: str) -> None:
    found = conversation(hub, publisher, f"Try {tool}.")
    done = of(found, "tool_call_finished")[0]
    assert (done["name"], done["is_error"], done["status"]) == (tool, True, "error")
    assert "output" not in done
    assert SECRET not in str(found)
    assert of(found, "transcript")[-1]["text"] == "Sorry, that did not work."


def test_an_error_that_recovers_and_a_handoff(hub: HubProcess, publisher: Publisher) -> None:
    found = conversation(hub, publisher, "fail once", "hand_over, please")
    error = of(found, "agent_error")[0]
    assert (error["source"], error["recoverable"]) == ("llm", True)
    assert "could not be reached" in error["message"]
    assert [(e["old_agent"], e["new_agent"]) for e in of(found, "agent_handoff")] == [("clerk", "cashier")]


def test_text_only_without_a_room(hub: HubProcess, publisher: Publisher) -> None:
    found = conversation(hub, publisher, "Hi.")
    assert found[0]["mode"] == "text"
    assert "agent_speech_started" not in kinds(found)
    assert "".join(e["delta"] for e in of(found, "agent_text_delta")).endswith("Fine.")
    assert [e["text"] for e in of(found, "transcript")][-2:] == ["Hi.", "Fine."]
    assert all("playback_latency" not in event for event in of(found, "turn_metrics"))


def test_raw_text_of_the_llm_on_request(hub: HubProcess, publisher: Publisher) -> None:
    """T24: as it is before the agent's transcription node changes it; the events say where it was read."""

    class Loud(Clerk):
        async def transcription_node(self, text: Any, model_settings: Any) -> Any:
            async for piece in text:
                yield piece.upper()

    texts = {}

    async def body() -> None:
        for source in ("transcription", "llm"):
            session = text_session()
            attachment = attach(session, publisher=publisher, text=source)  # type: ignore[arg-type]
            agent = Loud()
            await session.start(agent)
            await greeted(session)
            await session.run(user_input="Hi.")
            texts[source] = attachment.session
            attachment.detach()
            assert "llm_node" not in vars(agent)
            await session.aclose()
        await sent(publisher)

    run(body)
    for source, wanted in (("transcription", "FINE."), ("llm", "Fine.")):
        deltas = of(events(hub, texts[source]), "agent_text_delta")
        assert {event["source"] for event in deltas} == {source}
        assert "".join(event["delta"] for event in deltas).endswith(wanted)


def test_several_sessions_of_a_process_share_only_a_publisher(hub: HubProcess, publisher: Publisher) -> None:
    ids: list[str] = []

    async def talk(number: int) -> None:
        session = text_session()
        ids.append(attach(session, publisher=publisher).session)
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input=f"I am number {number}.")
        await session.aclose()

    async def body() -> None:
        await asyncio.gather(*(talk(number) for number in range(5)))
        await sent(publisher)

    run(body)
    assert len(set(ids)) == 5
    for number, session_id in enumerate(ids):
        users = [e["text"] for e in of(events(hub, session_id), "transcript") if e["role"] == "user"]
        assert users == [f"I am number {number}."]
