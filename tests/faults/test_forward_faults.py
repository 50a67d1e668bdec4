"""Forwarding through kill -9, full disks and receivers that hang: nothing is lost, in a file nothing is doubled (H35)."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_hub.server.forward.webhook import TIMEOUT

from ..hubs import PATIENCE, HubProcess, until
from ..wire.receivers import SECRET, forwards, lines, receiver, rotated, settled
from .test_history_faults import hurried
from .test_kill import Publisher

ROUNDS = 12


@pytest.fixture
def forwarder(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> Callable[..., HubProcess]:
    """A hub, not started, that forwards to the targets named, with a history that lasts."""

    def make(*targets: str, **options: Any) -> HubProcess:
        return hub_factory(
            **{
                "HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db",
                "HUB_FORWARD": " ".join(targets),
                "HUB_FORWARD_SECRET": SECRET,
                "HUB_FORWARD_STATE": str(tmp_path / "forward"),
                **options,
            }
        )

    return make


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_in_the_middle_of_it(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Under load, with a receiver that refuses now and then: it has everything in order, twice only what belongs to a
    batch whose answer the hub has not lived to note. The file has every event once."""
    out = tmp_path / "events.jsonl"
    with receiver() as there:
        hub = forwarder(f"{there.url}#batch=20", f"file:{out}#rotate=20KB&keep=0").start()
        publisher = Publisher(hub)
        publisher.start()
        try:
            for round in range(ROUNDS):
                there.always = random.choice((204, 204, 500))
                enough = len(publisher.ids) + 40
                until(lambda enough=enough: len(publisher.ids) >= enough, f"40 events in round {round}\n{hub.output()}")
                there.always = 204
                time.sleep(random.uniform(0, 0.05))
                if round % 3:
                    os.kill(hub.worker_pid(), signal.SIGKILL)  # the worker alone: its master starts another
                else:
                    hub.kill()
                    hub.launch()
            hub.wait_ready()
            settled_at = len(publisher.ids) + 20
            until(lambda: len(publisher.ids) >= settled_at, "events after the last kill")
        finally:
            publisher.done.set()
            publisher.join(PATIENCE)
        hub.publish({"type": "n", "n": -1})
        until(lambda: there.numbers[-1:] == [-1], "the last one at the receiver")
        until(lambda: [one["n"] for one in lines(out)][-1:] == [-1], "the last one in the file")
    total = len(publisher.ids)
    seen: list[str] = []
    for delivery in there.deliveries:
        if delivery.status == 204:
            ids = [event["_id"] for event in delivery.events]
            again = [one for one in ids if one in seen]
            assert ids[: len(again)] == again == seen[len(seen) - len(again) :] or not again
            seen += [one for one in ids if one not in again]
    assert [int(one.split("-")[1]) for one in seen] == sorted(int(one.split("-")[1]) for one in seen)
    assert set(publisher.ids.values()) <= set(seen)
    assert len(there.taken) - len(seen) <= 20 * (ROUNDS + 1)
    filed = [one["n"] for path in rotated(out) for one in lines(path)]
    assert filed == [*range(max(filed) + 1), -1]
    assert len(filed) >= total + 1
    assert "Traceback" not in hub.output()


def test_a_file_is_whole_after_a_kill_within_a_write(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Whatever is behind what was noted, half a line or ten: it is cut off, and written again."""
    out = tmp_path / "events.jsonl"
    hub = forwarder(f"file:{out}").start()
    for round in range(5):
        hub.publish([{"type": "n", "n": 10 * round + k} for k in range(10)])
        until(lambda round=round: out.exists() and out.read_bytes().count(b"\n") == 10 * round + 10, "ten more")
        settled(hub)
        hub.kill()
        with out.open("ab") as file:
            file.write(b'{"type":"n","n":%d}\n{"type":' % (10 * round + 10))
        hub.start()
    hub.publish({"type": "n", "n": 50})
    until(lambda: out.read_bytes().count(b"\n") == 51 and out.read_bytes().endswith(b"}\n"), "the last one, whole")
    assert [one["n"] for one in lines(out)] == list(range(51))


def test_a_full_disk(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A limit on the size of files stands for it: told, no half of a line stays, and nothing is lost."""
    out = tmp_path / "events.jsonl"

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    hub = forwarder(f"file:{out}", HUB_HISTORY="memory:", preexec=small_disk).start()
    resource.prlimit(hub.worker_pid(), resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    hub.publish([{"type": "n", "n": n, "pad": "x" * 100} for n in range(20)])
    until(lambda: out.exists() and len(out.read_bytes().splitlines()) == 20, "what fits")
    hub.publish([{"type": "n", "n": n, "pad": "x" * 100} for n in range(20, 100)])
    until(lambda: forwards(hub)[0]["state"] == "retrying", "the disk to be full")
    assert "too large" in forwards(hub)[0]["error"]
    assert len(lines(out)) == 20
    assert hub.get("/api/health")["status"] == "ok"
    assert hub.output().count("cannot be written") == 1
    resource.prlimit(hub.worker_pid(), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    until(lambda: len(out.read_bytes().splitlines()) == 100, "the rest")
    assert [one["n"] for one in lines(out)] == list(range(100))
    settled(hub)
    assert hub.output().count("works again") == 1


def test_a_file_that_cannot_be_written(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A folder is where the file should be: tried again until it is gone, through a restart."""
    out = tmp_path / "events.jsonl"
    out.mkdir()
    hub = forwarder(f"file:{out}").start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: forwards(hub)[0]["state"] == "retrying", "it to fail")
    assert forwards(hub)[0]["error"] == f"file:{out} cannot be written (Is a directory)"
    hub.kill()
    hub.start()
    hub.publish({"type": "n", "n": 1})
    out.rmdir()
    until(lambda: out.exists() and len(out.read_bytes().splitlines()) == 2, "both")
    assert [one["n"] for one in lines(out)] == [0, 1]


def test_a_receiver_that_hangs_is_given_up_and_tried_again(forwarder: Callable[..., HubProcess]) -> None:
    """After 15 s (3 s here), however it hangs: without a word, or with a header that never ends."""
    import socket

    done = threading.Event()
    requests: list[tuple[float, bytes]] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                requests.append((time.monotonic(), connection.recv(65536)))
                if len(requests) == 1:
                    threading.Thread(target=dribble, args=(connection,), daemon=True).start()
                else:
                    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                    connection.close()

    def dribble(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not done.wait(0.5):
                connection.sendall(b"x")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            hub = forwarder(f"http://127.0.0.1:{listener.getsockname()[1]}/")
            assert TIMEOUT == 15
            hub.arguments = hurried("event_hub.server.forward.webhook", "TIMEOUT = 3.0")
            hub.start()
            hub.publish({"type": "n"})
            until(lambda: len(requests) >= 2, "a second try")
            assert requests[1][0] - requests[0][0] > 2.5
            until(lambda: forwards(hub)[0]["lag"] == 0, "it to be taken")
            assert "no answer within 3 s" in hub.output()
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


def test_the_end_does_not_wait_for_a_receiver_that_hangs(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Two seconds of the drain are for it at the most, half of a short one; and what it has not taken comes with the
    next hub."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        hub = forwarder(f"http://127.0.0.1:{port}/").start()
        hub.publish({"type": "n", "n": 0})
        connection, _ = listener.accept()
        with connection:
            began = time.monotonic()
            assert hub.terminate() == 0
            assert 1.5 < time.monotonic() - began < 15
            assert "1 events are left to the next hub" in hub.output()
    with receiver(port) as there:
        hub.start()
        there.wait([0])


def test_what_is_there_is_delivered_before_the_end(forwarder: Callable[..., HubProcess]) -> None:
    """A receiver that takes a moment for each batch gets all that was acknowledged before the hub has ended."""
    with receiver() as there:
        hub = forwarder(f"{there.url}#batch=100").start()
        there.slow = 0.05
        hub.publish([{"type": "n", "n": n} for n in range(300)])
        assert hub.terminate() == 0
        assert there.numbers == list(range(300))


def test_two_hubs_do_not_share_a_place(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """The second waits until the first has ended, and says so."""
    out = tmp_path / "events.jsonl"
    first = forwarder(f"file:{out}", HUB_HISTORY="memory:").start()
    second = forwarder(f"file:{out}", HUB_HISTORY="memory:").start()
    until(lambda: forwards(second)[0]["state"] == "retrying", "the second to be told")
    assert "another hub" in forwards(second)[0]["error"]
    first.publish({"type": "n", "n": 0})
    until(lambda: out.exists() and [one["n"] for one in lines(out)] == [0], "the first one's")
    settled(first)
    first.kill()
    second.publish({"type": "n", "n": 1})
    until(lambda: [one.get("n") for one in lines(out)] == [0, None, 1], "the second one's")
