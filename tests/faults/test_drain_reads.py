"""SIGTERM during reads of the history: answers that have started are completed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import requests

from ..hubs import PATIENCE, HubProcess

EVENTS = 6_000
READERS = 2


def test_a_running_export_is_completed(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    for begin in range(0, EVENTS, 3000):
        hub.publish([{"type": "n", "n": n} for n in range(begin, begin + 3000)])
    started = threading.Barrier(READERS + 1)
    read: list[list[int]] = []

    def reader() -> None:
        with requests.get(
            f"{hub.url}/api/events",
            headers={"Accept": "application/x-ndjson"},
            stream=True,
            timeout=PATIENCE,
        ) as response:
            lines = response.iter_lines()
            numbers = [json.loads(next(lines))["n"]]
            started.wait(PATIENCE)
            numbers += [json.loads(line)["n"] for line in lines]
            read.append(numbers)

    readers = [threading.Thread(target=reader) for _ in range(READERS)]
    for thread in readers:
        thread.start()
    started.wait(PATIENCE)
    assert hub.terminate() == 0
    for thread in readers:
        thread.join(PATIENCE)
    assert read == [list(range(EVENTS))] * READERS
    assert "Traceback" not in hub.output()
