"""What an agent's process reports to the launcher that started it (H13, X12)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from event_hub.livekit import process, report_failed, report_ready

from ..hubs import PATIENCE, HubProcess


@pytest.fixture
def agent(hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As if this hub had started this process, as `ag_test`."""
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.setenv("HUB_AGENT_ID", "ag_test")
    monkeypatch.setattr(process, "_publisher", None)
    yield "ag_test"
    process.publisher().close()


def reported(hub: HubProcess, kind: str) -> dict[str, Any]:
    assert process.publisher().flush(PATIENCE)
    event: dict[str, Any] = hub.get(f"/api/events?type={kind}&limit=1")["events"][0]["event"]
    return event


def test_ready_and_failed_name_the_agent(hub: HubProcess, agent: str) -> None:
    report_ready("I listen.")
    ready = reported(hub, "agent_ready")
    assert (ready["message"], ready["agent_id"]) == ("I listen.", agent)
    report_failed("The key is wrong: correct OPENAI_API_KEY.", "llm")
    failed = reported(hub, "agent_error")
    assert (failed["agent_id"], failed["source"], failed["recoverable"]) == (agent, "llm", False)


def test_a_registered_worker_is_ready_without_reporting_it(hub: HubProcess, agent: str) -> None:
    """The user's program need only import event_hub.livekit."""
    worker = logging.getLogger("livekit.agents")
    before = list(worker.handlers)
    process.watch_worker()
    process.watch_worker()
    assert len(worker.handlers) - len(before) <= 1
    try:
        worker.setLevel(logging.INFO)
        worker.info("registered worker", extra={"url": "ws://127.0.0.1:7880"})
        ready = reported(hub, "agent_ready")
        assert ready["agent_id"] == agent
        assert "ws://127.0.0.1:7880" in ready["message"]
    finally:
        worker.setLevel(logging.NOTSET)
        worker.handlers[:] = before


def test_an_invalid_hub_url_is_only_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(process, "_publisher", None)
    monkeypatch.setenv("HUB_URL", "ftp://nowhere")
    report_ready("I listen.")
    assert "Cannot report to the hub" in caplog.text
