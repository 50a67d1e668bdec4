"""Alerts and the metrics of agents, on a running hub (issue 18)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from ..hubs import HubProcess, until

Make = Callable[..., HubProcess]


def turns(agent: str, latency: float, count: int = 6) -> list[dict[str, Any]]:
    common = {"session": f"s-{agent}", "room": "demo"}
    metrics = [{"type": "turn_metrics", "role": "user", "e2e_latency": latency, "llm_node_ttft": 0.4, **common}] * count
    return [{"type": "session_started", "agent": agent, **common}, *metrics]


def alerts(hub: HubProcess, kind: str) -> list[dict[str, Any]]:
    found = requests.get(f"{hub.url}/api/events", params={"type": kind, "limit": 100}, timeout=30).json()["events"]
    return [item["event"] for item in found]


def test_an_alert_is_an_event_and_survives_a_kill(hub_factory: Make) -> None:
    """Issue 18: raised once, also after kill -9; listed at /api/alerts."""
    hub = hub_factory(HUB_ALERTS="e2e p95 over 5m > 2s; error in room demo")
    hub.environ["HUB_HISTORY"] = f"sqlite:///{hub.folder}/hub.db"
    hub.start()
    hub.publish(turns("Slow", 3.0) + turns("Quick", 0.5))
    (raised,) = until(lambda: alerts(hub, "alert_raised"), "the alert")
    assert (raised["agent"], raised["value"], raised["threshold"]) == ("Slow", 3.0, 2.0)
    document = until(lambda: (found := hub.get("/api/alerts"))["raised"] and found, "the alert in the list")
    assert document["rules"] == ["e2e p95 over 5m > 2s", "error in room demo"]
    assert [alert["about"] for alert in document["raised"]] == ["Slow"]
    hub.kill()
    hub.start()
    hub.publish([{"type": "agent_error", "session": "s-Slow", "room": "demo", "message": "no quota"}])
    both = until(lambda: len(found := alerts(hub, "alert_raised")) == 2 and found, "the second alert")
    assert [alert["rule"] for alert in both] == ["e2e p95 over 5m > 2s", "error in room demo"]
    until(lambda: len(hub.get("/api/alerts")["raised"]) == 2, "both in the list")
    assert alerts(hub, "alert_cleared") == []


def test_a_mistake_is_told_at_the_start(hub_factory: Make) -> None:
    hub = hub_factory(HUB_ALERTS="e2e p95 over 5m > fast")
    hub.launch()
    assert hub.process is not None
    assert hub.process.wait(30) == 2
    assert "HUB_ALERTS" in hub.log.read_text()
    assert "fast is not a duration; write 2s" in hub.log.read_text()


def test_the_metrics_of_agents(hub_factory: Make) -> None:
    """Issue 18: latency histograms per agent, turns, interruptions, tool errors, tokens."""
    hub = hub_factory().start()
    common = {"session": "s-Weather", "room": "demo"}
    hub.publish(turns("Weather", 1.2))
    usage = {"type": "usage_updated", **common}
    hub.publish(
        [
            {"type": "agent_speech_finished", "interrupted": True, **common},
            {"type": "tool_call_finished", "call_id": "c1", "is_error": True, **common},
            {"type": "tool_call_finished", "call_id": "c2", "is_error": False, **common},
            {"type": "agent_error", "message": "x", "event_id": "once", **common},
            {"type": "agent_error", "message": "x", "event_id": "once", **common},
            {**usage, "model_usage": [{"model": "m", "input_tokens": 100, "output_tokens": 10}]},
            {**usage, "model_usage": [{"model": "m", "input_tokens": 250, "output_tokens": 30}]},
            {**usage, "model_usage": [{"model": ["m"], "input_tokens": "many"}, {"model": "m", "input_tokens": -5}]},
        ]
    )
    page = requests.get(f"{hub.url}/metrics", timeout=30).text
    for line in (
        'hub_agent_latency_seconds_bucket{agent="Weather",figure="e2e_latency",le="1.0"} 0.0',
        'hub_agent_latency_seconds_bucket{agent="Weather",figure="e2e_latency",le="1.5"} 6.0',
        'hub_agent_latency_seconds_count{agent="Weather",figure="llm_node_ttft"} 6.0',
        'hub_agent_turns_total{agent="Weather"} 6.0',
        'hub_agent_interruptions_total{agent="Weather"} 1.0',
        'hub_agent_tool_calls_total{agent="Weather"} 2.0',
        'hub_agent_tool_errors_total{agent="Weather"} 1.0',
        'hub_agent_errors_total{agent="Weather"} 1.0',
        'hub_tokens_total{kind="input",model="m"} 250.0',
        'hub_tokens_total{kind="output",model="m"} 30.0',
    ):
        assert line in page, line


def test_the_number_of_agents_in_the_metrics_is_bounded(hub_factory: Make) -> None:
    hub = hub_factory().start()
    for number in range(120):
        hub.publish(turns(f"agent {number}", 1.0, 1))
    page = requests.get(f"{hub.url}/metrics", timeout=30).text
    counted = [line for line in page.splitlines() if line.startswith("hub_agent_turns_total{")]
    assert len(counted) == 51
    assert 'hub_agent_turns_total{agent="other"} 70.0' in page


def test_sessions_and_rooms_have_a_cost(hub_factory: Make, tmp_path: Path) -> None:
    """Issue 18: a price file gives the cost of a session and a room; without one there is none."""
    prices = tmp_path / "prices.json"
    prices.write_text('{"models": {"m": {"input": 2, "output": 10}}}')
    llm = {"type": "llm_usage", "model": "m", "input_tokens": 500_000, "output_tokens": 100_000}
    usage = [llm, {"type": "llm_usage", "model": "free", "input_tokens": 5}]
    events = [
        {"type": "usage_updated", "session": session, "room": "demo", "model_usage": usage} for session in ("s1", "s2")
    ]
    hub = hub_factory(HUB_PRICES=str(prices)).start()
    hub.publish(events)
    cost = {"amount": 2.0, "currency": "USD", "unpriced": ["free"]}
    assert hub.get("/api/sessions/s1")["cost"] == cost
    assert [session["cost"] for session in hub.get("/api/sessions")["sessions"]] == [cost, cost]
    assert hub.get("/api/rooms")["rooms"][0]["cost"] == {**cost, "amount": 4.0}
    metrics = {"type": "llm_metrics", "speech_id": "sp1", "prompt_tokens": 100_000, "metadata": {"model_name": "m"}}
    about = {"session": "s1", "room": "demo"}
    spoken = [
        {"type": "transcript", "role": "agent", "text": "Hi.", "utterance": "a1", "speech_id": "sp1", **about},
        {"type": "metrics_collected", "metrics": metrics, **about},
    ]
    hub.publish(spoken)
    found = hub.get("/api/sessions/s1")
    assert found["turns"][0]["cost"] == {"amount": 0.2, "currency": "USD", "unpriced": []}
    assert found["unassigned"]["cost"] == {**cost, "amount": 1.8}
    assert found["cost"] == cost
    plain = hub_factory().start()
    plain.publish([*events, *spoken])
    session = plain.get("/api/sessions/s1")
    assert not {"cost"} & {*session, *session["unassigned"], *session["turns"][0]}
    assert session["turns"][0]["usage"] == [{"type": "llm_usage", "model": "m", "input_tokens": 100_000}]


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_prices_are_read_again_on_sighup(hub_factory: Make, tmp_path: Path, server: str) -> None:
    """Without a restart, and a wrong file changes nothing."""
    prices = tmp_path / "prices.json"
    prices.write_text('{"models": {"m": {"input": 2}}}')
    hub = hub_factory(server=server, HUB_PRICES=str(prices)).start()
    metrics = {"type": "llm_metrics", "speech_id": "sp1", "prompt_tokens": 1_000_000, "metadata": {"model_name": "m"}}
    about = {"session": "s1", "room": "demo"}
    hub.publish(
        [
            {"type": "transcript", "role": "agent", "text": "Hi.", "utterance": "a1", "speech_id": "sp1", **about},
            {"type": "metrics_collected", "metrics": metrics, **about},
        ]
    )

    def amounts() -> tuple[float, float]:
        session = hub.get("/api/sessions/s1")
        return session["cost"]["amount"], session["turns"][0]["cost"]["amount"]

    assert amounts() == (2, 2)
    assert hub.process is not None
    prices.write_text('{"models": {"m": {"inputs": 3}, "n": {}}}')
    os.kill(hub.process.pid, signal.SIGHUP)
    until(lambda: "the prices are not changed" in hub.output(), "the log to say that the file is wrong")
    assert "inputs is no unit" in hub.output()
    assert "n has no prices" in hub.output()
    assert amounts() == (2, 2)
    prices.write_text('{"models": {"m": {"input": 3}}}')
    os.kill(hub.process.pid, signal.SIGHUP)
    until(lambda: amounts() == (3, 3), "the new prices")
