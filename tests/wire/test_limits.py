"""Limits of a real hub: rates, open streams, the client's address behind a proxy (H38)."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from event_hub.client import Publisher

from ..hubs import PATIENCE, HubProcess, until

KEY, OTHER = "control-secret-0001", "control-secret-0002"
KEYS = {"HUB_CONTROL_KEYS": f"boss:{KEY},deputy:{OTHER}"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def get(hub: HubProcess, path: str, key: str = "", **headers: str) -> requests.Response:
    given = {**(bearer(key) if key else {}), **headers}
    return requests.get(f"{hub.url}{path}", headers=given, timeout=PATIENCE)


def test_over_a_rate_nothing_is_stored_and_others_are_served(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**KEYS, HUB_RATE_LIMIT="20/h").start()
    answers = [hub.post([{"type": "n", "n": n}] * 2, headers=bearer(KEY)) for n in range(25)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 5
    problem = answers[-1].json()
    assert (problem["code"], problem["retry"]) == ("rate_limited", True)
    assert "boss" in problem["detail"]
    wait = int(answers[-1].headers["Retry-After"])
    assert problem["retry_after"] == wait
    assert 0 < wait <= 7200
    assert get(hub, "/api/events", KEY).status_code == 429
    events = get(hub, "/api/events", OTHER).json()["events"]
    assert [item["event"]["n"] for item in events] == [n for n in range(20) for _ in "ab"]
    assert get(hub, "/api/health", KEY).status_code == 200
    assert get(hub, "/", KEY).status_code == 200
    metrics = get(hub, "/metrics", OTHER).text
    assert 'hub_requests_refused_total{code="rate_limited"} 6.0' in metrics


def test_after_the_time_in_retry_after_a_request_is_accepted(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**KEYS, HUB_RATE_LIMIT="5/s,1000/h").start()
    accepted = refused = 0
    while refused < 2:
        answer = hub.post({"type": "n", "n": accepted}, headers=bearer(KEY))
        if answer.status_code == 200:
            accepted += 1
            continue
        refused += 1
        assert answer.headers["Retry-After"] == "1"
        time.sleep(1)
        assert hub.post({"type": "n", "n": accepted}, headers=bearer(KEY)).status_code == 200
        accepted += 1


def test_a_publisher_over_its_rate_loses_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**KEYS, HUB_RATE_LIMIT="3/s").start()
    with Publisher(hub.url, key=KEY, batch=1) as publisher:
        for n in range(10):
            publisher.publish({"type": "n", "n": n})
        assert publisher.flush(PATIENCE)
        assert publisher.stats.retries > 0
    events = get(hub, "/api/events", OTHER).json()["events"]
    assert [item["event"]["n"] for item in events if item["event"]["type"] == "n"] == list(range(10))


@pytest.mark.parametrize("environ", [{}, KEYS], ids=["open", "required"])
def test_strangers_have_a_rate_for_each_address(
    hub_factory: Callable[..., HubProcess], environ: dict[str, str]
) -> None:
    hub = hub_factory(**environ, HUB_ADDRESS_RATE_LIMIT="10/h").start()
    assert {get(hub, "/api/config").status_code for _ in range(10)} == {200}
    refused = get(hub, "/api/config")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    for path in ("/api/sign-in", "/api/agent/data", "/api/livekit/webhook", "/api/nothing"):
        answer = requests.post(f"{hub.url}{path}", json={"type": "n"}, timeout=PATIENCE)
        assert answer.status_code == 429, path
    assert get(hub, "/api/health").status_code == 200
    assert get(hub, "/api/health/live").status_code == 200
    assert get(hub, "/").status_code == 200
    if environ:
        assert get(hub, "/api/events", KEY).status_code == 200
        assert get(hub, "/api/events", "wrong-key").status_code == 429


def test_the_address_behind_a_named_proxy(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_PROXIES="127.0.0.1,10.0.0.0/8", HUB_ADDRESS_RATE_LIMIT="5/h").start()

    def asks(forwarded: str) -> int:
        return get(hub, "/api/config", **{"X-Forwarded-For": forwarded}).status_code

    assert [asks(f"10.1.1.1, {n}.1.1.1, 203.0.113.9") for n in range(6)] == [200] * 5 + [429], "the left is made up"
    assert asks("203.0.113.9:4711") == 429
    assert asks("::ffff:203.0.113.9, 10.2.2.2") == 429
    assert asks("203.0.113.10") == 200
    assert [asks(f"[2001:db8::{n}]:80") for n in range(6)] == [200] * 5 + [429], "a /64 is one client"
    assert [asks(f"garbage-{n}") for n in range(6)] == [200] * 5 + [429], "without an address, the proxy's counts"
    # 10 KB of addresses, in two headers: what the proxy adds last is the client's.
    long = "X-Forwarded-For: " + "198.51.100.1, " * 500
    head = (
        f"GET /api/config HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{long}198.51.100.2\r\n{long}203.0.113.9\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 429 ")


def test_nobody_else_may_say_where_it_comes_from(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_PROXIES="192.0.2.1", HUB_ADDRESS_RATE_LIMIT="5/h").start()
    statuses = [get(hub, "/api/config", **{"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(6)]
    assert statuses == [200] * 5 + [429]


@pytest.mark.parametrize("takeover", ["0", "1"])
def test_a_subscriber_is_listed_with_its_address(hub_factory: Callable[..., HubProcess], takeover: str) -> None:
    hub = hub_factory(HUB_PROXIES="127.0.0.1", HUB_TAKEOVER=takeover).start()
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    with ExitStack() as stack:
        stack.enter_context(requests.get(f"{hub.url}/api/stream", headers=forwarded, stream=True, timeout=PATIENCE))
        mine = stack.enter_context(hub.stream())
        host, port = mine.socket.getsockname()
        hub.wait_count(2)
        listed = hub.get("/api/subscribers")["subscribers"]
        assert {one["address"] for one in listed} == {"203.0.113.9", f"{host}:{port}"}


@pytest.mark.parametrize("takeover", ["0", "1"])
def test_streams_of_one_credential_and_address(hub_factory: Callable[..., HubProcess], takeover: str) -> None:
    limits = {"HUB_CREDENTIAL_SUBSCRIBERS": "2", "HUB_ADDRESS_SUBSCRIBERS": "3", "HUB_TAKEOVER": takeover}
    hub = hub_factory(**KEYS, **limits, HUB_HEARTBEAT="1s").start()
    mine, other = f"?access_token={KEY}", f"?access_token={OTHER}"
    with ExitStack() as stack:
        for query in (mine, mine, other):
            assert stack.enter_context(hub.stream(query)).status == 200
        for query in (mine, other):
            refused = stack.enter_context(hub.stream(query))
            assert (refused.status, refused.header("retry-after")) == (429, ["2"])
    until(lambda: _opens(hub, mine), "the streams that left to be counted no more")


def _opens(hub: HubProcess, query: str) -> bool:
    with hub.stream(query) as stream:
        return stream.status == 200


MOST = 6


@pytest.mark.parametrize("takeover", ["0", "1"])
def test_streams_are_counted_exactly_however_they_end(
    hub_factory: Callable[..., HubProcess], tmp_path: Path, takeover: str
) -> None:
    """Left, reset, stalled, expired, revoked, refused, aborted in its replay: each gives its place back, once."""
    keys = tmp_path / "keys"
    keys.write_text(f"control boss:{KEY}\ncontrol leaving:{OTHER}\n")
    hub = hub_factory(
        HUB_KEYS_FILE=str(keys), HUB_ADDRESS_SUBSCRIBERS=str(MOST), HUB_TAKEOVER=takeover,
        HUB_HEARTBEAT="1s", HUB_STALL="1s", HUB_RING="10", HUB_MAX_GLOBS="0",
    ).start()  # fmt: skip
    mine = f"?access_token={KEY}"

    def fill(query: str, **options: Any) -> list[Any]:
        """As many streams as there may be. Those before may still be ending, so opening is tried again."""
        streams = []
        for _ in range(MOST):

            def opened() -> bool:
                stream = hub.stream(query, **options)
                if stream.status in (0, 200):
                    streams.append(stream)
                    return True
                stream.close()
                return False

            until(opened, "a place")
        with hub.stream(mine) as beyond:
            assert beyond.status == 429
        return streams

    for stream in fill(mine):
        stream.close()
    for stream in fill(mine):
        stream.reset()
    for query in ("&room=a*", "&since=nonsense", "&replay=-1"):
        for _ in range(MOST):
            with hub.stream(mine + query) as refused:
                assert refused.status in (400, 429), query

    assert hub.post([{"type": "big", "n": n, "text": "x" * 50_000} for n in range(100)], headers=bearer(KEY)).ok
    for stream in fill(f"{mine}&since=all", receive_buffer=4096):  # closed in the midst of a replay
        stream.close()
    stalled = fill(mine, receive_buffer=4096)
    for _ in range(4):  # more than the buffers take
        assert hub.post([{"type": "big", "text": "x" * 60_000} for _ in range(100)], headers=bearer(KEY)).ok

    again = fill(mine)  # once the stalled ones have been dropped
    for stream in stalled + again:
        stream.close()
    until(lambda: _opens(hub, mine), "a place")

    share = requests.post(
        f"{hub.url}/api/share", json={"rooms": ["a"], "for": "8s"}, headers=bearer(KEY), timeout=PATIENCE
    )
    for stream in fill(f"?access_token={share.json()['token']}"):
        assert stream.until("stream_closing")["reason"] == "token_expired"
        stream.close()

    leaving = fill(f"?access_token={OTHER}")
    keys.write_text(f"control boss:{KEY}\n")
    assert hub.process is not None
    hub.process.send_signal(signal.SIGHUP)
    for stream in leaving:
        assert stream.until("stream_closing")["reason"] == "access_revoked"
        stream.close()
    for stream in fill(mine):
        stream.close()
