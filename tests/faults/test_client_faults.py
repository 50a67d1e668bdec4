"""Faults: kill -9 in mid-stream, a hub that stalls at exit, fork."""

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
    """However often the hub is killed, the subscription gets every event once, in order, without a gap."""
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
            time.sleep(0.01)  # a thousand per second: a backlog that is sent in a moment

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
    """Run a script in its own process."""
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


def test_unflushed_events_are_sent_at_exit(hub: HubProcess) -> None:
    done = run(FORGETFUL.replace("FLUSH", "30").replace("COUNT", "2000"), hub.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Hub(hub.url) as client:
        assert [received.event["n"] for received in client.newest(2000)] == list(range(2000))


def test_an_unreferenced_publisher_sends_its_events(hub: HubProcess) -> None:
    script = "from event_hub.client import Publisher\nPublisher(flush_at_exit=30).publish({'type': 'n', 'room': 'unreferenced'})\n"
    done = run(script + "import gc; gc.collect()", hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    with Hub(hub.url) as client:
        assert len(client.newest(9, room="unreferenced")) == 1


@pytest.mark.parametrize("state", ["stalled", "away"])
def test_the_exit_is_delayed_no_longer_than_allowed(state: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if state == "away":
            listener.close()
        # Two publishers share the two seconds. The handler registered first runs last.
        script = (
            "import atexit, time\natexit.register(lambda: print(time.monotonic() - began))\n"
            + FORGETFUL
            + "other = Publisher(flush_at_exit=FLUSH)\nother.publish({'type': 'n'})\nbegan = time.monotonic()\n"
        )
        done = run(script.replace("FLUSH", "2").replace("COUNT", "3"), url)
    assert done.returncode == 0
    assert 1.9 < float(done.stdout) < 3.9
    assert f"The publisher for {url} was closed: 3 events never reached the hub (closed: 3)." in done.stderr
    assert f"The publisher for {url} was closed: 1 event never reached the hub (closed: 1)." in done.stderr
    assert "Traceback" not in done.stderr and "private" not in done.stderr


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, since Python 3.12
from event_hub.client import Publisher
publisher = Publisher(defaults={"room": "fork"}, flush_at_exit=30)
publisher.publish({"type": "n", "who": "parent", "n": 0})
publisher.flush(30)
publisher._outbox.lock.acquire()  # as if another thread held it at the fork
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


def test_a_forked_child_has_its_own_queue_and_thread(hub: HubProcess) -> None:
    done = run(FORK, hub.url)
    assert (done.returncode, done.stderr) == (0, "")
    with Hub(hub.url) as client:
        events = [received.event for received in client.events(room="fork")]
    assert [event["n"] for event in events if event["who"] == "parent"] == [0, 1, 2]
    assert [event["n"] for event in events if event["who"] == "child"] == [0, 1]


COLLECTED_CHILD = """
import gc, os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads, since Python 3.12
from event_hub.client import Publisher
publisher = Publisher()
held, release = threading.Event(), threading.Event()
def hold(lock):
    with lock:
        held.set()
        release.wait()
threading.Thread(target=hold, args=(publisher._outbox.lock,)).start()
held.wait()
pid = os.fork()
if pid == 0:
    del publisher
    gc.collect()
    os._exit(0)
release.set()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_a_publisher_collected_in_a_forked_child_does_not_deadlock(hub: HubProcess) -> None:
    """Another thread of the parent held the queue's lock at the fork; in the child, nothing releases it."""
    done = run(COLLECTED_CHILD, hub.url)
    assert (done.returncode, done.stderr) == (0, "")


CHILDREN = """
import multiprocessing
from event_hub.client import Publisher
publisher = Publisher(defaults={"room": "mp-" + METHOD}, flush_at_exit=30)
def child(n):
    publisher.publish({"type": "n", "n": n})
if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    children = [context.Process(target=child, args=(n,)) for n in range(3)]
    for process in children: process.start()
    for process in children: process.join()
    assert [process.exitcode for process in children] == [0, 0, 0]
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_send_their_events_at_exit(hub: HubProcess, tmp_path: Path, method: str) -> None:
    """Such processes may end without running `atexit`; LiveKit runs its agents in them."""
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
