"""H20: what happens to the server happens to no acknowledged event, and every subscriber is informed.

Each test has a server of its own, publishers at both hubs that try again with the same event_id, and a subscriber at each that
comes back with Last-Event-ID.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from ..valkeys import ValkeyServer
from .conftest import hubs_on
from .traffic import Publisher, Subscriber, check, publishing, traffic

Hubs = tuple[HubProcess, HubProcess]


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    server = ValkeyServer().start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def hubs(server: ValkeyServer, tmp_path: Path) -> Iterator[Hubs]:
    yield from hubs_on(server.url, tmp_path)


def test_the_server_is_restarted(server: ValkeyServer, hubs: Hubs) -> None:
    """Publishers wait for a moment instead of being refused; streams stay open."""
    a, b = hubs
    with traffic(a, b) as load:
        for signal in (15, 9, 9):  # appendonly: nothing is lost
            load.wait_for(50)
            server.kill(signal)
            server.start()
    assert load.streams == [1, 1]


def test_the_server_is_stopped_for_20_seconds(server: ValkeyServer, hubs: Hubs) -> None:
    """Publishers get 503; subscribers stay connected, are told, and catch up."""
    a, b = hubs
    with traffic(a, b) as load:
        load.wait_for(50)
        server.pause()
        try:
            began = time.monotonic()
            until(load.refused, "publishers to be refused")
            until(lambda: load.degraded(True), "subscribers to be told")
            health = requests.get(f"{a.url}/api/health", timeout=PATIENCE)
            assert (health.status_code, health.json()["status"]) == (503, "degraded")
            assert "does not answer" in health.json()["history"]["error"]
            time.sleep(max(0.0, 20 - (time.monotonic() - began)))
        finally:
            server.resume()
        until(lambda: load.degraded(False), "subscribers to be told again")
        until(lambda: requests.get(f"{a.url}/api/health", timeout=PATIENCE).status_code == 200, "the hub to be well")
    assert load.streams == [1, 1]
    assert {status for publisher in load.publishers for status in publisher.refused} == {503}


def test_the_server_runs_out_of_memory(server: ValkeyServer, hubs: Hubs) -> None:
    a, b = hubs
    with traffic(a, b) as load:
        load.wait_for(50)
        server.command("CONFIG", "SET", "maxmemory", "1mb")
        until(load.refused, "publishers to be refused")
        health = requests.get(f"{a.url}/api/health", timeout=PATIENCE).json()
        assert "out of memory" in health["history"]["error"]
        server.command("CONFIG", "SET", "maxmemory", "0")


def test_the_server_comes_back_empty(server: ValkeyServer, hubs: Hubs) -> None:
    """All is lost, which no hub can help; every subscriber is told, and what is acknowledged from now on arrives."""
    a, b = hubs
    with Subscriber(a) as first, Subscriber(b) as second:
        for n in range(50):
            hubs[n % 2].publish({"type": "n", "event_id": f"old-{n}"})
        until(lambda: len(first.seen) == len(second.seen) == 50, "the events")
        server.command("FLUSHALL")
        until(lambda: first.gaps and second.gaps, "every subscriber to be told of the gap")
        with publishing(a, b, first, second):
            pass
        for subscriber in (first, second):
            assert [gap["reason"] for gap in subscriber.gaps] == ["unknown_epoch"]
            assert subscriber.gaps[0]["missed"] is None


def test_a_part_of_the_history_is_lost(server: ValkeyServer, hubs: Hubs, tmp_path: Path) -> None:
    """As after a power failure or a failover to a replica that lagged: the server starts from an older state."""
    a, b = hubs
    with Subscriber(a) as first, Subscriber(b) as second:
        for n in range(50):
            hubs[n % 2].publish({"type": "n", "event_id": f"kept-{n}"})
        server.command("SAVE")
        kept = server.folder / "dump.rdb"
        older = kept.read_bytes()
        for n in range(20):
            hubs[n % 2].publish({"type": "n", "event_id": f"lost-{n}"})
        until(lambda: len(first.seen) == len(second.seen) == 70, "the events")
        server.kill()
        for path in (server.folder / "appendonlydir").iterdir():
            path.unlink()
        (server.folder / "appendonlydir").rmdir()
        kept.write_bytes(older)
        server.options[1] = "no"  # with an append-only file the server would not read the snapshot
        server.start()
        until(lambda: first.gaps and second.gaps, "every subscriber to be told of the gap")
        with publishing(a, b, first, second):
            pass
        assert [gap["reason"] for gap in first.gaps + second.gaps] == ["unknown_epoch"] * 2
        exported = [event["event"]["event_id"] for event in b.get("/api/events?limit=1000")["events"]]
        assert exported[:50] == [f"kept-{n}" for n in range(50)]
        assert not any(id.startswith("lost") for id in exported)


def test_what_a_subscriber_still_wanted_is_removed(server: ValkeyServer, tmp_path: Path) -> None:
    """Retention by another hub: a gap that says how many."""
    hubs = hubs_on(server.url, tmp_path, HUB_RETENTION="1h,300KB", HUB_RING="50")
    a, b = next(hubs)
    id = a.publish({"type": "n", "n": 0})["id"]
    for n in range(40):
        a.publish([{"type": "n", "n": 100 * n + k, "text": "x" * 200} for k in range(100)])
    floor = until(lambda: b.get("/api/health")["history"]["events"] < 2000, "retention")
    assert floor
    with b.stream("", last_id=id) as stream:
        gap = stream.until("stream_gap")
        assert (gap["reason"], gap["from"]) == ("retention", id)
        oldest = stream.until("n")
        assert gap["missed"] == int(oldest["_id"].partition("-")[2]) - int(id.partition("-")[2]) - 1
    for _ in hubs:
        pass


def test_a_hub_that_was_stopped_catches_up(server: ValkeyServer, hubs: Hubs) -> None:
    """SIGSTOP of one hub for longer than its sign of life lasts: the other goes on, and no event is missing afterwards."""
    import os
    import signal

    a, b = hubs
    with Subscriber(a) as first, Subscriber(b) as second, Publisher(b, "b") as other:
        other.wait_for(20)
        worker = a.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        try:
            until(lambda: b.get("/api/health")["processes"] == 1, "the other hub to notice", PATIENCE)
            other.wait_for(100)
        finally:
            os.kill(worker, signal.SIGCONT)
        other.wait_for(20)
        other.stop()
        check([other], [first, second])
        assert (first.gaps, second.gaps) == ([], [])
        until(lambda: b.get("/api/health")["processes"] == 2, "it to be back")


def test_a_password_that_changes_is_named(server: ValkeyServer, tmp_path: Path) -> None:
    server.command("CONFIG", "SET", "requirepass", "s3cret-s3cret")
    hub = HubProcess(tmp_path, HUB_HISTORY=server.url).launch()
    assert hub.process is not None
    assert hub.process.wait(2 * PATIENCE) == 1
    assert "password" in hub.output()
    wrong = HubProcess(tmp_path, HUB_HISTORY=f"redis://:wrong@127.0.0.1:{server.port}").launch()
    assert wrong.process is not None
    assert wrong.process.wait(2 * PATIENCE) == 1
    assert "refuses the user or the password" in wrong.output()
    with HubProcess(tmp_path, HUB_HISTORY=f"redis://:s3cret-s3cret@127.0.0.1:{server.port}") as right:
        assert right.publish({"type": "x"})["status"] == "ok"
        assert "s3cret" not in right.output()


def test_a_server_that_is_not_there_is_a_start_error(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, HUB_HISTORY="redis://127.0.0.1:1").launch()
    assert hub.process is not None
    assert hub.process.wait(2 * PATIENCE) == 1
    text = [line for line in hub.output().splitlines() if line]
    assert (
        text == ["The hub does not start: redis://127.0.0.1:1 cannot be reached: Connection refused"] or len(text) == 1
    ), text
