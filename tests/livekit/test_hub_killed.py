"""A call goes on without its hub, which is killed in the middle and comes back: nothing is lost (H16)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .line import Line
from .speech import Recogniser, overlap
from .told import Told


def test_the_hub_is_killed_in_mid_call(
    open_line: Callable[..., Line], recogniser: Recogniser, subtests: pytest.Subtests
) -> None:
    """kill -9 while the caller asks. The answer is heard on time all the same; when the hub is back, its stream has
    everything, in order, once, and it knows the agent again and can stop it."""
    line = open_line()
    agent = line.start_agent(mode="worker")
    caller = line.call("weather-2", "caller_2")
    greeting = caller.wait("heard_ended")
    asking = caller.say("What is the weather in London?")
    caller.wait("said_started", number=asking)
    line.hub.kill()
    question = caller.wait("said_ended", number=asking)
    answering = caller.wait("heard_started", after=question["time"])
    answer = caller.wait("heard_ended", number=answering["number"])
    line.hub.start()
    back = caller.ask("What is the weather in Boston?")
    last = caller.wait("heard_ended", number=back[1]["number"])
    caller.leave()
    ended = line.wait_event("session_ended")
    events = line.events()
    told = Told(events, ended["session"])

    with subtests.test("H16: the conversation has not noticed"):
        # A publisher that waited for its hub would hold the answer back for seconds. The first answer of a call is a
        # little slower than the second anyway, and beside other work on two cores more than a little.
        without, again = answering["time"] - question["time"], back[1]["time"] - back[0]["time"]
        assert without < 2 * again + 1.5
        assert all(event["type"] != "agent_error" for event in told.events)

    with subtests.test("everything is there, in order, once, for whoever watched all the time and for the history"):
        assert told.events[0]["type"] == "session_started"
        assert told.events[-1] is ended
        ids = [event["event_id"] for event in told.events]
        assert len(set(ids)) == len(ids)
        assert ids == [event["event_id"] for event in line.kept() if event.get("session") == ended["session"]]
        assert told.all("events_dropped") == []
        assert not any(event["type"] == "stream_gap" for event in events)

    with subtests.test("what was said while the hub was away is as true as the rest"):
        hello, first, second = told.replies()
        assert len(told.finals()) == 2
        assert len(told.all("tool_call_started")) == len(told.all("tool_call_finished")) == 2
        assert overlap(first.transcript["text"], recogniser.file(answer["path"])) >= 0.6
        first.assert_heard(answering, answer)
        second.assert_heard(back[1], last)
        assert hello.finished["timestamp"] == pytest.approx(greeting["time"], abs=1.5)
        assert told.in_order(told.finals()[0], first.started, first.finished, told.finals()[1], second.started)

    with subtests.test("the new hub knows the agent, and can stop it"):
        status = line.status()
        assert status["status"] == "ready"
        assert (status["agent_id"], status["pid"]) == (agent["agent_id"], agent["pid"])
    line.stop_agent()
