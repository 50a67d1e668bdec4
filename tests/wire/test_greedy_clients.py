"""Clients that take more than their share, or claim what they may not, do not affect the others."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import threading
import time
from collections.abc import Callable

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, raw, until

REQUESTS = {
    "health": "GET /api/health",
    "page": "GET /",
    "config": "GET /api/config",
    "head": "HEAD /api/health",
    "missing": "GET /nothing",
    "preflight": "OPTIONS /api/stream",
}


@pytest.mark.parametrize("request_line", REQUESTS.values(), ids=list(REQUESTS))
def test_one_connection_that_pipelines_requests_does_not_starve_the_others(
    hub_factory: Callable[..., HubProcess], request_line: str
) -> None:
    """Counted, not timed: while a flood of requests is in the buffer, others are answered after a few of its responses."""
    hub = hub_factory().start()
    requests.get(f"{hub.url}/", timeout=PATIENCE)
    ask = f"{request_line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 50
    stopped = threading.Event()
    answered = 0

    with socket.create_connection(("127.0.0.1", hub.port)) as greedy:
        greedy.settimeout(0.5)

        def send() -> None:
            while not stopped.is_set():
                try:
                    greedy.sendall(ask)
                except OSError:
                    stopped.wait(0.01)

        def read() -> None:
            nonlocal answered
            while not stopped.is_set():
                try:
                    answered += greedy.recv(1 << 16).count(b"HTTP/1.1 ")
                except OSError:
                    continue

        threads = [threading.Thread(target=target) for target in (send, read)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: answered > 50, "the greedy client to be served")
            between = []
            for _ in range(10):
                before = answered
                hub.publish({"type": "n"})
                between.append(answered - before)
        finally:
            stopped.set()
            for thread in threads:
                thread.join(PATIENCE)
    # Hundreds to thousands before: the buffer of one connection was served to its end.
    assert sorted(between)[len(between) // 2] < 150, between


@pytest.mark.parametrize(
    "headers",
    [
        "SCRIPT_NAME: /x\r\n",
        "SCRIPT-NAME: /x\r\n",
        "Script_Name: /x\r\n",
        "PATH_INFO: /api/agent/start\r\n",
        "SCRIPT_NAME: /y\r\n",
        "X-Forwarded-Prefix: /x\r\n",
    ],
)
def test_a_client_cannot_choose_its_own_path(hub: HubProcess, headers: str) -> None:
    request = f"POST /x/api/agent/start HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 0\r\n\r\n"
    assert raw(hub, request.encode(), finish=True).startswith(b"HTTP/1.1 404 ")
    assert hub.get("/api/agent/status")["agents"] == []


def test_a_client_cannot_choose_the_slow_path_for_its_stream(hub: HubProcess) -> None:
    before = hub.subscribers()
    response = requests.get(
        f"{hub.url}/api/stream", headers={"X-Forwarded-Proto": "https"}, stream=True, timeout=PATIENCE
    )
    (mine,) = until(lambda: hub.subscribers() - before, "the stream to be open")
    listed = hub.get("/api/subscribers")["subscribers"]
    assert next(one for one in listed if one["id"] == mine)["path"] == "socket"
    response.close()


def test_a_proxy_that_is_named_is_believed(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_PROXIES="127.0.0.1").start()
    request = b"GET /x/api/config HTTP/1.1\r\nHost: localhost\r\nSCRIPT_NAME: /x\r\nConnection: close\r\n\r\n"
    assert raw(hub, request, finish=True).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/", "/stream-test.html", "/docs/", "/docs/errors", "/docs/events"])
def test_no_foreign_page_may_frame_ours(hub: HubProcess, path: str) -> None:
    headers = requests.get(f"{hub.url}{path}", timeout=PATIENCE).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


ROUTES = [
    "/api/stream", "/api/events", "/api/sessions", "/api/sessions/a", "/api/sessions/a/transcript.txt", "/api/rooms",
    "/api/subscribers", "/api/agent/status", "/api/agent/logs", "/api/health", "/api/config", "/metrics", "/", "/docs/",
]  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("value", [b"\xff", b"%ff", b"%c3%28", b"a%80b", b"\xc3("])
def test_a_query_that_is_not_utf8_is_a_bad_request(hub: HubProcess, route: str, value: bytes) -> None:
    for name in (b"room", b"type", b"limit", b"x"):
        request = (
            b"GET " + route.encode() + b"?" + name + b"=" + value + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        head, _, body = raw(hub, request, finish=True).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 "), head
        assert json.loads(body)["code"] == "bad_request"


@pytest.mark.parametrize("path", [b"/api/sessions/%ff", b"/static/%c3%28", b"/%ff"])
def test_a_path_that_is_not_utf8_is_a_bad_request(hub: HubProcess, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    assert raw(hub, request, finish=True).startswith(b"HTTP/1.1 400 ")


SEPARATORS = "a\u2028b\u2029c\u0085d"


def test_line_separators_tear_no_event_apart(hub: HubProcess) -> None:
    """Common line readers break lines at U+2028, U+2029 and U+0085."""
    event = {"type": "separators", "text": SEPARATORS, f"key{SEPARATORS}": 1}
    first = hub.publish(event)["id"]
    epoch, _, offset = first.rpartition("-")
    before = f"{epoch}-{int(offset) - 1}"
    with requests.get(
        f"{hub.url}/api/stream?last_event_id={before}&type=separators", stream=True, timeout=PATIENCE
    ) as response:
        hub.publish(event)
        texts = []
        for line in response.iter_lines(decode_unicode=True):
            if line.startswith("data:") and "separators" in line:
                texts.append(json.loads(line[5:]))
            if len(texts) == 2:  # one from the history, one live
                break
    assert [one["text"] for one in texts] == [SEPARATORS] * 2
    assert all(one[f"key{SEPARATORS}"] == 1 for one in texts)
    export = requests.get(
        f"{hub.url}/api/events?type=separators", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE
    )
    assert [json.loads(line)["text"] for line in export.text.splitlines()] == [SEPARATORS] * 2


def test_null_is_absent_for_every_optional_field(hub_factory: Callable[..., HubProcess]) -> None:
    livekit = {"LIVEKIT_URL": "ws://localhost:1", "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 32}
    hub = hub_factory(**livekit).start()
    nothing = dict.fromkeys(("room_name", "participant_name", "participantIdentity", "participant_metadata", "participantAttributes", "room_config"))  # fmt: skip
    for body in (nothing, {"room_config": {"metadata": None, "agents": [{"agent_name": None, "metadata": None}]}}):
        response = requests.post(f"{hub.url}/api/token", json=body, timeout=PATIENCE)
        assert response.status_code == 201, response.text
    assert requests.post(f"{hub.url}/api/token", json={"nonsense": None}, timeout=PATIENCE).status_code == 422


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


def test_idle_connections_give_way_to_new_ones(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(preexec=_few_descriptors).start()
    idle = []
    try:
        for number in range(200):
            connection = socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE)
            idle.append(connection)
            if number % 2:  # half of them have had a request
                connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in range(5):
            client = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
            client.request("POST", "/api/agent/data", '{"type":"n"}', {"Content-Type": "application/json"})
            assert client.getresponse().status == 200
            client.close()
        assert "Traceback" not in hub.output()
    finally:
        for connection in idle:
            connection.close()
    time.sleep(0)


@pytest.mark.parametrize(
    "request_line", ["POST /nothing", "GET /api/health", "POST /api/agent/data?x=%FF", "POST /api/token"]
)
def test_a_body_that_no_route_reads_does_not_stop_the_hub(
    hub_factory: Callable[..., HubProcess], request_line: str
) -> None:
    hub = hub_factory().start()
    stopped = threading.Event()
    sent = 0

    def flood() -> None:
        nonlocal sent
        with socket.create_connection(("127.0.0.1", hub.port)) as connection:
            head = f"{request_line} HTTP/1.1\r\nHost: h\r\nContent-Length: {1 << 40}\r\n\r\n"
            try:
                connection.sendall(head.encode())
                while not stopped.is_set():
                    sent += connection.send(b"x" * (1 << 20))
            except OSError:
                pass

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        until(lambda: sent > 1 << 20 or not thread.is_alive(), "the flood to have begun")
        for _ in range(5):
            hub.publish({"type": "n"})
        until(lambda: not thread.is_alive(), "the connection to be closed")
        assert sent < 64 << 20
    finally:
        stopped.set()
        thread.join(PATIENCE)
