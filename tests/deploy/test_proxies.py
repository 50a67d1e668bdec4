"""The hub behind nginx, Caddy and HAProxy, configured by the files in deploy/."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from ..wire.nginx import Tap
from .conftest import Before
from .proxies import CERTIFICATE, Proxy

GZIP = "Accept-Encoding: gzip, br, zstd"


def test_each_event_arrives_before_the_next_is_posted(hub: HubProcess, proxy: Proxy) -> None:
    before = hub.subscribers()
    with proxy.stream("?room=live", headers=[GZIP]) as stream:
        assert stream.status == 200
        assert stream.header("content-encoding") == []
        assert stream.header("content-type")[0].startswith("text/event-stream")
        stream.until("stream_opened")
        for number in range(30):
            proxy.publish({"type": "n", "n": number, "room": "live"})
            assert stream.until("n")["n"] == number
        (own,) = hub.newcomer(before)
        (listed,) = [one for one in hub.get("/api/subscribers")["subscribers"] if one["id"] == own]
        assert listed["path"] == "socket"  # and not HTTP/1.0


def test_heartbeats_arrive(proxy: Proxy) -> None:
    with proxy.stream("?room=quiet") as stream:
        for _ in range(2):
            stream.until("heartbeat")


def test_a_stream_resumes_after_its_last_event(proxy: Proxy) -> None:
    first = proxy.publish({"type": "n", "n": 1, "room": "resumed"})["id"]
    proxy.publish([{"type": "n", "n": number, "room": "resumed"} for number in range(2, 6)])
    with proxy.stream("?room=resumed", last_id=first) as stream:
        assert stream.until("stream_opened")["resumed"] is True
        assert [stream.until("n")["n"] for _ in range(4)] == [2, 3, 4, 5]


def test_a_large_batch_and_its_export(hub: HubProcess, proxy: Proxy) -> None:
    """7 MB in one POST, streamed to a subscriber, and read back as NDJSON."""
    room = f"large-{proxy.name}"
    batch = [{"type": "n", "n": number, "room": room, "pad": "x" * 7000} for number in range(1000)]
    with proxy.stream(f"?room={room}", headers=[GZIP]) as stream:
        stream.until("stream_opened")
        assert proxy.publish(batch)["accepted"] == 1000
        assert [stream.until("n")["n"] for _ in batch] == list(range(1000))
    accept = {"Accept": "application/x-ndjson"}
    export = proxy.request("GET", "/api/events", params={"room": room}, headers=accept)
    assert export.headers["Content-Type"].startswith("application/x-ndjson")
    assert [json.loads(line)["n"] for line in export.text.splitlines()] == list(range(1000))
    direct = requests.get(f"{hub.url}/api/events", params={"room": room}, headers=accept, timeout=PATIENCE)
    assert export.text == direct.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/agent/data", b"{", 400),
        ("POST", "/api/agent/data", b'{"type": ""}', 422),
        ("POST", "/api/agent/data", b'"' + b"x" * 9_000_000 + b'"', 413),
        ("GET", "/api/agent/data", b"", 405),
        ("GET", "/api/nothing", b"", 404),
        ("GET", "/api/stream?since=nonsense", b"", 400),
    ],
)
def test_the_hubs_own_errors_arrive(
    hub: HubProcess, proxy: Proxy, method: str, path: str, body: bytes, status: int
) -> None:
    options = {"data": body, "headers": {"Content-Type": "application/json"}}
    seen = proxy.request(method, path, **options)
    direct = requests.request(method, f"{hub.url}{path}", timeout=PATIENCE, **options)  # type: ignore[arg-type]
    assert (seen.status_code, seen.json()) == (status, direct.json())
    assert seen.headers["Content-Type"] == direct.headers["Content-Type"] == "application/problem+json"
    assert seen.headers.get("Allow") == direct.headers.get("Allow")


def test_http_is_redirected(proxy: Proxy) -> None:
    answer = requests.get(f"{proxy.plain}/docs/?x=1", allow_redirects=False, timeout=PATIENCE)
    assert answer.status_code == 308
    assert answer.headers["Location"].startswith("https://")
    assert answer.headers["Location"].endswith("/docs/?x=1")


def test_only_the_page_is_compressed(proxy: Proxy) -> None:
    page = proxy.request("GET", "/static/page.css", headers={"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    assert page.text == Path("static/page.css").read_text()


def test_a_client_cannot_choose_the_hubs_paths(proxy: Proxy) -> None:
    """The proxy is named in HUB_PROXIES, so its SCRIPT_NAME would count."""
    for name in ("SCRIPT_NAME", "Script_name", "SCRIPT-NAME"):
        assert proxy.request("GET", "/inner/api/config", headers={name: "/inner"}).status_code == 404


def test_pages_of_the_hubs_own_origin_may_post_and_others_not(proxy: Proxy) -> None:
    """The hub knows its origin from Host and X-Forwarded-Proto, which the proxy sets."""
    event = {"type": "n", "n": 1, "room": "origin"}
    for origin, claim, status in (
        (proxy.url, {}, 200),
        (proxy.url, {"X-Forwarded-Proto": "http"}, 200),
        ("https://evil.example", {"X-Forwarded-Host": "evil.example"}, 403),
    ):
        answer = proxy.request("POST", "/api/agent/data", json=event, headers={"Origin": origin, **claim})
        assert answer.status_code == status, (origin, answer.text)


def test_clients_are_counted_by_their_own_addresses(hub_factory: Callable[..., HubProcess], before: Before) -> None:
    """And not by an address that they claim."""
    limits = {"HUB_ADDRESS_SUBSCRIBERS": "2", "HUB_ADDRESS_RATE_LIMIT": "20/h"}
    hub = hub_factory(HUB_PROXIES="127.0.0.1", **limits).start()
    proxy = before(hub.port)
    claim = ["X-Forwarded-For: 203.0.113.7"]
    with ExitStack() as stack:
        for _ in range(2):
            stream = stack.enter_context(proxy.stream(source="127.0.0.2", headers=claim))
            assert stream.status == 200
        with proxy.stream(source="127.0.0.2", headers=["X-Forwarded-For: 203.0.113.8"]) as refused:
            assert refused.status == 429
        with proxy.stream(source="127.0.0.3", headers=claim) as other:
            assert other.status == 200
            addresses = [one["address"] for one in hub.get("/api/subscribers")["subscribers"]]
            assert sorted(addresses) == ["127.0.0.2", "127.0.0.2", "127.0.0.3"]
    asked = []
    while 429 not in asked:
        asked.append(_status_from("127.0.0.4", proxy, len(asked)))
        assert len(asked) <= 21
    assert _status_from("127.0.0.5", proxy, 0) == 200


def _status_from(source: str, proxy: Proxy, number: int) -> int:
    """The status of a request from the address `source`, which claims another one."""
    with requests.Session() as session:
        adapter = requests.adapters.HTTPAdapter()
        adapter.init_poolmanager(1, 1, source_address=(source, 0))
        session.mount("https://", adapter)
        claim = {"X-Forwarded-For": f"203.0.113.{number}"}
        url = f"{proxy.url}/api/config"
        return session.get(url, headers=claim, verify=str(CERTIFICATE), timeout=PATIENCE).status_code


def test_a_client_that_leaves_is_noticed_at_once(hub_factory: Callable[..., HubProcess], before: Before) -> None:
    """Without a heartbeat that would fail."""
    hub = hub_factory(HUB_HEARTBEAT="10m").start()
    proxy = before(hub.port)
    for leave in ("close", "reset"):
        stream = proxy.stream()
        stream.until("stream_opened")
        hub.wait_count(1)
        getattr(stream, leave)()
        hub.wait_count(0)


def test_connections_to_the_hub_are_kept(hub: HubProcess, before: Before) -> None:
    """Each client opens a connection of its own to the proxy."""
    tap = Tap(hub.port)
    try:
        proxy = before(tap.port)
        until(lambda: proxy.request("GET", "/api/health").status_code == 200, "the proxy to reach the hub")
        opened = tap.connections
        for number in range(40):
            proxy.publish({"type": "n", "n": number, "room": "kept"})
        assert tap.connections - opened < 20
        proxy.stop()
    finally:
        tap.close()
