"""H20, H35: hubs that share a history forward each event once, whichever of them it was published at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..hubs import HubProcess, until
from ..valkeys import ValkeyServer
from .conftest import hubs_on


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def hubs(valkey_server: ValkeyServer, tmp_path: Path, lines: Path) -> Iterator[tuple[HubProcess, HubProcess]]:
    url = f"{valkey_server.url}?prefix={tmp_path.name[:40]}"
    yield from hubs_on(url, tmp_path, HUB_FORWARD=f"file://{lines}#room=forwarded")


def test_what_another_hub_publishes_is_forwarded_at_once(hubs: tuple[HubProcess, HubProcess], lines: Path) -> None:
    """The hub that forwards gets no request at all: the events of the other wake it."""

    def states() -> list[str]:
        return [hub.get("/api/health")["forwards"][0]["state"] for hub in hubs]

    until(lambda: sorted(states()) == ["ok", "standby"], "one hub to forward")
    forwards, other = sorted(hubs, key=lambda hub: hub.get("/api/health")["forwards"][0]["state"])
    assert forwards.get("/api/health")["forwards"][0]["state"] == "ok"
    for n in range(3):
        other.publish({"type": "n", "n": n, "room": "forwarded"})
        until(lambda n=n: lines.exists() and len(lines.read_text().splitlines()) == n + 1, "the event to be forwarded")  # type: ignore[misc]
    assert [json.loads(line)["n"] for line in lines.read_text().splitlines()] == [0, 1, 2]
