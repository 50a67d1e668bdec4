"""The hub has what LiveKit holds about a session, field by field, for agents of many kinds."""

from __future__ import annotations

import asyncio

import pytest
import requests
from livekit.agents.voice.events import CloseEvent, CloseReason

from event_hub.client import Publisher

from ..hubs import PATIENCE, HubProcess
from .livekit_truth import FIELDS, Seen, differences, replaced
from .plays import PLAYS, Stage
from .sessions import run, sent


def perform(name: str, hub: HubProcess, publisher: Publisher) -> Stage:
    stage = Stage(publisher, f"truth-{name}")

    async def body() -> None:
        await asyncio.wait_for(PLAYS[name](stage), 2 * PATIENCE)
        await sent(publisher)

    run(body)
    assert stage.records
    return stage


@pytest.mark.parametrize("name", PLAYS)
def test_the_hub_has_what_livekit_has(hub: HubProcess, publisher: Publisher, name: str) -> None:
    stage = perform(name, hub, publisher)
    for record in stage.records:
        found = differences(record, Seen.of(hub, record.attachment.session))
        assert not found, "\n".join(
            f"{field}:\n  LiveKit {pair[0]}\n  hub     {pair[1]}" for field, pair in found.items()
        )
        assert record.messages("user", "assistant"), "nothing was said"


@pytest.mark.parametrize("name", ["realtime", "silent_tools", "tools_that_fail", "updates", "tasks", "queued_replies"])
def test_what_a_turn_used_is_known(hub: HubProcess, publisher: Publisher, name: str) -> None:
    """Only speech recognition belongs to no turn; requests whose only result is a silent tool call do."""
    for record in perform(name, hub, publisher).records:
        document = Seen.of(hub, record.attachment.session).document
        assert sum(len(turn.get("usage", ())) for turn in document["turns"]) > 0
        assert {used["type"] for used in document["unassigned"]["usage"]} <= {"stt_usage"}


def test_a_reply_that_was_never_heard_is_unsaid(hub: HubProcess, publisher: Publisher) -> None:
    (record,) = perform("interruptions", hub, publisher).records
    seen = Seen.of(hub, record.attachment.session)
    (unsaid,) = seen.of_type("agent_text_unsaid")
    assert (unsaid["generated"], unsaid["source"]) == ("Four hundred crowns.", "transcription")
    of_it = {event["type"] for event in seen.events if event.get("utterance") == unsaid["utterance"]}
    assert of_it == {"agent_text_delta", "agent_text_complete", "agent_text_unsaid"}
    for form in ("md", "txt", "vtt"):
        transcript = requests.get(
            f"{hub.url}/api/sessions/{record.attachment.session}/transcript.{form}", timeout=PATIENCE
        )
        assert "Never mind." in transcript.text
        assert "crowns" not in transcript.text


def test_the_comparison_sees_what_is_wrong(hub: HubProcess, publisher: Publisher) -> None:
    """A record that differs from the hub's session in every field is reported in every field."""
    (record,) = perform("tools_that_fail", hub, publisher).records
    seen = Seen.of(hub, record.attachment.session)
    wrong = replaced(
        record,
        items=record.items[: len(record.items) // 2],
        states=[],
        speeches=[],
        metrics=[],
        usage=[],
        timeouts=1,
        closed=CloseEvent(reason=CloseReason.ERROR),
    )
    assert set(differences(wrong, seen)) | {"nothing_open"} >= set(FIELDS) - {"latencies", "order", "config"}
    unheard = [event for event in seen.events if event["type"] != "transcript" or event["role"] != "agent"]
    assert "nothing_open" in differences(record, Seen(unheard, seen.document))
