"""Forwarding through kill -9, full disks and hung receivers: no event is lost, and none is in a file twice (H35)."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from event_hub.server.forward.webhook import TIMEOUT

from ..hubs import PATIENCE, HubProcess, until
from ..wire.receivers import forwards, lines, receiver, rotated, settled
from .starts import with_constant
from .test_kill import Publisher

ROUNDS = 12


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_while_forwarding(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Under load, with a receiver that sometimes refuses: it gets every event in order, and repeats only the batches whose
    answer the hub was killed before recording. The file has every event once."""
    out = tmp_path / "events.jsonl"
    with receiver() as target:
        hub = forwarder(f"{target.url}#batch=20", f"file:{out}#rotate=20KB&keep=0").start()
        publisher = Publisher(hub)
        publisher.start()
        try:
            for round in range(ROUNDS):
                target.default_answer = random.choice((204, 204, 500))
                enough = len(publisher.ids) + 40
                until(lambda enough=enough: len(publisher.ids) >= enough, f"40 events in round {round}\n{hub.output()}")
                target.default_answer = 204
                time.sleep(random.uniform(0, 0.05))
                if round % 3:
                    os.kill(hub.worker_pid(), signal.SIGKILL)  # the worker alone: its master starts a new one
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
        until(lambda: target.numbers[-1:] == [-1], "the receiver to have the last event")
        until(lambda: [event["n"] for event in lines(out)][-1:] == [-1], "the file to have the last event")
    total = len(publisher.ids)
    seen: list[str] = []
    for delivery in target.deliveries:
        if delivery.status == 204:
            ids = [event["_id"] for event in delivery.events]
            again = [id for id in ids if id in seen]
            assert ids[: len(again)] == again == seen[len(seen) - len(again) :] or not again
            seen += [id for id in ids if id not in again]
    offsets = [int(id.split("-")[1]) for id in seen]
    assert offsets == sorted(offsets)
    assert set(publisher.ids.values()) <= set(seen)
    assert len(target.accepted) - len(seen) <= 20 * (ROUNDS + 1)
    filed = [event["n"] for path in rotated(out) for event in lines(path)]
    assert filed == [*range(max(filed) + 1), -1]
    assert len(filed) >= total + 1
    assert "Traceback" not in hub.output()


def test_a_file_is_repaired_after_a_kill_during_a_write(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Anything after the recorded size, complete lines or not, is truncated and written again."""
    out = tmp_path / "events.jsonl"
    hub = forwarder(f"file:{out}").start()
    for round in range(5):
        hub.publish([{"type": "n", "n": 10 * round + k} for k in range(10)])
        until(lambda round=round: out.exists() and out.read_bytes().count(b"\n") == 10 * round + 10, "ten more lines")
        settled(hub)
        hub.kill()
        with out.open("ab") as file:
            file.write(b'{"type":"n","n":%d}\n{"type":' % (10 * round + 10))
        hub.start()
    hub.publish({"type": "n", "n": 50})
    until(
        lambda: out.read_bytes().count(b"\n") == 51 and out.read_bytes().endswith(b"}\n"),
        "the last line to be complete",
    )
    assert [event["n"] for event in lines(out)] == list(range(51))


def test_a_full_disk(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Simulated by a limit on file sizes: the hub reports it, leaves no partial line, and loses no event."""
    out = tmp_path / "events.jsonl"

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    hub = forwarder(f"file:{out}", HUB_HISTORY="memory:", preexec=small_disk).start()
    resource.prlimit(hub.worker_pid(), resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    hub.publish([{"type": "n", "n": n, "pad": "x" * 100} for n in range(20)])
    until(lambda: out.exists() and len(out.read_bytes().splitlines()) == 20, "the events that fit")
    hub.publish([{"type": "n", "n": n, "pad": "x" * 100} for n in range(20, 100)])
    until(lambda: forwards(hub)[0]["state"] == "retrying", "the disk to be full")
    assert "too large" in forwards(hub)[0]["error"]
    assert len(lines(out)) == 20
    assert hub.get("/api/health")["status"] == "ok"
    assert hub.output().count("cannot be written") == 1
    resource.prlimit(hub.worker_pid(), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    until(lambda: len(out.read_bytes().splitlines()) == 100, "the rest")
    assert [event["n"] for event in lines(out)] == list(range(100))
    settled(hub)
    assert hub.output().count("works again") == 1


def test_an_unwritable_file_is_retried(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A folder has the file's name; the hub retries until the folder is removed, even across a restart."""
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
    until(lambda: out.exists() and len(out.read_bytes().splitlines()) == 2, "both events")
    assert [event["n"] for event in lines(out)] == [0, 1]


def test_a_hung_receiver_times_out_and_is_retried(forwarder: Callable[..., HubProcess]) -> None:
    """After 15 s (3 s here), even if it keeps sending an endless header."""
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
            hub.arguments = with_constant("event_hub.server.forward.webhook", "TIMEOUT = 3.0")
            hub.start()
            hub.publish({"type": "n"})
            until(lambda: len(requests) >= 2, "a second attempt")
            assert requests[1][0] - requests[0][0] > 2.5
            until(lambda: forwards(hub)[0]["lag"] == 0, "the event to be accepted")
            assert "no answer within 3 s" in hub.output()
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE)


def test_a_hung_receiver_does_not_delay_the_shutdown(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """The drain gives it at most two seconds, or half of a shorter drain; the next hub delivers the rest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        hub = forwarder(f"http://127.0.0.1:{port}/").start()
        hub.publish({"type": "n", "n": 0})
        connection, _ = listener.accept()
        with connection:
            began = time.monotonic()
            assert hub.terminate() == 0
            assert 1.5 < time.monotonic() - began < 15
            assert "1 events remain for the next hub" in hub.output()
    with receiver(port) as target:
        hub.start()
        target.wait([0])


def test_acknowledged_events_are_delivered_before_the_shutdown(forwarder: Callable[..., HubProcess]) -> None:
    """A receiver that takes a moment for each batch still gets everything."""
    with receiver() as target:
        hub = forwarder(f"{target.url}#batch=100").start()
        target.delay = 0.05
        hub.publish([{"type": "n", "n": n} for n in range(300)])
        assert hub.terminate() == 0
        assert target.numbers == list(range(300))


def test_two_hubs_do_not_share_a_checkpoint(forwarder: Callable[..., HubProcess], tmp_path: Path) -> None:
    """The second hub reports an error and waits until the first has ended."""
    out = tmp_path / "events.jsonl"
    first = forwarder(f"file:{out}", HUB_HISTORY="memory:").start()
    second = forwarder(f"file:{out}", HUB_HISTORY="memory:").start()
    until(lambda: forwards(second)[0]["state"] == "retrying", "the second hub to be locked out")
    assert "another hub" in forwards(second)[0]["error"]
    first.publish({"type": "n", "n": 0})
    until(lambda: out.exists() and [event["n"] for event in lines(out)] == [0], "the first hub's event")
    settled(first)
    first.kill()
    second.publish({"type": "n", "n": 1})
    until(lambda: [event.get("n") for event in lines(out)] == [0, None, 1], "the second hub's event")
