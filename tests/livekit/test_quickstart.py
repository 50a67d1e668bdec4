"""LiveKit's quickstart agent with `attach(session)` added, started by the hub (H13 H15)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import requests

from ..hubs import PATIENCE, ROOT
from .line import Line
from .openai_standin import Trouble
from .session_events import Event, SessionEvents, undisturbed
from .speech import Recogniser, overlap

AGENT = ROOT / "examples" / "attach" / "agent.py"
CHAT = "/v1/chat/completions"


@dataclass
class Call:
    room: str
    seen: SessionEvents
    greeting: tuple[Event, Event]
    asked: Event
    answer: tuple[Event, Event]

    def assert_seen(self, recogniser: Recogniser) -> None:
        """The hub reports what is heard on either side, when it is heard."""
        hello, reply = self.seen.replies()
        hello.assert_heard(*self.greeting)
        reply.assert_heard(*self.answer)
        began, ended = self.answer
        assert overlap(reply.transcript["text"], recogniser.file(ended["path"])) >= 0.6
        (final,) = self.seen.finals()
        assert overlap("Do you like music?", final["text"]) >= 0.6
        waited = began["time"] - self.asked["time"]
        assert self.seen.metrics(reply.transcript)["e2e_latency"] <= waited + 0.3


def call(line: Line, room: str) -> Call:
    line.standin.requests.clear()
    caller = line.call(room, f"caller_{room}", agent="my-agent")  # its name: it takes no call that does not ask for it
    greeting = caller.wait("heard_started"), caller.wait("heard_ended")
    line.standin.troubles[CHAT] = Trouble(status=500)  # once: LiveKit tries again
    question, answering = caller.ask("Do you like music?")
    answer = answering, caller.wait("heard_ended", number=answering["number"])
    caller.leave()
    session = line.wait_event("session_started", room=room)["session"]
    line.wait_event("session_ended", session=session)
    return Call(room, SessionEvents(line.events(), session), greeting, question, answer)


def test_the_one_line(open_line: Callable[..., Line], recogniser: Recogniser, subtests: pytest.Subtests) -> None:
    """A user's own program starts, becomes ready, is observed, shows its log and stops like the project's agent."""
    line = open_line(any_load=True, HUB_AGENT=shlex.join([sys.executable, str(AGENT), "dev"]))
    status = line.start_agent()
    done = undisturbed(lambda number: call(line, f"quick-{number}"), lambda done: done.assert_seen(recogniser))
    seen = done.seen

    with subtests.test("all it hears and says is seen"):
        done.assert_seen(recogniser)
        assert seen.metrics(seen.replies()[1].transcript)["e2e_latency"] > 0
        assert {event["room"] for event in seen.events} == {done.room}

    with subtests.test("an error of the model's is seen, and that it was none for the caller"):
        error = seen.only("agent_error")
        assert error["recoverable"] is True
        assert error["source"] == "llm"
        assert "sk-of" not in error["message"]
        assert len(line.standin.asked(CHAT)) == 3
        assert seen.in_order(seen.finals()[0], error, seen.replies()[1].started)

    with subtests.test("ready, status, log and stop are those of any agent"):
        assert line.wait_event("agent_ready")["agent_id"] == status["agent_id"]
        log = requests.get(f"{line.hub.url}/api/agent/logs", timeout=PATIENCE).text
        assert "registered worker" in log
        assert line.standin.asked(CHAT)
        assert "sk-of-the-stand-in" not in log
        line.stop_agent()
        assert line.wait_event("agent_process_exited")["agent"] == status["agent_id"]
