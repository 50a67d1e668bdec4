"""A call over a real LiveKit server, with real speech: what the hub tells of it is what happened (H13 H15 H16 H17 H36 D08)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .caller import Caller
from .line import Line
from .openai_standin import GREETING, STORY
from .speech import Recogniser, overlap
from .told import SOON, Event, Reply, Told, undisturbed

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
    """One call: what the caller noted, and what the hub has told."""

    caller: Caller
    events: list[Event]
    """Of all calls so far."""
    told: Told
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
        return self.told.replies()

    @property
    def waited(self) -> float:
        """Seconds from the end of the question to the first sound of the answer."""
        return float(self.heard[1][0]["time"]) - float(self.asked["time"])

    def assert_prompt(self) -> None:
        """Events come while the call goes on, not after it; speech is told as it is audible; who is interrupted is silent."""
        # Of the user's speech LiveKit says when it began, once it is sure.
        prompt = [event for event in self.told.events if not event["type"].startswith("user_")]
        assert [event for event in prompt if event["_seen"] - event["timestamp"] > SOON] == []
        assert [reply.finished["interrupted"] for reply in self.replies] == [False, False, True, False]
        for reply, heard in zip(self.replies, self.heard, strict=True):
            reply.assert_heard(*heard)
        assert 0 < self.heard[2][1]["time"] - self.stop["time"] < 3
        latency = self.told.metrics(self.replies[1].transcript)["e2e_latency"]
        assert self.waited - SOON < latency <= self.waited + 0.3
        assert all(figure < 10 for metrics in self.told.all("turn_metrics") for figure in figures(metrics).values())
        assert self.told.one("tool_call_finished")["duration"] < 5
        assert self.ended["timestamp"] - self.left["time"] < 10

    def assert_understood(self, recogniser: Recogniser) -> None:
        """What was heard on either side is what the hub says was said."""
        for reply, (_, end), share in zip(self.replies, self.heard, (0.7, 0.6, 0.6, 0.5), strict=True):
            assert overlap(reply.transcript["text"], recogniser.file(end["path"])) >= share, reply.transcript
        for final, text in zip(self.told.finals(), SAID, strict=True):
            assert overlap(text, final["text"]) >= 0.6, final
        for final, word in zip(self.told.finals(), ("weather", "story"), strict=False):
            assert word in final["text"].lower()  # by which the model knows what is wanted


def figures(metrics: Event) -> dict[str, float]:
    return {name: metrics[name] for name in LATENCIES & metrics.keys()}


def call(line: Line, room: str) -> Call:
    """Be greeted, ask, be answered with a tool's help, interrupt, and leave."""
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
    told = Told(events, session)
    return Call(caller, events, told, [hello, answer, story, bye], asked, stop, left, ended)


def test_a_call(open_line: Callable[..., Line], recogniser: Recogniser, subtests: pytest.Subtests) -> None:
    """A worker is registered, a caller is greeted, asks, is answered with a tool's help, interrupts, and leaves."""
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
    caller, events, told, left, ended = done.caller, done.events, done.told, done.left, done.ended
    room, caller_identity = ended["room"], f"caller_{ended['room']}"

    with subtests.test("the stream and the history have the same, in the same order, each event once"):
        kept = line.kept()
        assert [event["event_id"] for event in told.events] == [
            event["event_id"] for event in kept if event.get("session") == ended["session"]
        ]
        assert len({event["event_id"] for event in told.events}) == len(told.events)
        assert len({event["_id"] for event in events}) == len(events)

    with subtests.test("H15: from session_started to session_ended, with room and participants"):
        first = told.one("session_started")
        assert told.events[0] is first
        assert told.events[-1] is ended
        assert told.one("agent_ready")
        assert all(event["room"] == room for event in told.events)
        agents = {event["participant"] for event in told.events if event.get("role") == "agent"}
        users = {event["participant"] for event in told.events if event.get("role") == "user"}
        assert users == {caller_identity}
        assert agents == {caller.wait("subscribed")["identity"]}
        assert ended["reason"] == "participant_disconnected"
        assert ended["timestamp"] >= left["time"]

    replies = done.replies
    finals = told.finals()
    with subtests.test("every reply is one pair, every sentence of the caller's one final"):
        assert [reply.finished["interrupted"] for reply in replies] == [False, False, True, False]
        assert len(finals) == 3
        assert told.all("agent_error") == []
    hello, weather, story, bye = replies
    telling, cut_off = done.heard[2]

    with subtests.test("what was heard on either side is what the hub says was said"):
        done.assert_understood(recogniser)
        assert hello.transcript["text"] == GREETING

    with subtests.test("it is told as it happens, speech when it begins and ends"):
        done.assert_prompt()

    with subtests.test("the tool's pair lies between the question and the answer"):
        started, finished = told.one("tool_call_started"), told.one("tool_call_finished")
        assert started["name"] == finished["name"] == "lookup_weather"
        assert started["arguments"] == {"location": "London"}
        assert finished["call_id"] == started["call_id"]
        assert finished["is_error"] is False
        assert finished["duration"] > 0
        assert finished["output"] in weather.transcript["text"]
        assert told.in_order(finals[0], started, finished, weather.started)

    with subtests.test("an interruption: the agent falls silent, and its words are those that were heard"):
        assert story.transcript["interrupted"] is True
        assert story.finished["position"] == pytest.approx(cut_off["time"] - telling["time"], abs=SOON)
        spoken = story.transcript["text"]
        assert 10 < len(spoken) < len(STORY) - 50
        assert STORY.startswith(spoken.rstrip(" .,…"))
        assert told.in_order(story.finished, bye.started)
        assert not any(reply.transcript.get("interrupted") for reply in (hello, weather, bye))

    with subtests.test("latencies are no longer than what the caller measured, and none is 0 for missing"):
        assert told.metrics(weather.transcript)["e2e_latency"] > 0
        for metrics in told.all("turn_metrics"):
            assert figures(metrics)
            assert all(figure > 0 for figure in figures(metrics).values()), metrics
        assert "e2e_latency" not in told.metrics(hello.transcript)
        assert told.metrics(finals[0])["transcription_delay"] <= done.waited

    with subtests.test("H36: the states in which the agent is, and the user"):
        states = [event["new_state"] for event in told.all("agent_state_changed")]
        assert states[-1] in ("listening", "idle")
        assert {"listening", "thinking", "speaking"} <= set(states)
        for event, following in zip(told.all("agent_state_changed"), told.all("agent_state_changed")[1:], strict=False):
            assert following["old_state"] == event["new_state"]
        assert len(told.all("user_speech_started")) == len(told.all("user_speech_finished")) == 3

    with subtests.test("usage by model, only ever growing"):
        usage = told.all("usage_updated")
        assert usage
        tokens = [sum(m.get("output_tokens", 0) for m in event["model_usage"]) for event in usage]
        assert tokens == sorted(tokens)
        assert len({str(event["model_usage"]) for event in usage}) == len(usage)

    with subtests.test("H16: the room has its own transcription all the same, of both"):
        agent = caller.wait("subscribed")["identity"]
        shown = [note for note in caller.notes if note["what"] == "transcription" and note["final"]]
        assert overlap(GREETING, " ".join(n["text"] for n in shown if n["identity"] == agent)) >= 0.9
        assert overlap(finals[0]["text"], " ".join(n["text"] for n in shown if n["identity"] == caller_identity)) >= 0.9

    with subtests.test("LiveKit's own webhooks are broadcast"):
        line.wait_event("livekit_room_finished", room=room)
        hooks = [event for event in line.events() if event["type"].startswith("livekit_")]
        assert {event["room"] for event in hooks} == {one["room"] for one in line.events() if "session" in one}
        hooks = [event for event in hooks if event["room"] == room]
        kinds = [event["type"] for event in hooks]
        assert kinds[0] == "livekit_room_started"
        assert kinds[-1] == "livekit_room_finished"
        assert {e.get("participant") for e in hooks if e["type"] == "livekit_participant_joined"} == users | agents
        assert kinds.count("livekit_track_published") == 2

    line.stop_agent()
    assert not line.standin.troubles

    session = line.hub.get(f"/api/sessions/{ended['session']}")
    with subtests.test("H32 D04: the session is what happened, turn by turn"):
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
        of_room = [event for event in line.kept() if event.get("room") == room]
        assert counts["events"] == len(of_room) > len(told.events), "LiveKit's webhooks are part of it"
        assert session["duration"] == pytest.approx(ended["timestamp"] - told.events[0]["timestamp"])
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
