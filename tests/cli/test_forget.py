"""`event-hub forget`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..hubs import PATIENCE, HubProcess
from .commands import EVENT_HUB, environ


def forget(hub: HubProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EVENT_HUB, "forget", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE * 2,
        env=environ(HUB_URL=hub.url),
    )


def test_it_counts_then_erases(hub: HubProcess) -> None:
    hub.publish([{"type": "n", "session": "cli-forget", "room": "r", "n": n} for n in range(3)])
    counted = forget(hub, "--session", "cli-forget", "--dry-run")
    assert (counted.returncode, counted.stdout.split(" (")[0]) == (0, "would erase 3 events of 1 session")
    erased = forget(hub, "--session", "cli-forget", "--room", "r", "--yes", "--json")
    assert erased.returncode == 0, erased.stderr
    assert json.loads(erased.stdout)["events"] == 3
    assert forget(hub, "--session", "cli-forget", "--yes").stdout.startswith("erased 0 events")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "Name a --session"),
        (("--dry-run",), 2, "Name a --session"),
        (("--session", "s"), 2, "--yes"),
        (("--before", "tomorrow", "--yes"), 1, "duration"),
    ],
)
def test_what_is_refused(hub: HubProcess, arguments: tuple[str, ...], code: int, says: str) -> None:
    answer = forget(hub, *arguments)
    assert (answer.returncode, says in answer.stderr) == (code, True), answer.stderr


def test_it_names_the_logs_of_agents_that_it_leaves(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_AGENT_STATE=str(tmp_path)).start()
    assert forget(hub, "--session", "s", "--yes").stderr == ""
    folder = tmp_path / str(hub.port)
    folder.mkdir(exist_ok=True)
    (folder / "ag_1.log").write_text("a line")
    answer = forget(hub, "--session", "s", "--yes")
    assert answer.returncode == 0
    assert f"not erased: the logs of agents in {folder}" in answer.stderr
