"""The one line: an agent as in LiveKit's own quickstart, with `attach(session)` added, started by the hub (H13 H15)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable

import pytest
import requests

from ..hubs import PATIENCE, ROOT
from .line import Line
from .openai_standin import Trouble
from .speech import Recogniser, overlap
from .told import Told

AGENT = ROOT / "examples" / "attach" / "agent.py"


def test_the_one_line(open_line: Callable[..., Line], recogniser: Recogniser, subtests: pytest.Subtests) -> None:
    """Somebody else's program is started, becomes ready, is seen, shows its log and is stopped as ours is."""
    line = open_line(any_load=True, HUB_AGENT=shlex.join([sys.executable, str(AGENT), "dev"]))
    status = line.start_agent()
    caller = line.call("quick-1", "caller_1", agent="my-agent")  # its name: it takes no call that does not ask for it
    greeting = caller.wait("heard_ended")
    line.standin.troubles["/v1/chat/completions"] = Trouble(status=500)  # once: LiveKit tries again
    question, answering = caller.ask("Do you like music?")
    answer = caller.wait("heard_ended", number=answering["number"])
    caller.leave()
    ended = line.wait_event("session_ended")
    told = Told(line.events(), ended["session"])
    hello, reply = told.replies()

    with subtests.test("all it hears and says is seen"):
        hello.assert_heard(caller.wait("heard_started"), greeting)
        reply.assert_heard(answering, answer)
        assert overlap(reply.transcript["text"], recogniser.file(answer["path"])) >= 0.6
        (final,) = told.finals()
        assert overlap("Do you like music?", final["text"]) >= 0.6
        assert 0 < told.metrics(reply.transcript)["e2e_latency"] <= answering["time"] - question["time"] + 0.3
        assert all(event["room"] == "quick-1" for event in told.events)

    with subtests.test("an error of the model's is seen, and that it was none for the caller"):
        error = told.one("agent_error")
        assert error["recoverable"] is True
        assert error["source"] == "llm"
        assert "sk-of" not in error["message"]
        assert len(line.standin.asked("/v1/chat/completions")) == 3
        assert told.in_order(told.finals()[0], error, reply.started)

    with subtests.test("ready, status, log and stop are those of any agent"):
        assert line.wait_event("agent_ready")["agent_id"] == status["agent_id"]
        log = requests.get(f"{line.hub.url}/api/agent/logs", timeout=PATIENCE).text
        assert "registered worker" in log
        assert line.standin.asked("/v1/chat/completions")
        assert "sk-of-the-stand-in" not in log
        line.stop_agent()
        assert line.wait_event("agent_process_exited")["agent"] == status["agent_id"]
