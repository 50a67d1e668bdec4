"""Helpers for hubs that launch the programs in this folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from ...hubs import PATIENCE, HubProcess, until

PROGRAM = Path(__file__).parent / "agent.py"
TINY = "python -I -S -c 'import signal; signal.pause()'"
"""A program that starts in 10 ms, and ends as fast on SIGTERM."""


def program(*words: str) -> str:
    """A value for HUB_AGENT."""
    return f"python {shlex.join([str(PROGRAM), *words])}"


def start(hub: HubProcess, **body: Any) -> requests.Response:
    options: dict[str, Any] = {"json": body} if body else {}
    return requests.post(f"{hub.url}/api/agent/start", timeout=PATIENCE, **options)


def started(hub: HubProcess, **body: Any) -> dict[str, Any]:
    """Start an agent; the test fails if it does not start."""
    answer = start(hub, **body)
    assert answer.status_code == 202, answer.text
    facts: dict[str, Any] = answer.json()
    return facts


def stop(hub: HubProcess, agent_id: str | None = None, wait: str = "20s") -> requests.Response:
    body = {"agent_id": agent_id} if agent_id else {}
    return requests.post(f"{hub.url}/api/agent/stop?wait={wait}", json=body, timeout=PATIENCE)


def agent(hub: HubProcess, agent_id: str | None = None) -> dict[str, Any]:
    """The facts of one agent, or of the newest."""
    agents = hub.get("/api/agent/status")["agents"]
    return next(facts for facts in agents if agent_id in (None, facts["agent_id"]))


def reaches(hub: HubProcess, state: str, agent_id: str | None = None) -> dict[str, Any]:
    """Wait until an agent is in `state`; its facts."""

    def there() -> Any:
        agents = hub.get("/api/agent/status")["agents"]  # a hub that has just started may not have found them yet
        facts = next((entry for entry in agents if agent_id in (None, entry["agent_id"])), None)
        return facts if facts and facts["status"] == state else None

    facts: dict[str, Any] = until(there, f"an agent to be {state}")
    return facts


def processes(hub: HubProcess) -> list[psutil.Process]:
    """Every process that belongs to an agent of this hub, including orphaned descendants."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            ours = environ.get("HUB_AGENT_ID") and environ.get("HUB_AGENT_STATE") == hub.environ["HUB_AGENT_STATE"]
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def history(hub: HubProcess, *types: str) -> list[dict[str, Any]]:
    """The hub's events, oldest first."""
    query = "&".join(["limit=1000", *(f"type={name}" for name in types)])
    return [record["event"] for record in hub.get(f"/api/events?{query}")["events"]]


def exits(hub: HubProcess) -> list[tuple[Any, str, str]]:
    """How programs have ended: code, reason and the next state."""
    return [(e["code"], e["reason"], e["status"]) for e in history(hub, "agent_process_exited")]


@contextmanager
def nothing_left() -> Iterator[list[HubProcess]]:
    """A list for hubs. At the end they are stopped, and no process of their agents may be left."""
    hubs: list[HubProcess] = []
    yield hubs
    left = []
    for hub in hubs:
        if hub.process is not None and hub.process.poll() is None:
            stop(hub)
            hub.stop()
        left += processes(hub)
    for process in left:
        process.kill()
    assert left == []
