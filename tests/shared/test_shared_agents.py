"""Agents of hubs that share a history: started, listed and stopped from anywhere, of each mode and room one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from ..valkeys import ValkeyServer
from .conftest import hubs_on

Hubs = tuple[HubProcess, HubProcess]


@pytest.fixture
def hubs(valkey_server: ValkeyServer, tmp_path: Path) -> Iterator[Hubs]:
    yield from hubs_on(f"{valkey_server.url}?prefix={os.urandom(4).hex()}", tmp_path)


def agents(hub: HubProcess) -> list[dict[str, object]]:
    found: list[dict[str, object]] = hub.get("/api/agent/status")["agents"]
    return found


def ask(hub: HubProcess, what: str, **body: object) -> requests.Response:
    return requests.post(f"{hub.url}/api/agent/{what}", json=body, timeout=2 * PATIENCE)


def test_an_agent_is_started_at_one_hub_and_stopped_at_the_other(hubs: Hubs) -> None:
    a, b = hubs
    started = ask(a, "start", mode="scripted")
    assert started.status_code == 202, started.text
    id = started.json()["agent_id"]
    until(
        lambda: [(x["agent_id"], x["status"]) for x in agents(b)] == [(id, "ready")],
        "the other hub to list it as ready",
    )
    second = ask(b, "start", mode="scripted")
    assert (second.status_code, second.json()["code"]) == (409, "agent_running")
    assert second.json()["agent"]["agent_id"] == id
    logs = requests.get(f"{b.url}/api/agent/logs?agent_id={id}", timeout=PATIENCE)
    assert "conversation" in logs.text
    assert ask(b, "stop", agent_id="ag_0000000000").status_code == 404
    stopped = ask(b, "stop", agent_id=id)
    assert stopped.status_code in (200, 202), stopped.text
    until(lambda: [x["status"] for x in agents(a)] == ["stopped"], "the agent to stop")
    kinds = [
        e["event"]["type"] for e in b.get("/api/events?type=agent_process_started&type=agent_process_exited")["events"]
    ]
    assert kinds == ["agent_process_started", "agent_process_exited"]


@pytest.fixture
def hubs_with_an_agent(valkey_server: ValkeyServer, tmp_path: Path) -> Iterator[Hubs]:
    yield from hubs_on(f"{valkey_server.url}?prefix={os.urandom(4).hex()}", tmp_path, HUB_AGENTS="scripted")


def test_what_both_are_to_run_runs_once_and_elsewhere_if_its_hub_ends(hubs_with_an_agent: Hubs) -> None:
    a, b = hubs_with_an_agent
    until(lambda: [x["status"] for x in agents(a)] == ["ready"], "the agent", 3 * PATIENCE)
    (here,), (there,) = agents(a), agents(b)
    assert here["agent_id"] == there["agent_id"]
    owner, other = (a, b) if _owns(a) else (b, a)
    owner.stop()
    until(lambda: [x["status"] for x in agents(other)] == ["ready"], "the other hub to run it", 3 * PATIENCE)


def _owns(hub: HubProcess) -> bool:
    """Whether the agent's record is in this hub's folder."""
    return any((hub.folder / "agents" / str(hub.port)).glob("ag_*.json"))
