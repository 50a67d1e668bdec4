"""attach(session, redact=…): what matches never leaves the agent's process (issue 15)."""

from __future__ import annotations

import json

import pytest
from livekit.agents import llm

from agent.scripted.llm import Reply
from event_hub.client import Publisher
from event_hub.livekit import attach

from ..hubs import HubProcess
from .sessions import Clerk, events, greeted, kinds, of, run, sent, text_session, voice_session

CARD = "4111 1111 1111 1111"


def _answer(context: llm.ChatContext) -> Reply:
    last = context.items[-1]
    if last.type == "function_call_output":
        return Reply("I have asked.")
    if last.type != "message" or last.role != "user":
        return Reply(f"Is your card still {CARD}, and your mail john.doe@example.com")
    return Reply(tool="lookup_weather", arguments={"location": f"card {CARD}"})


def test_secrets_do_not_leave_the_process(hub: HubProcess, publisher: Publisher) -> None:
    """The hub of this test redacts nothing; it gets the deltas of a text whole, with what was held back at the end."""
    session_id = ""

    async def body() -> None:
        nonlocal session_id
        session = voice_session(answers=_answer)
        session_id = attach(session, publisher=publisher, room="redact", redact="card,email,phone").session
        await session.start(Clerk())
        await greeted(session)
        await session.run(user_input=f"Now it is {CARD}.")
        await session.aclose()
        await sent(publisher)

    run(body)
    found = events(hub, session_id)
    text = json.dumps([{**event, "timestamp": None} for event in found])
    assert "1111 1111" not in text
    assert "john.doe" not in text
    reply = "Is your card still [card], and your mail [email]"
    said = [(event["role"], event["text"]) for event in of(found, "transcript")]
    assert said[:2] == [("agent", reply), ("user", "Now it is [card].")]
    whole = of(found, "agent_text_complete")[0]
    assert whole["text"].strip() == reply
    deltas = [event for event in of(found, "agent_text_delta") if event["utterance"] == whole["utterance"]]
    assert "".join(event["delta"] for event in deltas).strip() == reply
    assert [event["offset"] for event in deltas] == [
        sum(len(before["delta"]) for before in deltas[:number]) for number in range(len(deltas))
    ]
    call, done = of(found, "tool_call_started")[0], of(found, "tool_call_finished")[0]
    assert (call["arguments"], done["output"]) == ({"location": "card [card]"}, "sunny in card [card]")
    assert kinds(found)[-1] == "session_ended"


def test_a_wrong_value_is_refused() -> None:
    async def body() -> None:
        with pytest.raises(ValueError, match="emial is not known"):
            attach(text_session(), redact="emial")

    run(body)
