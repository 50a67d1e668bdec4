"""SIGTERM with 500 open streams: every acknowledged event arrives, everybody is told when to come back, at a time of its own."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until

STREAMS = 500


def test_drain_with_500_streams(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    crowd = [hub.stream(read_head=False) for _ in range(STREAMS)]
    for one in crowd:
        one.read_head()
        one.next()
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
    for one in crowd:
        events = [e for e in one.rest() if e["type"] != "heartbeat"]
        assert [e["n"] for e in events[:-1]] == acknowledged
        assert events[-1]["type"] == "stream_closing"
        assert events[-1]["_id"] == events[-2]["_id"]
        assert one.bytes.count(b"retry: ") == 2
        retries.append(one.decoder.retry or 0)
        one.close()
    assert max(retries) - min(retries) > 1500  # spread over about two and a half seconds
    assert len(set(retries)) > STREAMS // 4


def test_one_that_takes_nothing_does_not_hold_up_the_drain(hub_factory: Callable[..., HubProcess]) -> None:
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
def test_ctrl_c_drains_too(hub_factory: Callable[..., HubProcess], sent: signal.Signals) -> None:
    """Ctrl-C reaches the whole process group at once."""
    hub = hub_factory().start()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "n"})
        import os

        assert hub.process is not None
        os.killpg(hub.process.pid, sent)
        assert [e["type"] for e in stream.rest()] == ["n", "stream_closing"]
        assert hub.process.wait(PATIENCE) == 0
    assert "Traceback" not in hub.output()


def test_while_draining_newcomers_are_told_to_come_back(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_DRAIN="5s").start()
    with requests.Session() as session, hub.stream(receive_buffer=2048) as stalled:
        stalled.next()
        assert session.post(f"{hub.url}/api/agent/data", json={"type": "n"}, timeout=PATIENCE).status_code == 200
        for _ in range(3):
            hub.publish([{"type": "n", "pad": "x" * 30_000} for _ in range(100)])
        until(lambda: hub.get("/api/subscribers")["subscribers"][0]["blocked"], "the stalled one to be blocked")
        assert hub.process is not None
        hub.process.send_signal(signal.SIGTERM)
        answers = []

        def refused() -> bool:
            answers.append(session.post(f"{hub.url}/api/agent/data", json={"type": "n"}, timeout=PATIENCE))
            return answers[-1].status_code != 200

        until(refused, "the drain to begin")
        assert answers[-1].status_code == 503
        assert answers[-1].json()["code"] == "draining"
        assert hub.process.wait(PATIENCE) == 0
