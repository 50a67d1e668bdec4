"""What an agent's process tells the launcher that has started it (H13, X12)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from event_hub.livekit import process, report_failed, report_ready

from ..hubs import PATIENCE, HubProcess


@pytest.fixture
def agent(hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As a process that this hub has started: `ag_test`."""
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_AGENT_ID", "ag_test")
    monkeypatch.setattr(process, "_publisher", None)
    yield "ag_test"
    process.publisher().close()


def told(hub: HubProcess, kind: str) -> dict[str, Any]:
    assert process.publisher().flush(PATIENCE)
    event: dict[str, Any] = hub.get(f"/api/events?type={kind}&limit=1")["events"][0]["event"]
    return event


def test_ready_and_failed_name_the_agent(hub: HubProcess, agent: str) -> None:
    report_ready("I listen.")
    ready = told(hub, "agent_ready")
    assert (ready["message"], ready["agent_id"]) == ("I listen.", agent)
    report_failed("The key is wrong: correct OPENAI_API_KEY.", "llm")
    failed = told(hub, "agent_error")
    assert (failed["agent_id"], failed["source"], failed["recoverable"]) == (agent, "llm", False)


def test_a_registered_worker_is_ready_by_itself(hub: HubProcess, agent: str) -> None:
    """A program of the user's own need only import event_hub.livekit."""
    worker = logging.getLogger("livekit.agents")
    before = list(worker.handlers)
    process.watch_worker()
    process.watch_worker()
    assert len(worker.handlers) - len(before) <= 1
    try:
        worker.setLevel(logging.INFO)
        worker.info("registered worker", extra={"url": "ws://127.0.0.1:7880"})
        ready = told(hub, "agent_ready")
        assert ready["agent_id"] == agent
        assert "ws://127.0.0.1:7880" in ready["message"]
    finally:
        worker.setLevel(logging.NOTSET)
        worker.handlers[:] = before


def test_a_wrong_hub_url_is_logged_and_nothing_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "_publisher", None)
    monkeypatch.setenv("HUB_URL", "ftp://nowhere")
    report_ready("I listen.")
    assert "The hub cannot be told" in caplog.text
