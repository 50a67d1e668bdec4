"""The client when things break: kill -9 in mid-stream, a hub that stalls at exit, fork."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from event_hub.client import Hub, Publisher, Received, subscribe

from ..hubs import PATIENCE, ROOT, HubProcess, until

ROUNDS = 8


@pytest.mark.slow
def test_kill_9_in_mid_stream_and_every_event_arrives_once(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """Publisher, history and subscription together: in order, once each, no gap, however often the hub is killed."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_HEARTBEAT="1s").start()
    got: list[Received] = []
    events = subscribe(hub.url, since="all", timeout=2.0)
    reader = threading.Thread(target=lambda: got.extend(events), daemon=True)
    stop = threading.Event()
    published = 0

    def publish() -> None:
        nonlocal published
        while not stop.is_set():
            for _ in range(random.randrange(20)):
                publisher.publish({"type": "n", "n": published})
                published += 1
            time.sleep(0.01)  # a thousand a second: while the hub is away no more pile up than are sent in a moment

    with Publisher(hub.url, timeout=2.0, max_events=1_000_000) as publisher:
        writer = threading.Thread(target=publish, daemon=True)
        reader.start()
        writer.start()
        for round in range(ROUNDS):
            enough = publisher.stats.sent + 200
            until(lambda enough=enough: publisher.stats.sent >= enough, f"two hundred events in round {round}")
            if round % 2:
                os.kill(hub.worker_pid(), signal.SIGKILL)
            else:
                hub.kill()
                hub.launch()
        stop.set()
        writer.join(PATIENCE)
        assert publisher.flush(2 * PATIENCE)
        stats = publisher.stats
    until(lambda: len(got) >= published, f"all {published} events", 2 * PATIENCE)
    events.close()
    reader.join(PATIENCE)
    assert (stats.sent, stats.dropped) == (published, 0)
    assert stats.retries >= ROUNDS // 2
    assert [received.event.get("n") for received in got] == list(range(published))
    with Hub(hub.url) as client:
        assert [received.event["n"] for received in client.events()] == list(range(published))


def run(script: str, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, as users write them."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={**os.environ, "HUB_URL": url, **environ},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


FORGETFUL = """
from event_hub.client import Publisher
publisher = Publisher(flush_at_exit=FLUSH)
for n in range(COUNT):
    publisher.publish({"type": "n", "n": n, "text": "private"})
"""


def test_what_a_program_forgot_to_flush_is_sent_at_its_end(hub: HubProcess) -> None:
    done = run(FORGETFUL.replace("FLUSH", "30").replace("COUNT", "2000"), hub.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Hub(hub.url) as client:
        assert [received.event["n"] for received in client.newest(2000)] == list(range(2000))


def test_a_publisher_that_nobody_holds_sends_what_it_has(hub: HubProcess) -> None:
    script = (
        "from event_hub.client import Publisher\nPublisher(flush_at_exit=30).publish({'type': 'n', 'room': 'nobody'})\n"
    )
    done = run(script + "import gc; gc.collect()", hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    with Hub(hub.url) as client:
        assert len(client.newest(9, room="nobody")) == 1


@pytest.mark.parametrize("state", ["stalled", "away"])
def test_the_end_of_a_program_does_not_wait_longer_than_it_may(state: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if state == "away":
            listener.close()
        # Two publishers have the same two seconds, not two each. What is registered first runs last.
        script = (
            "import atexit, time\natexit.register(lambda: print(time.monotonic() - began))\n"
            + FORGETFUL
            + "other = Publisher(flush_at_exit=FLUSH)\nother.publish({'type': 'n'})\nbegan = time.monotonic()\n"
        )
        done = run(script.replace("FLUSH", "2").replace("COUNT", "3"), url)
    assert done.returncode == 0
    assert 1.9 < float(done.stdout) < 3.9
    assert "3 events for" in done.stderr and "given up" in done.stderr  # logging's last resort shows warnings
    assert "Traceback" not in done.stderr and "private" not in done.stderr


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads, from Python 3.12 on
from event_hub.client import Publisher
publisher = Publisher(defaults={"room": "fork"}, flush_at_exit=30)
publisher.publish({"type": "n", "who": "parent", "n": 0})
publisher.flush(30)
publisher._outbox.lock.acquire()  # whatever another thread holds at the fork
publisher.publish({"type": "n", "who": "parent", "n": 1})
pid = os.fork()
if pid == 0:
    assert publisher.stats.queued == publisher.stats.sent == 0
    publisher.publish({"type": "n", "who": "child", "n": 0})
    assert publisher.flush(30) and publisher.stats.sent == 1
    publisher.publish({"type": "n", "who": "child", "n": 1})
    sys.exit(0)
publisher._outbox.lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
publisher.publish({"type": "n", "who": "parent", "n": 2})
"""


def test_a_forked_child_has_a_queue_and_a_thread_of_its_own(hub: HubProcess) -> None:
    done = run(FORK, hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    with Hub(hub.url) as client:
        events = [received.event for received in client.events(room="fork")]
    assert [event["n"] for event in events if event["who"] == "parent"] == [0, 1, 2]
    assert [event["n"] for event in events if event["who"] == "child"] == [0, 1]


CHILDREN = """
import multiprocessing
from event_hub.client import Publisher
publisher = Publisher(defaults={"room": "mp-" + METHOD}, flush_at_exit=30)
def child(n):
    publisher.publish({"type": "n", "n": n})
if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    children = [context.Process(target=child, args=(n,)) for n in range(3)]
    for one in children: one.start()
    for one in children: one.join()
    assert [one.exitcode for one in children] == [0, 0, 0]
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_send_what_they_have_at_their_end(
    hub: HubProcess, tmp_path: Path, method: str
) -> None:
    """They may end without `atexit`. LiveKit runs its agents in such processes."""
    script = tmp_path / "children.py"
    script.write_text(CHILDREN.replace("METHOD", repr(f"{method}")))
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "HUB_URL": hub.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Hub(hub.url) as client:
        assert sorted(received.event["n"] for received in client.events(room=f"mp-{method}")) == [0, 1, 2]
