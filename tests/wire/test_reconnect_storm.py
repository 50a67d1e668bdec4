"""Many subscribers that come back at once, as after a restart: each gets everything, and publishers notice nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, Stream, until
from .guarded import ENVIRON, KEYS, bearer

SUBSCRIBERS, STORED = 150, 1_200


@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-generator"])
@pytest.mark.parametrize("query", ["?since=all", "?since=all&room=demo"])
def test_everyone_gets_everything_while_publishing_goes_on(
    hub_factory: Callable[..., HubProcess], tmp_path: Path, server: str, query: str
) -> None:
    hub = hub_factory(server=server, HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    hub.publish([{"type": "n", "n": n, "room": "demo", "text": "x" * 150} for n in range(STORED)])
    hub.terminate()
    hub.start()
    numbers = iter(range(STORED, 100_000))
    published: list[int] = []
    over = threading.Event()

    def publish() -> None:
        with requests.Session() as session:
            while not over.is_set():
                number = next(numbers)
                event = {"type": "n", "n": number, "room": "demo"}
                answer = session.post(f"{hub.url}/api/agent/data", json=event, timeout=PATIENCE)
                assert answer.status_code == 200
                published.append(number)

    publisher = threading.Thread(target=publish)
    publisher.start()
    streams = [Stream(hub.port, query, read_head=False) for _ in range(SUBSCRIBERS)]
    try:
        until(lambda: len(published) > 50, "events between the replays")
        over.set()
        publisher.join()
        expected = list(range(STORED + len(published)))
        for stream in streams:
            stream.read_head()
            assert [stream.until("n")["n"] for _ in expected] == expected
        assert hub.get("/api/subscribers?limit=1")["count"] == SUBSCRIBERS
    finally:
        over.set()
        for stream in streams:
            stream.close()


def test_a_subscriber_that_does_not_read_its_replay_is_dropped(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_STALL="1s").start()
    for _ in range(20):
        hub.publish([{"type": "n", "text": "x" * 4000} for _ in range(400)])
    lazy = Stream(hub.port, "?since=all")
    try:
        with Stream(hub.port, "?since=all") as eager:
            for _ in range(8000):
                eager.until("n")
            until(
                lambda: hub.metrics().get("hub_subscribers_dropped_total{stalled}") == 1, "the lazy one to be dropped"
            )
            hub.publish({"type": "last"})
            eager.until("last")
    finally:
        lazy.close()


def test_a_replay_ends_with_its_key(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """If everything was sent whole, the stream says why it ends, and where it can be resumed."""
    file = tmp_path / "keys"
    file.write_text("subscribe goes:goes-secret-00001\n")
    hub = hub_factory(**ENVIRON, HUB_KEYS_FILE=str(file)).start()
    for _ in range(20):
        events = [{"type": "n", "text": "x" * 4000} for _ in range(400)]
        assert hub.post(events, headers=bearer(KEYS["control"])).status_code == 200
    with Stream(hub.port, "?since=all&access_token=goes-secret-00001") as stream:
        stream.until("n")
        file.write_text("")
        assert hub.process is not None
        os.kill(hub.process.pid, signal.SIGHUP)
        url, headers = f"{hub.url}/api/events?limit=1", bearer("goes-secret-00001")
        until(lambda: requests.get(url, headers=headers, timeout=PATIENCE).status_code == 401, "the key to be gone")
        count = 1
        try:
            while (event := stream.next())["type"] == "n":
                count += 1
            assert (event["type"], event["reason"]) == ("stream_closing", "access_revoked")
            assert int(event["cursor"].split("-")[1]) == count
        except EOFError:  # in the middle of a page
            pass
        assert count < 8000
