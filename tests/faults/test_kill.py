"""Repeated kill -9 during streaming: no acknowledged event is lost or doubled, and subscribers resume by themselves."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ..hubs import PATIENCE, HubProcess, Stream, until

ROUNDS = 50


class Publisher(threading.Thread):
    """Posts numbered events, singly and in batches, and retries with the same event_id until each is acknowledged."""

    def __init__(self, hub: HubProcess) -> None:
        super().__init__(daemon=True)
        self.hub = hub
        self.ids: dict[int, str] = {}
        self.repeated = 0
        self.done = threading.Event()
        self.first_try = True

    def run(self) -> None:
        number = 0
        session = requests.Session()
        while not self.done.is_set():
            batch = random.choice((1, 1, 3))
            events = [{"type": "n", "n": number + k, "event_id": f"e{number + k}"} for k in range(batch)]
            answer = self.until_acknowledged(session, events[0] if batch == 1 else events)
            first = answer["id"] if batch == 1 else answer["first_id"]
            epoch, offset = first.split("-")
            self.repeated += answer["duplicates"] if batch > 1 else answer["duplicate"]
            self.ids.update({number + k: f"{epoch}-{int(offset) + k}" for k in range(batch)})
            number += batch
            time.sleep(0.001)

    def until_acknowledged(self, session: requests.Session, body: Any) -> Any:
        while True:
            try:
                response = session.post(f"{self.hub.url}/api/agent/data", json=body, timeout=5)
                if response.status_code == 200:
                    return response.json()
                assert response.status_code == 503, response.text
            except requests.RequestException:
                session = requests.Session()
            if self.done.wait(0.02):
                raise SystemExit


class Listener(threading.Thread):
    """A minimal EventSource: reconnects with the last id as often as necessary."""

    def __init__(self, hub: HubProcess, query: str) -> None:
        super().__init__(daemon=True)
        self.hub = hub
        self.query = query
        self.last_id: str | None = None
        self.seen: list[tuple[int, str]] = []
        self.gaps: list[Any] = []
        self.opened = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            try:
                with Stream(self.hub.port, self.query, last_id=self.last_id) as stream:
                    self.take(stream)
            except (OSError, EOFError, AssertionError, ValueError):
                self.done.wait(0.02)

    def take(self, stream: Stream) -> None:
        while not self.done.is_set():
            event = stream.next(2.0)
            self.last_id = event["_id"]
            if event["type"] == "n":
                self.seen.append((event["n"], event["_id"]))
            elif event["type"] == "stream_gap":
                self.gaps.append(event)
            elif event["type"] == "stream_opened":
                self.opened += 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_9_fifty_times(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_HEARTBEAT="1s").start()
    publisher = Publisher(hub)
    listeners = [Listener(hub, "?since=all"), Listener(hub, "?since=all&type=n")]
    for thread in (publisher, *listeners):
        thread.start()
    try:
        for round in range(ROUNDS):
            enough = len(publisher.ids) + 10
            until(
                lambda enough=enough: len(publisher.ids) >= enough,
                f"ten events in round {round}\n{hub.output()[-2000:]}",
            )
            if round % 2:
                os.kill(hub.worker_pid(), signal.SIGKILL)  # the worker alone: its master starts a new one
            else:
                hub.kill()
                hub.launch()
        until(lambda: len(publisher.ids) > max(publisher.ids, default=0), "publishing to go on")
        settled = len(publisher.ids) + 20
        until(lambda: len(publisher.ids) >= settled, "events after the last kill")
    finally:
        publisher.done.set()
        publisher.join(PATIENCE)
    total = len(publisher.ids)
    try:
        for listener in listeners:
            until(
                lambda listener=listener: len(listener.seen) >= total, f"all {total} events, not {len(listener.seen)}"
            )
    finally:
        for listener in listeners:
            listener.done.set()
            listener.join(PATIENCE)
    for listener in listeners:
        assert [n for n, _ in listener.seen[:total]] == list(range(total))
        assert dict(listener.seen) | publisher.ids == dict(listener.seen)  # the ids that were acknowledged
        assert listener.gaps == []
        assert listener.opened > ROUNDS // 2
    assert len({i.split("-")[0] for _, i in listeners[0].seen}) == 1, "the epoch changed although no event was lost"


def test_the_loss_of_a_memory_history_is_reported_as_a_gap(hub_factory: Callable[..., HubProcess]) -> None:
    """A new history has a new epoch: a subscriber that resumes with the old one gets a gap, then the available events."""
    hub = hub_factory().start()
    with hub.stream() as stream:
        stream.next()
        last = hub.publish({"type": "n", "n": 1})["id"]
        assert stream.until("n")["_id"] == last
    hub.kill()
    hub.start()
    hub.publish({"type": "n", "n": 2})
    with hub.stream(last_id=last) as stream:
        assert stream.next()["resumed"] is False
        gap = stream.next()
        assert (gap["type"], gap["missed"], gap["reason"], gap["from"]) == ("stream_gap", None, "unknown_epoch", last)
        assert stream.next()["n"] == 2


def test_the_worker_does_not_outlive_its_master(hub_factory: Callable[..., HubProcess]) -> None:
    """After kill -9 of the master alone, its worker drains, and the next hub can use the port and the history."""
    hub = hub_factory(HUB_HISTORY="sqlite:///" + str(hub_factory().folder / "hub.db")).start()
    worker = psutil.Process(hub.worker_pid())
    with hub.stream() as stream:
        stream.next()
        last = hub.publish({"type": "n"})["id"]
        assert hub.process is not None
        hub.process.kill()
        hub.process.wait(PATIENCE)
        assert [e["type"] for e in stream.rest()] == ["n", "stream_closing"]
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the worker to end")
    hub.start()
    assert hub.get("/api/health")["cursor"] == last
