"""Reloads of a proxy and restarts of the hub behind it: subscribers resume without loss."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from event_hub.client import subscribe

from ..hubs import PATIENCE, HubProcess, until
from .conftest import Before
from .proxies import CERTIFICATE, Proxy


class Watcher:
    """A subscriber that resumes, in a thread. `seen`: the numbers of its events; `states`: what its connection did."""

    def __init__(self, url: str) -> None:
        self.seen: list[int] = []
        self.gaps: list[str] = []
        self.states: list[str] = []
        self._subscription = subscribe(url, on_state=lambda state, _: self.states.append(state))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for received in self._subscription:
            if received.type == "stream_gap":
                self.gaps.append(received.raw)
            elif received.type == "n":
                self.seen.append(received.event["n"])

    def reconnected(self, times: int = 1) -> bool:
        return self.states.count("live") > times

    def close(self) -> None:
        self._subscription.close()
        self._thread.join(PATIENCE)


@contextmanager
def watching(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    watcher = Watcher(proxy.url)
    try:
        until(lambda: "live" in watcher.states, "the subscriber to be live")
        yield watcher
    finally:
        watcher.close()


@pytest.fixture
def durable(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> HubProcess:
    settings = {"HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db", "HUB_PROXIES": "127.0.0.1"}
    return hub_factory(**settings).start()


def test_a_reload_and_a_restart_of_the_proxy_lose_nothing(
    durable: HubProcess, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = before(durable.port)
    with watching(proxy, monkeypatch) as watcher:
        posted = 0

        def post_until(condition: Callable[[], object], what: str) -> None:
            """Publishers go on meanwhile, directly at the hub."""
            nonlocal posted

            def step() -> object:
                nonlocal posted
                durable.publish({"type": "n", "n": posted})
                posted += 1
                return condition()

            until(step, what)

        post_until(lambda: len(watcher.seen) > 5, "events")
        proxy.reload()
        if proxy.name == "caddy":  # it leaves the stream open
            reached = len(watcher.seen) + 20
            post_until(lambda: len(watcher.seen) > reached, "more events")
        else:
            post_until(watcher.reconnected, f"the old {proxy.name} to close the stream, and the subscriber to return")
        times = watcher.states.count("live")
        proxy.stop()
        proxy.start()
        post_until(lambda: watcher.reconnected(times), "the subscriber to return after a restart of the proxy")
        until(lambda: len(watcher.seen) == posted, "all events")
    assert watcher.seen == list(range(posted))
    assert watcher.gaps == []


def test_a_restart_of_the_hub_loses_nothing(
    durable: HubProcess, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = before(durable.port)
    with watching(proxy, monkeypatch) as watcher:
        for number in range(10):
            proxy.publish({"type": "n", "n": number})
        assert durable.terminate() == 0
        # A publisher learns that the hub is away; a subscriber, whose EventSource must not give up, sees no response.
        post = proxy.request("POST", "/api/agent/data", json={"type": "n", "n": -1})
        assert post.status_code in (502, 503)
        with pytest.raises(requests.ConnectionError):
            proxy.request("GET", "/api/stream", stream=True)
        durable.start()
        for number in range(10, 20):
            durable.publish({"type": "n", "n": number})
        until(watcher.reconnected, "the subscriber to return")
        until(lambda: len(watcher.seen) >= 20, "the rest")
        until(lambda: _posted(proxy, 20), "the proxy to accept events again")
        until(lambda: len(watcher.seen) == 21, "the last event")
    assert watcher.seen == list(range(21))
    assert watcher.gaps == []


def _posted(proxy: Proxy, number: int) -> bool:
    """Whether the hub has the event; it is counted once, however often it is posted."""
    event = {"type": "n", "n": number, "event_id": f"n-{number}"}
    return proxy.request("POST", "/api/agent/data", json=event).status_code == 200


def test_a_hub_killed_behind_the_proxy_loses_nothing(
    durable: HubProcess, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = before(durable.port)
    with watching(proxy, monkeypatch) as watcher:
        for number in range(10):
            proxy.publish({"type": "n", "n": number})
        durable.kill()
        durable.start()
        durable.publish({"type": "n", "n": 10})
        until(lambda: len(watcher.seen) == 11, "the rest")
    assert watcher.seen == list(range(11))
    assert watcher.gaps == []


def test_a_hub_whose_history_cannot_be_written_is_still_reached(
    durable: HubProcess, before: Before, tmp_path: Path
) -> None:
    """It is not ready, but serves streams and what is stored, and says itself why it accepts no events."""
    durable.publish({"type": "n", "n": 1})
    proxy = before(durable.port)
    with closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def refused() -> bool:
            answer = proxy.request("POST", "/api/agent/data", json={"type": "n", "n": 2})
            assert (answer.status_code, answer.json()["code"]) == (503, "history_unavailable")
            return proxy.name != "haproxy" or "Server hub/hub is DOWN" in proxy.output()

        until(refused, "HAProxy to notice")
        assert proxy.request("GET", "/api/health").json()["status"] == "degraded"
        assert proxy.request("GET", "/api/health/live").status_code == 200
        assert len(proxy.request("GET", "/api/events").json()["events"]) == 1
        with proxy.stream("?since=all") as stream:
            assert stream.until("n")["n"] == 1
        other.execute("ROLLBACK")
    until(lambda: _posted(proxy, 3), "the hub to accept events again")
