"""Misbehaving subscribers on real sockets, with both ways of streaming: no one else is affected (D05 D06)."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ..hubs import PATIENCE, HubProcess, Stream, until

BIG = "x" * 30_000
TOTAL = 600
"""This number of BIG events is more than the ring and a socket's buffers hold."""


@pytest.fixture(params=["gunicorn", "gunicorn-generator"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubProcess]:
    """A long HUB_STALL: on a busy machine, seconds may pass before the test reads from a subscriber again."""
    with HubProcess(tmp_path, server=request.param, HUB_HEARTBEAT="1s", HUB_STALL="60s", HUB_RING="200") as process:
        yield process


@pytest.fixture(params=["gunicorn", "gunicorn-generator"])
def impatient(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubProcess]:
    with HubProcess(tmp_path, server=request.param, HUB_STALL="2s", HUB_RING="200") as process:
        yield process


def test_short_sends_deliver_every_byte_in_order(hub_factory: Callable[..., HubProcess]) -> None:
    """With small buffers and a slow reader, sends end in the middle of frames, and no byte is lost."""
    hub = hub_factory(HUB_RING="10000", HUB_STALL="60s").start()
    with hub.stream(receive_buffer=4096) as slow, hub.stream() as quick:
        slow.next()
        quick.next()
        for start in range(0, 300, 50):
            hub.publish([{"type": "n", "n": n, "pad": BIG} for n in range(start, start + 50)])
        assert [quick.until("n")["n"] for _ in range(300)] == list(range(300))
        until(
            lambda: any(s["blocked"] for s in hub.get("/api/subscribers")["subscribers"]), "the slow one to be blocked"
        )
        assert [slow.until("n")["n"] for _ in range(300)] == list(range(300))
        until(
            lambda: all(s["lag"] == 0 for s in hub.get("/api/subscribers")["subscribers"]),
            "the slow one to have caught up",
        )
        hub.publish({"type": "n", "n": "live"})
        assert slow.until("n")["n"] == "live"


def test_a_stalled_reader_is_dropped(impatient: HubProcess) -> None:
    """It reads nothing, so it is dropped after HUB_STALL, while the other subscriber gets every event.

    Events are published a few at a time, so that they fit the other subscriber's socket and it never stalls, however late
    the test reads from it.
    """
    hub = impatient
    stalled = hub.stream(receive_buffer=4096)
    stalled.next()
    with hub.stream() as other:
        other.next()
        hub.wait_count(2)
        for start in range(0, TOTAL, 10):
            hub.publish([{"type": "n", "n": n, "pad": BIG} for n in range(start, start + 10)])
            assert [other.until("n")["n"] for _ in range(10)] == list(range(start, start + 10))
        until(lambda: hub.count() == 1, "the stalled one to be dropped")
        assert hub.metrics()["hub_subscribers_dropped_total{stalled}"] == 1
        hub.publish({"type": "n", "n": TOTAL})
        assert other.until("n")["n"] == TOTAL
    stalled.close()


def test_a_slow_reader_gets_one_counted_gap(either: HubProcess) -> None:
    """When it reads again after the ring has moved on, it gets what was already sent, one stream_gap with the number of
    missed events, and the rest."""
    hub = either
    with hub.stream(receive_buffer=4096) as slow:
        slow.next()
        hub.wait_count(1)
        for start in range(0, TOTAL, 100):
            hub.publish([{"type": "n", "n": n, "pad": BIG} for n in range(start, start + 100)])
        before: list[int] = []
        event = slow.until("n")
        ids = {}
        while event["type"] != "stream_gap":
            if event["type"] == "n":
                before.append(event["n"])
                ids[event["n"]] = event["_id"]
            event = slow.next()
        assert before == list(range(len(before)))
        after = [slow.until("n")["n"] for _ in range(TOTAL - len(before) - event["missed"])]
        assert event["reason"] == "too_slow"
        assert event["from"] == ids[before[-1]]
        assert after == list(range(len(before) + event["missed"], TOTAL))
        assert len(after) <= 200 + 100  # the ring, and what was already sent
        # The missed events can be read from the history, between the gap's two cursors.
        missing: list[Any] = []
        after_id = event["from"]
        while not missing or missing[-1]["id"] != event["to"]:
            page = hub.get("/api/events", params={"after": after_id, "limit": 50})
            missing += [e for e in page["events"] if _offset(e["id"]) <= _offset(event["to"])]
            after_id = page["after"]
        assert [e["event"]["n"] for e in missing] == list(range(len(before), after[0]))
    assert hub.metrics()["hub_gaps_total{too_slow}"] == 1
    assert hub.metrics()["hub_missed_events_total"] == event["missed"]


def test_a_very_slow_reader_stays_connected_and_misses_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    """It reads something within every HUB_STALL, so it is slow but not stalled."""
    hub = hub_factory(HUB_STALL="2s", HUB_RING="200").start()
    with hub.stream(receive_buffer=2048) as crawler, hub.stream() as other:
        crawler.next()
        other.next()
        ended = threading.Event()

        def crawl() -> None:
            while not ended.wait(0.1):
                crawler.read(200)  # each read opens the receive window a little

        reader = threading.Thread(target=crawl)
        reader.start()
        try:
            for n in range(60):
                hub.publish({"type": "n", "n": n, "pad": "x" * 2000})
                assert other.until("n")["n"] == n
            began = crawler.bytes
            until(lambda: len(crawler.bytes) > len(began) + 6000, "the crawler to have read for three seconds")
            assert hub.count() == 2
        finally:
            ended.set()
            reader.join()
        assert [crawler.until("n")["n"] for _ in range(60)] == list(range(60))


def test_reset_and_half_closed_connections_are_noticed(either: HubProcess) -> None:
    hub = either
    with hub.stream() as other:
        other.next()
        resetting, half = hub.stream(), hub.stream()
        resetting.next()
        half.next()
        hub.wait_count(3)
        resetting.reset()
        hub.wait_count(2)
        half.socket.shutdown(socket.SHUT_WR)  # counts as closed: see sockets._readable
        hub.wait_count(1)
        assert hub.publish({"type": "n", "n": 1})["clients_notified"] == 1
        assert other.until("n")["n"] == 1
        half.rest()
        assert half.ended
        half.close()


def test_a_subscriber_that_keeps_sending_is_cut_off(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    with hub.stream() as talker, hub.stream() as other:
        talker.next()
        other.next()
        talker.socket.sendall(b"GET /api/health HTTP/1.1\r\n\r\n")
        hub.publish({"type": "n"})
        talker.until("n")  # a little input is ignored
        with pytest.raises(OSError):
            for _ in range(1000):
                talker.socket.sendall(b"x" * 65536)
        hub.wait_count(1)
        hub.publish({"type": "n"})
        other.until("n")


def test_1000_subscribers_leave_at_once(either: HubProcess) -> None:
    hub = either
    with hub.stream() as other:
        other.next()
        crowd = [hub.stream(read_head=False) for _ in range(1000)]
        for stream in crowd:
            stream.read_head()
        hub.wait_count(1001)
        descriptors = psutil.Process(hub.worker_pid()).num_fds()
        for stream in crowd:
            stream.close()
        answers = [hub.publish({"type": "n", "n": n})["clients_notified"] for n in range(5)]
        assert [other.until("n")["n"] for _ in range(5)] == list(range(5))
        assert answers == sorted(answers, reverse=True)
        hub.wait_count(1)
        until(lambda: psutil.Process(hub.worker_pid()).num_fds() < descriptors - 900, "their descriptors to be closed")


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))


def test_a_full_hub_refuses_new_subscribers(hub_factory: Callable[..., HubProcess]) -> None:
    """The file limit determines the number of subscribers; one more gets a 503, and the others are not affected."""
    hub = hub_factory(preexec=limited).start()
    limit = hub.get("/api/health")["max_subscribers"]
    assert limit == (160 - 64) * 4 // 5
    crowd = [hub.stream() for _ in range(limit)]
    try:
        for stream in crowd:
            stream.next()
        with hub.stream() as newcomer:
            assert newcomer.status == 503
            assert newcomer.header("retry-after")
        assert hub.metrics()["hub_requests_refused_total{too_many_subscribers}"] == 1
        assert hub.publish({"type": "n"})["clients_notified"] == limit
        assert {stream.until("n")["type"] for stream in crowd} == {"n"}
        crowd.pop().close()
        hub.wait_count(limit - 1)
        crowd.append(hub.stream())
        assert crowd[-1].status == 200
    finally:
        for stream in crowd:
            stream.close()


def test_http_1_0_clients_can_subscribe(hub_factory: Callable[..., HubProcess]) -> None:
    """nginx uses HTTP/1.0 upstream by default. Without chunked coding these go through the generator, up to the same limit."""
    hub = hub_factory(preexec=limited).start()
    crowd = [Stream(hub.port, read_head=False, version="1.0") for _ in range(70)]
    try:
        for stream in crowd:
            stream.read_head()
            assert stream.header("transfer-encoding") == []
        hub.wait_count(70)
        assert hub.publish({"type": "n"})["clients_notified"] == 70
        assert {stream.until("n")["type"] for stream in crowd} == {"n"}
    finally:
        for stream in crowd:
            stream.close()


def test_clients_that_do_not_read_an_answer_are_cut_off(hub_factory: Callable[..., HubProcess]) -> None:
    """They use up all connections; once they have read nothing for HUB_STALL, others are served again."""
    hub = hub_factory(preexec=limited, HUB_STALL="1s").start()
    for _ in range(5):
        hub.publish([{"type": "n", "pad": "x" * 60_000} for _ in range(100)])
    deaf = []
    try:
        for _ in range(60):
            client = socket.socket()
            deaf.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", hub.port))
            client.sendall(b"GET /api/events HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n")
        with hub.stream() as stream:
            stream.next()
            hub.publish({"type": "n", "n": 1})
            assert stream.until("n")["n"] == 1
    finally:
        for client in deaf:
            client.close()


def test_the_hub_recovers_from_running_out_of_file_descriptors(hub_factory: Callable[..., HubProcess]) -> None:
    """The last descriptor serves one more subscriber, others wait; connected ones are not affected, and the hub recovers."""
    hub = hub_factory().start()
    worker = hub.worker_pid()
    with hub.stream() as other, requests.Session() as publisher:
        other.next()
        publisher.post(f"{hub.url}/api/agent/data", json={"type": "n", "n": 0}, timeout=PATIENCE)
        used = max(int(name) for name in os.listdir(f"/proc/{worker}/fd")) + 1
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 1, 20_000))
        newcomers: list[Any] = []
        try:
            for number in range(5):
                newcomer = Stream(hub.port, read_head=False)
                newcomer.socket.settimeout(0.3 if number else PATIENCE)
                newcomers.append(newcomer)
                try:
                    newcomer.read_head()
                except (TimeoutError, AssertionError):
                    assert number
                else:
                    assert (number, newcomer.status) == (0, 200)
            for n in range(1, 20):
                answer = publisher.post(f"{hub.url}/api/agent/data", json={"type": "n", "n": n}, timeout=PATIENCE)
                assert answer.status_code == 200
                assert answer.json()["clients_notified"] == 2
            assert [other.until("n")["n"] for _ in range(20)] == list(range(20))
        finally:
            for newcomer in newcomers:
                newcomer.close()
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (20_000, 20_000))
        until(lambda: _opens(hub), "new subscribers to be served again")
        publisher.post(f"{hub.url}/api/agent/data", json={"type": "n", "n": 20}, timeout=PATIENCE)
        assert other.until("n")["n"] == 20


def _offset(cursor: str) -> int:
    return int(cursor.split("-")[1])


def _opens(hub: HubProcess) -> bool:
    try:
        with Stream(hub.port) as stream:
            return stream.status == 200
    except (OSError, AssertionError):
        return False
