"""SIGTERM with open streams: every acknowledged event arrives, and each subscriber gets its own time to reconnect."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until

STREAMS = 500


def test_drain_with_500_streams(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    crowd = [hub.stream(read_head=False) for _ in range(STREAMS)]
    for stream in crowd:
        stream.read_head()
        stream.next()
    hub.wait_count(STREAMS)
    acknowledged: list[int] = []
    refused: list[int] = []

    def publish() -> None:
        number = 0
        with requests.Session() as session:
            while True:
                try:
                    response = session.post(
                        f"{hub.url}/api/agent/data", json={"type": "n", "n": number}, timeout=PATIENCE
                    )
                except requests.RequestException:
                    return
                if response.status_code != 200:
                    refused.append(response.status_code)
                    return
                acknowledged.append(number)
                number += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    until(lambda: len(acknowledged) > 50, "some events")
    began = time.monotonic()
    assert hub.terminate() == 0
    publisher.join(PATIENCE)
    assert time.monotonic() - began < PATIENCE
    assert set(refused) <= {503}
    retries = []
    for stream in crowd:
        events = [e for e in stream.rest() if e["type"] != "heartbeat"]
        assert [e["n"] for e in events[:-1]] == acknowledged
        assert events[-1]["type"] == "stream_closing"
        assert events[-1]["_id"] == events[-2]["_id"]
        assert stream.bytes.count(b"retry: ") == 2
        retries.append(stream.decoder.retry or 0)
        stream.close()
    assert max(retries) - min(retries) > 1500  # spread over about two and a half seconds
    assert len(set(retries)) > STREAMS // 4


def test_a_stalled_subscriber_does_not_delay_the_drain(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_DRAIN="2s").start()
    with hub.stream(receive_buffer=2048) as stalled, hub.stream() as other:
        stalled.next()
        other.next()
        hub.wait_count(2)
        for _ in range(5):
            hub.publish([{"type": "n", "pad": "x" * 30_000} for _ in range(100)])
            for _ in range(100):
                other.until("n")
        assert hub.terminate() == 0
        assert other.rest()[-1]["type"] == "stream_closing"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_group_drains(hub_factory: Callable[..., HubProcess], sent: signal.Signals) -> None:
    """Ctrl-C sends SIGINT to the whole process group."""
    hub = hub_factory().start()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "n"})

        assert hub.process is not None
        os.killpg(hub.process.pid, sent)
        assert [e["type"] for e in stream.rest()] == ["n", "stream_closing"]
        assert hub.process.wait(PATIENCE) == 0
    assert "Traceback" not in hub.output()


def test_while_draining_new_requests_are_refused(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_DRAIN="60s").start()
    # The drain closes the listener: only a connection that is open is answered, and once it has begun, only once.
    with ExitStack() as stack, hub.stream(receive_buffer=2048) as stalled:
        sessions = [stack.enter_context(requests.Session()) for _ in range(100)]
        stalled.next()
        for _ in range(3):
            hub.publish([{"type": "n", "pad": "x" * 30_000} for _ in range(100)])
        until(lambda: hub.get("/api/subscribers")["subscribers"][0]["blocked"], "the stalled subscriber to be blocked")
        for session in sessions:
            assert session.post(f"{hub.url}/api/agent/data", json={"type": "n"}, timeout=PATIENCE).status_code == 200
        assert hub.process is not None
        hub.process.send_signal(signal.SIGTERM)
        answers = []

        def refused() -> bool:
            answers.append(sessions.pop().post(f"{hub.url}/api/agent/data", json={"type": "n"}, timeout=PATIENCE))
            return answers[-1].status_code != 200

        until(refused, "the drain to begin")
        assert answers[-1].status_code == 503
        assert answers[-1].json()["code"] == "draining"
        stalled.close()
        assert hub.process.wait(PATIENCE) == 0
