"""Widely used clients work: curl, requests, httpx-sse, sseclient, browsers' preflight requests (H03 H18 H41)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import sseclient
from httpx_sse import connect_sse

from ..hubs import PATIENCE, ROOT, HubProcess
from ..toolchain import tool

EVENT = {"type": "test", "message": "Hello from curl"}


def publish_when_subscribed(hub: HubProcess, events: list[dict[str, Any]]) -> None:
    hub.wait_count(1)
    for event in events:
        hub.publish(event)


def test_the_answer_to_curl_without_a_content_type_says_what_to_add(hub: HubProcess) -> None:
    command = [tool("curl"), "-s", f"{hub.url}/api/agent/data", "-d", '{"type":"test"}']
    problem = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout)
    assert "-H 'Content-Type: application/json'" in problem["advice"]


def test_the_hub_is_reached_over_ipv4_and_ipv6(hub: HubProcess) -> None:
    """H03."""
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert requests.get(f"http://{host}:{hub.port}/api/health", timeout=PATIENCE).status_code == 200


def test_httpx_sse(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    publisher = threading.Thread(target=publish_when_subscribed, args=(hub, [EVENT, {"type": "end"}]))
    publisher.start()
    got = []
    with httpx.Client(timeout=PATIENCE) as client, connect_sse(client, "GET", f"{hub.url}/api/stream") as source:
        for message in source.iter_sse():
            got.append((message.event, json.loads(message.data)["type"], message.id))
            if got[-1][1] == "end":
                break
    publisher.join()
    assert [(event, kind) for event, kind, _ in got] == [("message", t) for t in ("stream_opened", "test", "end")]
    assert [i.split("-")[1] for _, _, i in got] == ["0", "1", "2"]


def test_sseclient(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    publisher = threading.Thread(target=publish_when_subscribed, args=(hub, [EVENT, {"type": "end"}]))
    publisher.start()
    got = []
    with requests.get(f"{hub.url}/api/stream", stream=True, timeout=PATIENCE) as response:
        for message in sseclient.SSEClient(response).events():  # type: ignore[arg-type]
            got.append(json.loads(message.data)["type"])
            if got[-1] == "end":
                break
    publisher.join()
    assert got == ["stream_opened", "test", "end"]


def test_150_subscribers_get_every_event_in_order(hub_factory: Callable[..., HubProcess]) -> None:
    """H19 H20, without their time limits, which the benchmark measures: a busy machine must not fail this test."""
    hub = hub_factory().start()
    crowd = [hub.stream() for _ in range(150)]
    try:
        for stream in crowd:
            stream.next()
        hub.wait_count(150)
        for n in range(20):
            assert hub.publish({"type": "n", "n": n})["clients_notified"] == 150
        for stream in crowd:
            assert [stream.next()["n"] for _ in range(20)] == list(range(20))
    finally:
        for stream in crowd:
            stream.close()


def test_cors_preflights_and_headers(hub: HubProcess) -> None:
    """A page of another origin may read and post, preflights are answered, and no header is sent twice (H04)."""
    origin = {"Origin": "https://example.org"}
    for path in ("/api/stream", "/api/agent/data", "/api/events", "/api/health"):
        preflight = requests.options(
            f"{hub.url}{path}",
            headers={
                **origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type, last-event-id",
            },
            timeout=PATIENCE,
        )
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert {h.strip().lower() for h in preflight.headers["Access-Control-Allow-Headers"].split(",")} >= {
            "content-type",
            "last-event-id",
        }
    posted = requests.post(f"{hub.url}/api/agent/data", json={"type": "x"}, headers=origin, timeout=PATIENCE)
    assert posted.raw.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    head = requests.head(f"{hub.url}/api/stream", headers=origin, timeout=PATIENCE)
    assert head.headers["Content-Type"].startswith("text/event-stream")


def test_cors_with_a_list_of_origins(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_CORS_ORIGINS="https://good.example,https://fine.example").start()
    for origin, allowed in (
        ("https://good.example", "https://good.example"),
        ("https://bad.example", None),
        (None, None),
    ):
        headers = {"Origin": origin} if origin else {}
        answers = [
            requests.get(f"{hub.url}/api/health", headers=headers, timeout=PATIENCE),
            requests.post(f"{hub.url}/api/agent/data", json={"type": "x"}, headers=headers, timeout=PATIENCE),
            requests.get(f"{hub.url}/api/stream", headers=headers, timeout=PATIENCE, stream=True),
        ]
        may_post = origin is None or allowed is not None
        assert [answer.status_code for answer in answers] == [200, 200 if may_post else 403, 200]
        for answer in answers:
            if origin:
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            if allowed:
                assert "Origin" in answer.headers["Vary"]
            answer.close()


def test_importing_the_server_loads_no_livekit_and_starts_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, threading; import flask_server; "
        "assert not any(m.split('.')[0] in ('livekit', 'gevent', 'gunicorn') for m in sys.modules), 'too much loaded'; "
        "assert threading.active_count() == 1"
    )
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True, timeout=PATIENCE)
    assert list(tmp_path.iterdir()) == []


def test_flasks_test_client_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users can test their own code against the application."""
    from event_hub.server.app import create_app
    from event_hub.server.settings import Settings

    app = create_app(Settings.load({"HUB_HISTORY": "memory:"}, dotenv=None))
    client = app.test_client()
    try:
        assert client.post("/api/agent/data", json={"type": "x"}).get_json()["clients_notified"] == 0
        response = client.get("/api/stream?since=all", buffered=False)
        chunks = iter(response.response)
        received = b""
        end = time.monotonic() + PATIENCE
        while b'"type":"x"' not in received and time.monotonic() < end:
            received += next(chunks)  # type: ignore[arg-type]
        assert b"stream_opened" in received
        client.post("/api/agent/data", json={"type": "live"})
        assert b'"type":"live"' in next(chunks)  # type: ignore[operator]
        response.close()
        assert app.hub().broadcast.count == 0
    finally:
        app.close()
