"""HUB_ALERTS: its rules, and what breaks them (issue 18)."""

from __future__ import annotations

from typing import Any

import pytest

from event_hub.events import check
from event_hub.server.alerts.evaluation import CLEARED, DAMPING, ENOUGH, RAISED, Evaluation
from event_hub.server.alerts.rules import QUIET, parse

SLOW = "e2e p95 over 5m > 2s"


class Log:
    """A log that an evaluation follows, and publishes to."""

    def __init__(self, rules: str, history: list[dict[str, Any]] | None = None) -> None:
        self.evaluation = Evaluation(parse(rules))
        self.now = 1000.0
        self.events: list[dict[str, Any]] = []
        self.publish(*(history or ()))

    def publish(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.events.append(event)
            self.evaluation.take(event, len(self.events), event.get("timestamp", self.now))

    def step(self, seconds: float = 1.0) -> list[dict[str, Any]]:
        """After so many seconds: what is published."""
        self.now += seconds
        due = list(self.evaluation.due(self.now))
        for event in due:
            check({**event, "timestamp": self.now})
            self.publish({**event, "timestamp": self.now})
        return due

    def turns(self, *latencies: float, session: str = "s1") -> None:
        for latency in latencies:
            self.publish({"type": "turn_metrics", "session": session, "e2e_latency": latency, "timestamp": self.now})


def started(session: str = "s1", agent: str = "Weather", **fields: Any) -> dict[str, Any]:
    return {"type": "session_started", "session": session, "agent": agent, "room": "demo", **fields}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("e2e", "is not a rule"), ("e2e p95 > 2s", "is not a rule"), ("e2e p95 over 5m > fast", "not a duration"),
        ("e2e p95 over soon > 2s", "not a duration"), ("lunch p95 over 5m > 2s", "is not a latency: e2e, llm"),
        ("e2e p0 over 5m > 2s", "not a percentile"), ("e2e p95 over 2d > 2s", "more than a day"), ("silent", "is not a rule"),
        ("silent -5s", "not a duration"), ("error; error", "twice"), ("crash in room a in room b", "two rooms"),
        ("; ".join(f"silent {n}s" for n in range(1, 60)), "limit is 50"), ("error in room", "is not a rule"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_rules_are_read() -> None:
    slow, error, silent, crash = parse(
        "llm p99 over 10m > 500ms of agent W* in room support-*; error\n silent  1m ;crash over 1h;"
    )
    assert (slow.figure, slow.share, slow.window, slow.limit) == ("llm_node_ttft", 0.99, 600, 0.5)
    assert (slow.room, slow.agent) == ("support-*", "W*")
    assert (error.window, silent.limit, crash.window) == (QUIET, 60, 3600)
    assert slow.concerns("Weather", "support-1")
    assert not slow.concerns("Weather", "other")
    assert not slow.concerns(None, "support-1")
    assert parse("") == ()


def test_a_slow_percentile_is_raised_once_and_cleared_with_hysteresis() -> None:
    log = Log(SLOW)
    log.publish(started())
    log.turns(*[3.0] * (ENOUGH - 1))
    assert log.step() == []
    log.turns(3.0)
    (raised,) = log.step()
    assert (raised["type"], raised["agent"], raised["value"], raised["threshold"]) == (RAISED, "Weather", 3.0, 2.0)
    assert [log.step() for _ in range(20)] == [[]] * 20
    log.step(200)
    log.turns(*[1.9] * 200)  # better than the limit, but not by enough
    assert log.step() == []
    log.step(150)
    log.turns(*[1.0] * 4000)
    (cleared,) = log.step()
    assert (cleared["type"], cleared["value"]) == (CLEARED, 1.0)
    assert cleared["event_id"] == f"{raised['event_id']}-cleared"
    log.turns(*[9.0] * 4000)
    assert log.step(DAMPING / 2) == []
    assert [event["type"] for event in log.step(DAMPING)] == [RAISED]


def test_without_turns_an_alert_ends() -> None:
    log = Log(SLOW)
    log.publish(started())
    log.turns(*[3.0] * ENOUGH)
    assert len(log.step()) == 1
    assert [event["type"] for event in log.step(301)] == [CLEARED]
    assert log.step() == []


def test_an_error_and_a_crash() -> None:
    log = Log("error; crash over 1m in room demo")
    log.publish(started(), {"type": "agent_error", "session": "s1", "room": "demo", "message": "no quota"})
    (raised,) = log.step()
    assert (raised["rule"], raised["agent"], raised["session"], raised["value"]) == (
        "error",
        "Weather",
        "s1",
        "no quota",
    )
    log.publish({"type": "agent_process_exited", "agent": "ag_1", "room": "demo", "reason": "stopped", "code": 1})
    assert log.step() == []
    log.publish({"type": "agent_process_exited", "agent": "ag_1", "room": "other", "reason": "crashed", "code": 1})
    assert log.step() == []
    log.publish({"type": "agent_process_exited", "agent": "ag_1", "room": "demo", "reason": "crashed", "code": 1})
    assert [event["about"] for event in log.step()] == ["ag_1"]
    assert [event["rule"] for event in log.step(61)] == ["crash over 1m in room demo"]
    assert [event["rule"] for event in log.step(QUIET)] == ["error"]


def test_a_silent_session() -> None:
    log = Log("silent 30s")
    log.publish(started(), started("s2", "Other"), {"type": "session_ended", "session": "s2"})
    assert log.step(20) == []
    log.publish({"type": "agent_text_delta", "session": "s1"})
    assert log.step(20) == []
    (raised,) = log.step(20)
    assert (raised["session"], raised["agent"], raised["threshold"]) == ("s1", "Weather", 30)
    assert log.step(100) == []
    log.publish({"type": "transcript", "session": "s1"})
    assert [event["type"] for event in log.step()] == [CLEARED]
    log.step(DAMPING)
    log.publish({"type": "session_ended", "session": "s1"})
    assert CLEARED in [event["type"] for event in log.step()] or log.evaluation.raised() == []
    assert log.step(1000) == []


def test_a_session_told_afterwards_is_not_silent() -> None:
    log = Log("silent 30s")
    log.publish(started(told="afterwards"))
    assert log.step(1000) == []


def test_after_a_restart_nothing_is_raised_twice() -> None:
    """The log says what is raised; another process goes on where one ended."""
    first = Log(f"{SLOW}; error")
    first.publish(started())
    first.turns(*[3.0] * ENOUGH)
    first.publish({"type": "agent_error", "session": "s1", "timestamp": first.now})
    assert len(first.step()) == 2
    second = Log(f"{SLOW}; error", first.events)
    second.now = first.now
    assert second.step() == []
    assert len(second.evaluation.raised()) == 2
    assert [event["type"] for event in second.step(1000)] == [CLEARED, CLEARED]


def test_two_processes_come_to_the_same_events() -> None:
    a, b = Log(SLOW), Log(SLOW)
    for log in (a, b):
        log.publish(started())
        log.turns(*[3.0] * ENOUGH)
    assert a.step() == b.step()


def test_a_rule_that_is_gone_raises_nothing_for_ever() -> None:
    log = Log("error", [{"type": RAISED, "rule": "another", "about": "x"}])
    assert log.evaluation.raised() == []
    assert log.step() == []


@pytest.mark.parametrize("value", [1e9, -1, float("nan"), "3", None, True, [], 10**400])
def test_absurd_latencies_are_ignored(value: Any) -> None:
    log = Log(SLOW)
    log.publish(*({"type": "turn_metrics", "session": "s", "e2e_latency": value} for _ in range(50)))
    assert log.step() == []


def test_ten_thousand_agents_are_bounded() -> None:
    log = Log(f"{SLOW}; error; silent 1s")
    for number in range(10_000):
        log.publish(started(f"s{number}", f"agent {number}"))
        log.publish({"type": "turn_metrics", "session": f"s{number}", "e2e_latency": 1.0})
        log.publish({"type": "agent_error", "session": f"s{number}"})
    due = log.step(5)
    assert len(due) <= 2_000
    assert len(log.evaluation.raised()) <= 2_000


def test_events_of_any_shape_raise_nothing() -> None:
    log = Log(f"{SLOW}; error; silent 1s; crash")
    for kind in ("turn_metrics", "agent_error", "agent_process_exited", "session_started", RAISED, CLEARED, 7, None):
        log.publish({"type": kind, "session": 7, "room": [], "agent": {}, "rule": 5, "about": None, "reason": 3})
    log.step()
