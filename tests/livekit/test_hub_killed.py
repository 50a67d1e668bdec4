"""The hub is killed during a call and comes back: the call goes on, and no event is lost (H16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from .line import Line
from .session_events import SOON, Event, SessionEvents, undisturbed
from .speech import Recogniser, overlap


@dataclass
class Call:
    """A call in which the hub was killed: the caller's notes, and the hub's events since it is back."""

    events: list[Event]
    seen: SessionEvents
    greeting: Event
    """When it was over."""
    without: tuple[Event, Event, Event]
    """The end of the question, the first and the last sound of the answer: while there was no hub."""
    again: tuple[Event, Event, Event]
    ended: Event

    def assert_prompt(self, recogniser: Recogniser) -> None:
        """A publisher that waited for its hub would hold the answer back for seconds. The first answer of a call is a
        little slower than the second anyway, and beside other work on two cores more than a little."""
        without, again = (answering["time"] - asked["time"] for asked, answering, _ in (self.without, self.again))
        assert without < 2 * again + 1.5
        hello, first, second = self.seen.replies()
        assert ["weather" in final["text"].lower() for final in self.seen.finals()] == [True, True]
        assert overlap(first.transcript["text"], recogniser.file(self.without[2]["path"])) >= 0.6
        first.assert_heard(*self.without[1:])
        second.assert_heard(*self.again[1:])
        assert hello.finished["timestamp"] == pytest.approx(self.greeting["time"], abs=SOON)


def call(line: Line, room: str) -> Call:
    caller = line.call(room, f"caller_{room}")
    greeting = caller.wait("heard_ended")
    asking = caller.say("What is the weather in London?")
    caller.wait("said_started", number=asking)
    line.hub.kill()
    question = caller.wait("said_ended", number=asking)
    answering = caller.wait("heard_started", after=question["time"])
    answer = caller.wait("heard_ended", number=answering["number"])
    line.hub.start()
    asked, replying = caller.ask("What is the weather in Boston?")
    reply = caller.wait("heard_ended", number=replying["number"])
    caller.leave()
    session = line.wait_event("session_started", room=room)["session"]
    ended = line.wait_event("session_ended", session=session)
    events = line.events()
    without, again = (question, answering, answer), (asked, replying, reply)
    return Call(events, SessionEvents(events, session), greeting, without, again, ended)


def test_the_hub_is_killed_in_mid_call(
    open_line: Callable[..., Line], recogniser: Recogniser, subtests: pytest.Subtests
) -> None:
    """kill -9 while the caller asks. The answer is heard on time all the same; when the hub is back, its stream has
    everything, in order, once, and it knows the agent again and can stop it."""
    line = open_line()
    agent = line.start_agent(mode="worker")
    done = undisturbed(lambda number: call(line, f"weather-{number}"), lambda done: done.assert_prompt(recogniser))
    events, seen = done.events, done.seen

    with subtests.test("H16: the conversation has not noticed"):
        done.assert_prompt(recogniser)
        assert all(event["type"] != "agent_error" for event in seen.events)

    with subtests.test("stream and history have every event once, in order"):
        assert seen.events[0]["type"] == "session_started"
        assert seen.events[-1] is done.ended
        ids = [event["event_id"] for event in seen.events]
        assert len(set(ids)) == len(ids)
        assert ids == [event["event_id"] for event in line.stored() if event.get("session") == done.ended["session"]]
        assert seen.all("events_dropped") == []
        assert not any(event["type"] == "stream_gap" for event in events)

    with subtests.test("what was said while the hub was away is as true as the rest"):
        _, first, second = seen.replies()
        assert len(seen.finals()) == 2
        assert len(seen.all("tool_call_started")) == len(seen.all("tool_call_finished")) == 2
        assert seen.in_order(seen.finals()[0], first.started, first.finished, seen.finals()[1], second.started)

    with subtests.test("the new hub knows the agent, and can stop it"):
        status = line.status()
        assert status["status"] == "ready"
        assert (status["agent_id"], status["pid"]) == (agent["agent_id"], agent["pid"])
    line.stop_agent()
