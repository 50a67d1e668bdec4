"""A call over a real LiveKit server, with real speech: the hub reports what happened (H13 H15 H16 H17 H36 D08)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .caller import Caller
from .line import Line
from .openai_standin import GREETING, STORY
from .session_events import SOON, Event, Reply, SessionEvents, undisturbed
from .speech import Recogniser, overlap

SAID = ("What is the weather in London?", "Please tell me a long story.", "Please stop, thank you.")

LATENCIES = {
    "transcription_delay",
    "end_of_turn_delay",
    "on_user_turn_completed_delay",
    "llm_node_ttft",
    "tts_node_ttfb",
    "playback_latency",
    "e2e_latency",
}


@dataclass
class Call:
    """A call: the caller's notes, and the hub's events."""

    caller: Caller
    events: list[Event]
    """The events of all calls so far."""
    seen: SessionEvents
    heard: list[tuple[Event, Event]]
    """When each of the agent's replies began and ended."""
    asked: Event
    """When the question about the weather was over."""
    stop: Event
    """When the caller began to interrupt."""
    left: Event
    ended: Event

    @property
    def replies(self) -> list[Reply]:
        return self.seen.replies()

    @property
    def waited(self) -> float:
        """Seconds from the end of the question to the first sound of the answer."""
        return float(self.heard[1][0]["time"]) - float(self.asked["time"])

    def assert_prompt(self) -> None:
        """Events arrive during the call, speech when it is audible; after an interruption the agent is silent."""
        # LiveKit dates the user's speech back, and reports no changes of configuration: attach finds them later.
        prompt = [e for e in self.seen.events if not e["type"].startswith(("user_", "agent_config_update"))]
        assert [event for event in prompt if event["_seen"] - event["timestamp"] > SOON] == []
        assert [reply.finished["interrupted"] for reply in self.replies] == [False, False, True, False]
        for reply, heard in zip(self.replies, self.heard, strict=True):
            reply.assert_heard(*heard)
        assert 0 < self.heard[2][1]["time"] - self.stop["time"] < 3
        latency = self.seen.metrics(self.replies[1].transcript)["e2e_latency"]
        assert self.waited - SOON < latency <= self.waited + 0.3
        assert all(figure < 10 for metrics in self.seen.all("turn_metrics") for figure in figures(metrics).values())
        assert self.seen.only("tool_call_finished")["duration"] < 5
        assert self.ended["timestamp"] - self.left["time"] < 10

    def assert_understood(self, recogniser: Recogniser) -> None:
        """The words heard on either side are those that the hub reports."""
        for reply, (_, end), share in zip(self.replies, self.heard, (0.7, 0.6, 0.6, 0.5), strict=True):
            assert overlap(reply.transcript["text"], recogniser.file(end["path"])) >= share, reply.transcript
        for final, text in zip(self.seen.finals(), SAID, strict=True):
            assert overlap(text, final["text"]) >= 0.6, final
        for final, word in zip(self.seen.finals(), ("weather", "story"), strict=False):
            assert word in final["text"].lower()  # by which the model knows what is wanted


def figures(metrics: Event) -> dict[str, float]:
    return {name: metrics[name] for name in LATENCIES & metrics.keys()}


def call(line: Line, room: str) -> Call:
    """The caller is greeted, asks, gets an answer from a tool, interrupts, and leaves."""
    caller = line.call(room, f"caller_{room}")
    hello = caller.wait("heard_started"), caller.wait("heard_ended")
    asked, answering = caller.ask(SAID[0])
    answer = answering, caller.wait("heard_ended", number=answering["number"])
    _, telling = caller.ask(SAID[1])
    interrupting = caller.say(SAID[2], at=telling["time"] + 5)  # in the third sentence
    story = telling, caller.wait("heard_ended", number=telling["number"])
    stop = caller.wait("said_started", number=interrupting)
    stopped = caller.wait("said_ended", number=interrupting)
    parting = caller.wait("heard_started", after=stopped["time"])
    bye = parting, caller.wait("heard_ended", number=parting["number"])
    caller.leave()
    left = caller.wait("left")
    session = line.wait_event("session_started", room=room)["session"]
    ended = line.wait_event("session_ended", session=session)
    events = line.events()
    seen = SessionEvents(events, session)
    return Call(caller, events, seen, [hello, answer, story, bye], asked, stop, left, ended)


def test_a_call(open_line: Callable[..., Line], recogniser: Recogniser, subtests: pytest.Subtests) -> None:
    """A worker registers; a caller is greeted, asks, gets an answer from a tool, interrupts, and leaves."""
    line = open_line()
    status = line.start_agent(mode="worker")
    with subtests.test("H13 H15: the agent is ready when it is registered, and not before"):
        ready = line.wait_event("agent_ready")
        assert ready["agent_id"] == status["agent_id"]
        assert status["mode"] == "worker"
        assert line.events()[0]["type"] == "agent_process_started"

    def judge(done: Call) -> None:
        done.assert_prompt()
        done.assert_understood(recogniser)

    done = undisturbed(lambda number: call(line, f"weather-{number}"), judge)
    caller, events, seen, left, ended = done.caller, done.events, done.seen, done.left, done.ended
    room, caller_identity = ended["room"], f"caller_{ended['room']}"

    with subtests.test("stream and history have the same events, in the same order, each once"):
        stored = line.stored()
        assert [event["event_id"] for event in seen.events] == [
            event["event_id"] for event in stored if event.get("session") == ended["session"]
        ]
        assert len({event["event_id"] for event in seen.events}) == len(seen.events)
        assert len({event["_id"] for event in events}) == len(events)

    with subtests.test("H15: from session_started to session_ended, with room and participants"):
        first = seen.only("session_started")
        assert seen.events[0] is first
        assert seen.events[-1] is ended
        assert seen.only("agent_ready")
        assert all(event["room"] == room for event in seen.events)
        agents = {event["participant"] for event in seen.events if event.get("role") == "agent"}
        users = {event["participant"] for event in seen.events if event.get("role") == "user"}
        assert users == {caller_identity}
        assert agents == {caller.wait("subscribed")["identity"]}
        assert ended["reason"] == "participant_disconnected"
        assert ended["timestamp"] >= left["time"]

    replies = done.replies
    finals = seen.finals()
    with subtests.test("one speech pair per reply, one final transcript per sentence of the caller"):
        assert [reply.finished["interrupted"] for reply in replies] == [False, False, True, False]
        assert len(finals) == 3
        assert seen.all("agent_error") == []
    hello, weather, story, bye = replies
    telling, cut_off = done.heard[2]

    with subtests.test("the words heard on either side are those that the hub reports"):
        done.assert_understood(recogniser)
        assert hello.transcript["text"] == GREETING

    with subtests.test("events arrive as things happen, speech when it begins and ends"):
        done.assert_prompt()

    with subtests.test("the tool's pair lies between the question and the answer"):
        started, finished = seen.only("tool_call_started"), seen.only("tool_call_finished")
        assert started["name"] == finished["name"] == "lookup_weather"
        assert started["arguments"] == {"location": "London"}
        assert finished["call_id"] == started["call_id"]
        assert finished["is_error"] is False
        assert finished["duration"] > 0
        assert finished["output"] in weather.transcript["text"]
        assert seen.in_order(finals[0], started, finished, weather.started)

    with subtests.test("after an interruption the agent is silent, and its transcript has what was heard"):
        assert story.transcript["interrupted"] is True
        assert story.finished["position"] == pytest.approx(cut_off["time"] - telling["time"], abs=SOON)
        spoken = story.transcript["text"]
        assert 10 < len(spoken) < len(STORY) - 50
        assert STORY.startswith(spoken.rstrip(" .,…"))
        assert seen.in_order(story.finished, bye.started)
        assert not any(reply.transcript.get("interrupted") for reply in (hello, weather, bye))

    with subtests.test("latencies are at most what the caller measured, and a missing latency is absent, not 0"):
        assert seen.metrics(weather.transcript)["e2e_latency"] > 0
        for metrics in seen.all("turn_metrics"):
            assert figures(metrics)
            assert all(figure > 0 for figure in figures(metrics).values()), metrics
        assert "e2e_latency" not in seen.metrics(hello.transcript)
        assert seen.metrics(finals[0])["transcription_delay"] <= done.waited

    with subtests.test("H36: states of the agent and the user"):
        states = [event["new_state"] for event in seen.all("agent_state_changed")]
        assert states[-1] in ("listening", "idle")
        assert {"listening", "thinking", "speaking"} <= set(states)
        for event, following in zip(seen.all("agent_state_changed"), seen.all("agent_state_changed")[1:], strict=False):
            assert following["old_state"] == event["new_state"]
        assert len(seen.all("user_speech_started")) == len(seen.all("user_speech_finished")) == 3

    with subtests.test("usage per model only grows"):
        usage = seen.all("usage_updated")
        assert usage
        tokens = [sum(m.get("output_tokens", 0) for m in event["model_usage"]) for event in usage]
        assert tokens == sorted(tokens)
        assert len({str(event["model_usage"]) for event in usage}) == len(usage)

    with subtests.test("H16: the room still gets its own transcription of both sides"):
        agent = caller.wait("subscribed")["identity"]
        shown = [note for note in caller.notes if note["what"] == "transcription" and note["final"]]
        assert overlap(GREETING, " ".join(n["text"] for n in shown if n["identity"] == agent)) >= 0.9
        assert overlap(finals[0]["text"], " ".join(n["text"] for n in shown if n["identity"] == caller_identity)) >= 0.9

    with subtests.test("LiveKit's own webhooks are broadcast"):
        line.wait_event("livekit_room_finished", room=room)
        hooks = [event for event in line.events() if event["type"].startswith("livekit_")]
        assert {event["room"] for event in hooks} == {event["room"] for event in line.events() if "session" in event}
        hooks = [event for event in hooks if event["room"] == room]
        kinds = [event["type"] for event in hooks]
        assert kinds[0] == "livekit_room_started"
        assert kinds[-1] == "livekit_room_finished"
        assert {e.get("participant") for e in hooks if e["type"] == "livekit_participant_joined"} == users | agents
        assert kinds.count("livekit_track_published") == 2

    line.stop_agent()
    assert not line.standin.troubles

    session = line.hub.get(f"/api/sessions/{ended['session']}")
    with subtests.test("H32 D04: the session reports what happened, turn by turn"):
        assert (session["room"], session["status"], session["reason"]) == (
            room,
            "ended",
            "participant_disconnected",
        )
        spoken = [(turn.get("user", {}).get("text"), turn["agent"]["text"]) for turn in session["turns"]]
        asked = [None, *(final["text"] for final in finals)]
        assert spoken == list(zip(asked, [reply.transcript["text"] for reply in replies], strict=True))
        assert [turn["agent"]["interrupted"] for turn in session["turns"]] == [False, False, True, False]
        assert [len(turn.get("tools", [])) for turn in session["turns"]] == [0, 1, 0, 0]
        counts = session["counts"]
        assert (counts["turns"], counts["interruptions"], counts["tool_calls"], counts["errors"]) == (4, 1, 1, 0)
        of_room = [event for event in line.stored() if event.get("room") == room]
        assert counts["events"] == len(of_room) > len(seen.events), "including LiveKit's webhooks"
        assert session["duration"] == pytest.approx(ended["timestamp"] - seen.events[0]["timestamp"])
        heard = [end["time"] - begin["time"] for begin, end in done.heard[1:3]]
        assert session["speech"]["agent"] > sum(heard) - 2 * SOON

    with subtests.test("H32: where its time went adds up to what the caller waited"):
        assert "total" not in session["turns"][0].get("latency", {})
        for turn in session["turns"][1:]:
            latency = turn["latency"]
            assert latency["measured"] == "e2e_latency"
            parts = sum(part["seconds"] for part in latency["parts"])
            assert latency["total"] == pytest.approx(parts + latency.get("unaccounted", 0) - latency.get("overlap", 0))
            assert all(part["seconds"] > 0 for part in latency["parts"])
        waited = session["turns"][1]["latency"]
        assert done.waited - SOON < waited["total"] <= done.waited + 0.3
        assert "tools" in {part["name"] for part in waited["parts"]}
        assert session["latency"]["e2e_latency"]["count"] == 3
        (whole,) = line.hub.get(f"/api/rooms?room={room}")["rooms"]
        assert whole["latency"]["e2e_latency"] == session["latency"]["e2e_latency"]
