"""The scripted mode: the conversation of a real AgentSession reaches a real hub, complete and in order (H15, H36)."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.scripted.conversations import CONVERSATIONS, TOOL
from event_hub.sessions import Session, Sessions, replay_into

from ..hubs import HubProcess, until
from .agents import AgentProcess, events_until

Event = dict[str, Any]
NO_HUB = "http://127.0.0.1:1"
pytestmark = pytest.mark.timeout(600)
SPEEDS = (15, 4)
"""At the first speed, half a second of delay on a busy machine counts as eight, and the caller may be too late to interrupt;
then the test is repeated at the second."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """All events of a run through every conversation."""
    for speed in SPEEDS:
        events = play(tmp_path_factory.mktemp("scripted"), speed)
        if len(of(events, "agent_speech_finished", interrupted=True)) == len(CONVERSATIONS):
            break
    return events


def play(folder: Path, speed: int) -> list[Event]:
    arguments = ("--mode", "scripted", "--speed", str(speed), "--repeat", str(len(CONVERSATIONS)))
    with (
        HubProcess(folder) as hub,
        AgentProcess(folder, *arguments, HUB_URL=hub.url, HUB_AGENT_ID="ag_test") as agent,
    ):
        assert agent.wait() == 0
        return events_until(hub.url, "session_ended", len(CONVERSATIONS))


def sessions(events: list[Event]) -> list[list[Event]]:
    """The events of each session, in the order of their starts."""
    ids = list(dict.fromkeys(event["session"] for event in events if "session" in event))
    return [[event for event in events if event.get("session") == id] for id in ids]


def of(events: list[Event], kind: str, **fields: Any) -> list[Event]:
    return [e for e in events if e["type"] == kind and all(e.get(name) == value for name, value in fields.items())]


def test_h15_the_agent_reports_itself_ready_first_with_its_id(played: list[Event]) -> None:
    assert played[0]["type"] == "agent_ready"
    assert played[0]["agent_id"] == "ag_test"


def test_h32_each_session_has_the_turns_of_the_script(played: list[Event]) -> None:
    """The hub derives the turns from the events: question, answer, tools and latencies."""
    known = Sessions()
    for offset, event in enumerate(played, 1):
        known.take(event, offset)
    ids = list(dict.fromkeys(event["session"] for event in played if "session" in event))
    for id, conversation in zip(ids, CONVERSATIONS, strict=True):
        (session,) = known.find(id)
        whole = Session(session.room, session.session, whole=True)
        for offset, event in enumerate(played, 1):
            replay_into(session, event, offset, whole)
        document = whole.document()
        assert document["status"] == "ended"
        greeting, *turns = document["turns"]
        assert greeting["agent"]["text"] == conversation.greeting
        assert "user" not in greeting
        assert [turn["user"]["text"] for turn in turns] == [turn.caller for turn in conversation.turns]
        cut = [turn.barge_in is not None for turn in conversation.turns[1:]]
        assert [turn["agent"]["interrupted"] for turn in turns][: len(cut)] == cut
        assert document["counts"]["tool_calls"] == len(of(played, "tool_call_started", session=id))
        for turn in turns:
            latency = turn["latency"]
            assert latency["measured"] == "e2e_latency"
            parts = sum(part["seconds"] for part in latency["parts"])
            assert latency["total"] == pytest.approx(parts + latency.get("unaccounted", 0) - latency.get("overlap", 0))


def test_h15_each_conversation_follows_the_script(played: list[Event]) -> None:
    """Both sides, in the order of the script; an interrupted reply has only the words that were heard."""
    runs = sessions(played)
    assert len(runs) == len(CONVERSATIONS)
    for run, conversation in zip(runs, CONVERSATIONS, strict=True):
        assert run[0]["type"] == "session_started"
        assert run[-1]["type"] == "session_ended"
        assert {event["room"] for event in run} == {"scripted"}
        finals = [(e["role"], e["text"], e.get("interrupted", False)) for e in of(run, "transcript", final=True)]
        expected = [("agent", conversation.greeting, False)]
        for index, turn in enumerate(conversation.turns):
            cut = index + 1 < len(conversation.turns) and conversation.turns[index + 1].barge_in is not None
            expected += [("user", turn.caller, False), ("agent", turn.agent, cut)]
        # The transcript of the interrupting caller can come before the interrupted reply is final.
        for place, (role, _, cut) in enumerate(expected[:-1]):
            if cut and role == "agent" and finals[place][0] == "user":
                expected[place], expected[place + 1] = expected[place + 1], expected[place]
        assert [role for role, *_ in finals] == [role for role, *_ in expected]
        assert [cut for *_, cut in finals] == [cut for *_, cut in expected]
        outputs = iter(event["output"] for event in of(run, "tool_call_finished"))
        for (_, text, cut), (_, script, _) in zip(finals, expected, strict=True):
            whole = script.format(weather=next(outputs)) if "{weather}" in script else script
            if cut:
                assert whole.startswith(text)
                assert 10 < len(text) < len(whole)
            else:
                assert text == whole


def test_h15_interims_grow_into_their_final(played: list[Event]) -> None:
    heard = [event for event in played if event["type"] == "transcript" and event["role"] == "user"]
    assert len({event["participant"] for event in heard}) == len(CONVERSATIONS)
    for _, group in itertools.groupby(heard, key=lambda event: event["utterance"]):
        *interims, final = list(group)
        assert final["final"] is True
        assert len(interims) >= 2
        assert all(interim["final"] is False for interim in interims)
        texts = [interim["text"] for interim in interims]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise([*texts, final["text"]]))


def test_h15_speech_comes_in_pairs_around_each_reply(played: list[Event]) -> None:
    for run, conversation in zip(sessions(played), CONVERSATIONS, strict=True):
        kinds = [e["type"] for e in run if e["type"] in ("agent_speech_started", "agent_speech_finished")]
        replies = 1 + len(conversation.turns)
        assert kinds == ["agent_speech_started", "agent_speech_finished"] * replies
        finished = of(run, "agent_speech_finished")
        assert sum(event["interrupted"] for event in finished) == 1
        assert all(event["position"] > 1 for event in finished)
        spoke = [e["type"] for e in run if e["type"].startswith("user_speech_")]
        assert spoke == ["user_speech_started", "user_speech_finished"] * len(conversation.turns)


def test_the_offsets_of_the_deltas_match_the_text(played: list[Event]) -> None:
    for complete in of(played, "agent_text_complete"):
        deltas = of(played, "agent_text_delta", utterance=complete["utterance"])
        assert len(deltas) > 2
        text = ""
        for delta in deltas:
            assert delta["offset"] == len(text)
            text += delta["delta"]
        assert text == complete["text"]


def test_tools_errors_and_latencies_are_reported(played: list[Event]) -> None:
    for run, conversation in zip(sessions(played), CONVERSATIONS, strict=True):
        places = [turn.place for turn in conversation.turns if turn.place]
        calls = [event for event in run if event["type"].startswith("tool_call_")]
        assert [event["type"] for event in calls] == ["tool_call_started", "tool_call_finished"] * len(places)
        assert [event["arguments"] for event in calls[::2]] == [{"location": place} for place in places]
        for started, finished in zip(calls[::2], calls[1::2], strict=True):
            assert started["name"] == TOOL
            assert started["call_id"] == finished["call_id"]
            assert finished["is_error"] is False
        (error,) = of(run, "agent_error")
        assert (error["source"], error["recoverable"]) == ("llm", True)
        assert sum("e2e_latency" in event for event in of(run, "turn_metrics")) >= len(conversation.turns) - 1
        assert of(run, "usage_updated")


def test_h36_the_states_of_the_agent_follow_each_other(played: list[Event]) -> None:
    for run in sessions(played):
        changes = of(run, "agent_state_changed")
        assert {"listening", "thinking", "speaking"} <= {event["new_state"] for event in changes}
        assert all(a["new_state"] == b["old_state"] for a, b in itertools.pairwise(changes))


def test_h15_h16_it_shuts_down_in_order_when_stopped_and_plays_without_a_hub(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """On SIGTERM the session ends, publishes that, and the exit code is 0. Without a hub the conversation is played too."""
    hub = hub_factory().start()
    alone = tmp_path / "alone"
    alone.mkdir()
    with (
        AgentProcess(tmp_path, "--mode", "scripted", "--forever", HUB_URL=hub.url) as agent,
        AgentProcess(alone, "--speed", "40", HUB_URL=NO_HUB) as alone_agent,
    ):
        events_until(hub.url, "agent_speech_started")
        agent.signal(signal.SIGTERM)  # otherwise it plays forever
        assert agent.wait() == 0
        assert events_until(hub.url, "session_ended")[-1]["session"]
        assert alone_agent.wait() == 0
        assert "OPENAI_API_KEY not set: playing a scripted conversation" in alone_agent.output()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads the loaded libraries of a process from /proc")
def test_a_signal_during_the_imports_ends_it_in_order(tmp_path: Path) -> None:
    with AgentProcess(tmp_path, "--mode", "scripted", HUB_URL=NO_HUB) as agent:
        maps = Path(f"/proc/{agent.process.pid}/maps")
        until(lambda: "site-packages/livekit/" in maps.read_text(), "livekit's library to be loaded")
        agent.signal(signal.SIGINT)
        assert agent.wait() == 0
