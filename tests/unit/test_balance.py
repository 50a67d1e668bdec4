"""A worker process that has more connections than another leaves new ones to that."""

from __future__ import annotations

import os
import subprocess
import sys

from event_hub.server.serving.balance import Balance


def table() -> memoryview:
    return memoryview(bytearray(64 * 8)).cast("I")


def test_a_worker_alone_accepts_everything() -> None:
    balance = Balance(table())
    assert not balance.ahead(0)
    assert not balance.ahead(10_000)


def test_a_worker_that_is_ahead_leaves_connections_to_another() -> None:
    shared = table()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        shared[0], shared[1] = other.pid, 100
        balance = Balance(shared)
        assert [balance.ahead(count) for count in (0, 100, 110, 125, 1000)] == [False, False, False, True, True]
        shared[1] = 1000
        assert not balance.ahead(1000)
    finally:
        other.communicate(b"\n")
    assert not balance.ahead(10_000), "that worker has ended"
    again = Balance(shared)
    assert shared[0] == os.getpid(), "its place is taken by the next"
    again.leave()
    assert shared[0] == 0
