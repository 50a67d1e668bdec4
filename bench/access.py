"""Measures what credentials cost: `python -m bench.access [ROUNDS]`.

One hub is open, another requires credentials. In each round, in random order, one client posts to both: without a
credential, with a key, with a LiveKit token, and with `?access_token=`. A figure is the processor time that a hub took for a
POST, and its ratio to the open hub's in the same round, which does not depend on how busy the machine is. A second table
compares a broadcast to 1,000 subscribers.
"""

from __future__ import annotations

import http.client
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jwt
import psutil

from tests.hubs import HubProcess, Stream

POSTS = 2_000
SUBSCRIBERS = 1_000
EVENTS = 20
BODY = b'{"type":"agent_text_delta","delta":"and then it rains all day long ","room":"support-7","session":"AS_1"}'
KEY, SECRET = "a-key-of-the-bench-0001", "a-secret-of-the-bench-with-32-bytes"
GUARDED = {
    "HUB_CONTROL_KEYS": f"bench:{KEY}",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": SECRET,
    "LIVEKIT_URL": "ws://localhost:7880",
}


def _token() -> str:
    claims = {
        "iss": "devkey",
        "sub": "agent-1",
        "exp": time.time() + 3600,
        "video": {"agent": True, "room": "support-7"},
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


def _posts(hub: HubProcess, headers: dict[str, str], query: str = "") -> float:
    """Microseconds of processor time that the hub takes for a POST."""
    process = psutil.Process(hub.worker_pid())
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    before = sum(process.cpu_times()[:2])
    for _ in range(POSTS):
        connection.request("POST", f"/api/agent/data{query}", BODY, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    spent = sum(process.cpu_times()[:2]) - before
    connection.close()
    return spent / POSTS * 1e6


@contextmanager
def _subscribers(hub: HubProcess, query: str) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(SUBSCRIBERS):
            stack.enter_context(Stream(hub.port, query))
        yield


def _broadcast(hub: HubProcess, headers: dict[str, str]) -> float:
    """Microseconds of processor time that the hub takes for one delivery."""
    process = psutil.Process(hub.worker_pid())
    before = sum(process.cpu_times()[:2])
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    for _ in range(EVENTS):
        connection.request("POST", "/api/agent/data", BODY, {"Content-Type": "application/json", **headers})
        connection.getresponse().read()
        time.sleep(0.1)
    connection.close()
    return (sum(process.cpu_times()[:2]) - before) / EVENTS / SUBSCRIBERS * 1e6


def _show(title: str, figures: dict[str, list[float]]) -> None:
    base = next(iter(figures.values()))
    print(f"\n{title}")
    for name, values in figures.items():
        ratios = sorted(value / other for value, other in zip(values, base, strict=True))
        middle = statistics.median(ratios)
        print(f"  {name:14} {statistics.median(values):7.1f} µs   × {middle:.2f}  ({ratios[0]:.2f}-{ratios[-1]:.2f})")


def main(rounds: int) -> None:
    """Print both tables."""
    bearer, token = {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Bearer {_token()}"}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        one, two = Path(folder, "open"), Path(folder, "guarded")
        one.mkdir()
        two.mkdir()
        open_, guarded = stack.enter_context(HubProcess(one)), stack.enter_context(HubProcess(two, **GUARDED))
        ways = {
            "open": lambda: _posts(open_, {}),
            "key": lambda: _posts(guarded, bearer),
            "LiveKit token": lambda: _posts(guarded, token),
            "in the query": lambda: _posts(guarded, {}, f"?access_token={KEY}"),
        }
        posts: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name in random.sample(list(ways), len(ways)):
                posts[name].append(ways[name]())
        _show("Processor time of the hub for a POST, to no subscriber", posts)
        stack.enter_context(_subscribers(open_, ""))
        stack.enter_context(_subscribers(guarded, f"?access_token={KEY}"))
        sends = {"open": lambda: _broadcast(open_, {}), "key": lambda: _broadcast(guarded, bearer)}
        broadcasts: dict[str, list[float]] = {name: [] for name in sends}
        for _ in range(rounds):
            for name in random.sample(list(sends), len(sends)):
                broadcasts[name].append(sends[name]())
        _show(f"Processor time of the hub for a delivery, to {SUBSCRIBERS} subscribers", broadcasts)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
