"""Measures how late events are for existing subscribers while 1,000 pages open at once: `python -m bench.joiners` (30 s).

The hub has its history in SQLite and a session of 5,000 events that continues at 20 events a second, watched by 50
subscribers. In turn, it measures an idle hub; 1,000 pages opened at the same moment, each with one request for the newest
events and condensed history (`/api/events?limit=500&past=3000`); 1,000 requests for the session; and, for comparison, 1,000
downloads of a static file of the size of a page's answer, a cost that any server would have.

If there are two cores, the hub has one to itself. The latencies are those of events published between the first request and
the last answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from bench.conversations import Event, conversation
from tests.hubs import HubProcess

EVENTS = 5_000
SUBSCRIBERS = 50
RATE = 20.0
PAGES = 1_000
WAYS = {
    "idle": "",
    "a page": "/api/events?limit=500&past=3000",
    "the session": "/api/sessions/AS_1",
    "a file of that size": "/static/bench.bin",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pages", type=int, default=PAGES, help=f"number of pages to open at once (default {PAGES}, at most 2000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    options = parser.parse_args()
    pages = min(options.pages, 2_000)
    with (
        tempfile.TemporaryDirectory() as folder,
        HubProcess(Path(folder), HUB_HISTORY=f"sqlite:///{folder}/hub.db") as hub,
    ):
        events = conversation("r", "AS_1", EVENTS // 50)
        batch = [event for event, _ in zip(events, range(EVENTS - 100), strict=False)]
        hub.publish(batch)
        size = len(requests.get(f"{hub.url}{WAYS['a page']}", timeout=60).content)
        file = Path(__file__).parents[1] / "static" / "bench.bin"
        file.write_bytes(b"x" * size)
        pid = hub.worker_pid()
        if (os.cpu_count() or 1) > 1:
            psutil.Process(pid).cpu_affinity([0])
            psutil.Process().cpu_affinity([1])
        print(f"{len(batch):,} events, a page's answer takes {size / 1024:.0f} KB; {pages:,} at once")
        try:
            with watched(hub) as delays:
                idle: list[float] = []
                for _ in range(options.rounds):
                    for way, path in WAYS.items():
                        idle = _measure(hub, way, path, pages, delays, idle)
        finally:
            file.unlink()


def _measure(hub: HubProcess, way: str, path: str, pages: int, delays: list[float], idle: list[float]) -> list[float]:
    before = psutil.Process(hub.worker_pid()).cpu_times()
    delays.clear()
    began = time.monotonic()
    if path:
        opening = multiprocessing.get_context("spawn").Process(target=_open, args=(hub.port, path, pages))
        opening.start()
        opening.join()
        assert opening.exitcode == 0
    else:
        time.sleep(3)
    took = time.monotonic() - began
    time.sleep(0.3)
    cpu = psutil.Process(hub.worker_pid()).cpu_times()
    found = sorted(delays)
    late = " ".join(f"{name} {value * 1000:.1f} ms," for name, value in _figures(found).items())
    ratio = f"p50 {statistics.median(found) / statistics.median(idle):.1f} times that of an idle hub" if path else ""
    used = cpu.user + cpu.system - before.user - before.system
    print(f"{way:20}  {took:5.2f} s, hub {used:5.2f} s of its core; events late by {late} {ratio}")
    return idle if path else found


def _figures(found: list[float]) -> dict[str, float]:
    return {"p50": statistics.median(found), "p99": found[int(len(found) * 0.99)], "max": found[-1]}


@contextmanager
def watched(hub: HubProcess) -> Iterator[list[float]]:
    """Publish events at a steady pace; yields the list of their delays at each subscriber, in seconds."""
    delays: list[float] = []
    done = threading.Event()

    def publish() -> None:
        with requests.Session() as session:
            due = time.time()
            while not done.wait(max(0.0, due - time.time())):
                event: Event = {"type": "agent_speech_started", "room": "r", "session": "AS_1", "due": due}
                session.post(f"{hub.url}/api/agent/data", json=event, timeout=60)
                due += 1 / RATE

    def watch() -> None:
        with selectors.DefaultSelector() as selector:
            for _ in range(SUBSCRIBERS):
                subscriber = socket.create_connection(("127.0.0.1", hub.port))
                subscriber.sendall(b"GET /api/stream HTTP/1.1\r\nHost: bench\r\n\r\n")
                selector.register(subscriber, selectors.EVENT_READ)
            while not done.is_set():
                for key, _ in selector.select(0.2):
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65536)
                    now = time.time()
                    for line in data.split(b"\n"):
                        if line.startswith(b"data: ") and b'"due":' in line:
                            delays.append(now - json.loads(line[6:])["due"])
            for key in list(selector.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()

    threads = [threading.Thread(target=publish), threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    try:
        yield delays
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _open(port: int, path: str, pages: int) -> None:
    async def request() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readline()
        assert b" 200 " in head, head
        while await reader.read(1 << 20):
            pass
        writer.close()

    async def requests_at_once() -> None:
        await asyncio.gather(*(request() for _ in range(pages)))

    asyncio.run(requests_at_once())


if __name__ == "__main__":
    main()
