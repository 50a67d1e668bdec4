"""A chat is on the hub's stream like any call, in the gateway's room (X12, W15)."""

from __future__ import annotations

import asyncio
import logging

import pytest

from event_hub.client import Publisher

from ...hubs import PATIENCE, HubProcess
from .chats import chatting, of, run, serving


def test_a_chat_is_reported(hub: HubProcess, caplog: pytest.LogCaptureFixture) -> None:
    """Its question, tool call, deltas, answer, failure and end, once each; no text in the log."""
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        with Publisher(hub.url) as publisher:
            async with serving(publisher=publisher) as gateway:
                async with chatting(gateway) as chat:
                    await chat.ask("What is the weather in San Francisco?")
                    async with chatting(gateway) as other:
                        await chat.ask("fail")
                        await other.ask("hello")
                while gateway.connections:
                    await asyncio.sleep(0.01)
            assert await asyncio.to_thread(publisher.flush, PATIENCE)

    run(test())
    found = [entry["event"] for entry in hub.get("/api/events?room=gateway&limit=1000")["events"]]
    sessions = list(dict.fromkeys(event["session"] for event in found))
    assert len(sessions) == 2
    assert all(session.startswith("ws_") for session in sessions)
    first = [event for event in found if event["session"] == sessions[0]]
    assert (first[0]["type"], first[0]["mode"], first[-1]["type"]) == ("session_started", "text", "session_ended")
    said = [(event["role"], event["text"]) for event in of(first, "transcript")]
    assert said == [
        ("user", "What is the weather in San Francisco?"),
        ("agent", "The weather in San Francisco is sunny, 68°F."),
        ("user", "fail"),
    ]
    (call,) = of(first, "tool_call_started")
    assert (call["name"], call["arguments"]) == ("lookup_weather", {"location": "San Francisco"})
    assert of(first, "tool_call_finished")[0]["output"] == "sunny, 68°F"
    assert "".join(event["delta"] for event in of(first, "agent_text_delta")).startswith("The weather in San")
    (error,) = of(found, "agent_error")  # the connections share one LLM, but not its errors and metrics
    assert (error["session"], error["status_code"]) == (sessions[0], 401)
    second = [event for event in found if event["session"] == sessions[1]]
    assert len(of(second, "metrics_collected")) == 1
    assert [event["type"] for event in found].count("session_ended") == 2
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("agent", "event_hub"))]
    assert not [line for line in ours if "San Francisco" in line or "sk-secret" in line]
