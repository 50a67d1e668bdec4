"""Measures the cost of `publish` to the calling thread, with the hub up, down and stalled: `python -m bench.client`.

There are three patterns: a burst as fast as possible; every 2 ms in a thread that computes in between, as an agent's does;
and every 2 ms in a thread that sleeps in between, which leaves the caches cold. For comparison, `check and encode` measures
the minimum that any publisher must do, with the same pauses.
"""

from __future__ import annotations

import logging
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.busy import PAUSE, work
from event_hub.client import Publisher
from event_hub.events import check
from tests.hubs import HubProcess, free_port

EVENT = {"type": "agent_text_delta", "delta": " and then it rains", "offset": 120, "utterance": "a1"}
WHOLE = {**EVENT, "room": "bench", "session": "AS_1", "event_id": "0" * 32, "timestamp": 1795255761.589345}


WAYS: dict[str, tuple[int, Callable[[], None]]] = {
    "burst": (50_000, lambda: None),
    "working": (3_000, work),
    "sleeping": (3_000, lambda: time.sleep(PAUSE)),
}


def main() -> None:
    logging.disable()
    for way in WAYS:
        _measure("check and encode", way, lambda: (check(WHOLE), msgspec.json.encode(WHOLE)))
    with tempfile.TemporaryDirectory() as folder, HubProcess(Path(folder)) as hub:
        _publish("publish, hub up", hub.url, 5)
    _publish("publish, hub down", f"http://127.0.0.1:{free_port()}", 0)
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        _publish("publish, hub stalled", f"http://127.0.0.1:{stalled.getsockname()[1]}", 0)


def _publish(what: str, url: str, patience: float) -> None:
    for way in WAYS:
        publisher = Publisher(url, defaults={"room": "bench", "session": "AS_1"})
        publisher.publish(EVENT)
        _measure(what, way, lambda publisher=publisher: publisher.publish(EVENT))  # type: ignore[misc]
        publisher.close(patience)


def _measure(what: str, way: str, act: Callable[[], object]) -> None:
    count, pause = WAYS[way]
    times = []
    for _ in range(count):
        began = time.perf_counter_ns()
        act()
        times.append((time.perf_counter_ns() - began) / 1000)
        pause()
    times.sort()
    figures = f"median {statistics.median(times):5.1f} µs, p99 {times[int(count * 0.99)]:6.1f} µs"
    print(f"{what:20}  {way:8}  {figures}, p99.9 {times[int(count * 0.999)]:7.1f} µs")


if __name__ == "__main__":
    main()
