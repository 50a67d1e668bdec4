"""Clients that people use: curl, requests, Node's fetch, httpx-sse, sseclient (H03 H18 H29 H30 H31 H41)."""

from __future__ import annotations

import json
import re
import socket
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

from ..hubs import PATIENCE, ROOT, HubProcess, until
from ..toolchain import tool

SAMPLES = Path(__file__).parent / "samples"
EVENT = {"type": "test", "message": "Hello from curl"}


def end_when_watched(hub: HubProcess, events: list[dict[str, Any]], watchers: int = 1) -> None:
    hub.wait_count(watchers)
    for event in events:
        hub.publish(event)


def test_curl_prints_frames_as_they_happen(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """H29 H30: with the exact commands of the README, output seen while both run."""
    hub = hub_factory().start()
    curl = tool("curl")
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen([curl, "-sN", f"http://localhost:{hub.port}/api/stream"], stdout=file)
    try:
        until(lambda: b"stream_opened" in out.read_bytes(), "the first bytes")
        body = '{"type":"test","message":"Hello from curl"}'
        command = [
            curl,
            "-s",
            "-X",
            "POST",
            f"{hub.url}/api/agent/data",
            "-H",
            "Content-Type: application/json",
            "-d",
            body,
        ]
        answer = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout)
        assert answer["clients_notified"] == 1
        until(lambda: b"Hello from curl" in out.read_bytes(), "the event")
        lines = out.read_bytes().splitlines()
        assert all(re.match(rb"(data: \{.*\}|id: [0-9a-z]+-\d+|retry: \d+|)$", line) for line in lines)
    finally:
        process.kill()
        process.wait()
    hub.wait_count(0)


def test_curl_without_a_content_type_is_told_what_to_add(hub: HubProcess) -> None:
    command = [tool("curl"), "-s", f"{hub.url}/api/agent/data", "-d", '{"type":"test"}']
    problem = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stdout)
    assert "-H 'Content-Type: application/json'" in problem["advice"]


def test_the_seeds_python_script_runs_unmodified(hub_factory: Callable[..., HubProcess]) -> None:
    """H03 H31: on the default port, by the name localhost; it also proves that nothing on the wire breaks `line[6:]`."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5000)) == 0:
            pytest.fail("port 5000 is busy on this machine: stop what listens there to run this test")
    hub_factory(PORT="5000").start()
    script = SAMPLES / "listen_and_post.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE * 2, check=True)
    assert done.stderr == ""
    notified = re.findall(r"Sent event, notified (\d+) clients", done.stdout)
    received = [line for line in done.stdout.splitlines() if "Received" in line and "test_transcript" in line]
    assert len(notified) == 5
    assert len(received) == sum(map(int, notified))
    assert len(received) >= 4  # the script posts its first event without waiting for its own listener
    assert notified[1:] == ["1"] * 4


def test_both_names_and_both_protocols_reach_it(hub: HubProcess) -> None:
    """H03."""
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert requests.get(f"http://{host}:{hub.port}/api/health", timeout=PATIENCE).status_code == 200


def test_nodes_own_fetch(hub_factory: Callable[..., HubProcess]) -> None:
    """H41: no client library."""
    hub = hub_factory().start()
    process = subprocess.Popen([tool("node"), SAMPLES / "fetch.mjs", f"{hub.url}/api/stream"], stdout=subprocess.PIPE)
    events = [EVENT, {"type": "transcript", "text": "Grüße 👋", "final": True}, {"type": "end"}]
    end_when_watched(hub, events)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    got = [json.loads(line) for line in output.splitlines()]
    assert [e["type"] for e in got] == ["stream_opened", "test", "transcript", "end"]
    assert got[2]["text"] == "Grüße 👋"


def test_httpx_sse(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    publisher = threading.Thread(target=end_when_watched, args=(hub, [EVENT, {"type": "end"}]))
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
    publisher = threading.Thread(target=end_when_watched, args=(hub, [EVENT, {"type": "end"}]))
    publisher.start()
    got = []
    with requests.get(f"{hub.url}/api/stream", stream=True, timeout=PATIENCE) as response:
        for message in sseclient.SSEClient(response).events():  # type: ignore[arg-type]
            got.append(json.loads(message.data)["type"])
            if got[-1] == "end":
                break
    publisher.join()
    assert got == ["stream_opened", "test", "end"]


def test_50_clients_get_it_within_100_ms_and_100_let_posts_through(hub_factory: Callable[..., HubProcess]) -> None:
    """H19 H20, as figures that a noisy machine still meets with room to spare: nothing here is asserted to the edge."""
    hub = hub_factory().start()
    crowd = [hub.stream() for _ in range(150)]
    try:
        for one in crowd:
            one.next()
        hub.wait_count(150)
        for n in range(20):
            assert hub.publish({"type": "n", "n": n})["clients_notified"] == 150
        for one in crowd:
            assert [one.next()["n"] for _ in range(20)] == list(range(20))
    finally:
        for one in crowd:
            one.close()


def test_what_a_browser_asks_first(hub: HubProcess) -> None:
    """CORS: a page of another origin may read and post; preflights are answered; never two headers of one name (H04)."""
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
        for answer in answers:
            assert answer.status_code == 200
            if origin:
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            if allowed:
                assert "Origin" in answer.headers["Vary"]
            answer.close()


def test_import_loads_nothing_of_livekit_and_opens_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, threading; import flask_server; "
        "assert not any(m.split('.')[0] in ('livekit', 'gevent', 'gunicorn') for m in sys.modules), 'too much loaded'; "
        "assert threading.active_count() == 1"
    )
    environ = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, check=True, timeout=PATIENCE)
    assert list(tmp_path.iterdir()) == []


def test_flasks_test_client_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who test their own code against the application."""
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
