"""Security headers of every response: browsers do not guess types, and our pages run only our own scripts (H40)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, raw

PAGES = [
    "/", "/stream-test.html", "/static/stream-test.html", "/static/gateway/voice.html", "/docs/", "/docs/errors",
    "/docs/events", "/docs/guide/", "/docs/guide/access", "/docs",
]  # fmt: skip
OTHERS = [
    ("GET", "/start.js"), ("GET", "/static/main.js"), ("GET", "/favicon.ico"), ("GET", "/openapi.json"),
    ("GET", "/docs/swagger-ui.css"), ("GET", "/docs/guide/performance.svg"), ("GET", "/api/config"),
    ("GET", "/api/events"), ("HEAD", "/api/stream"), ("GET", "/api/stream?since=never"), ("POST", "/api/agent/data"),
    ("DELETE", "/api/agent/data"), ("OPTIONS", "/api/agent/data"), ("GET", "/nowhere"), ("GET", "/api/events?room=%ff"),
    ("POST", "/api/agent/start"), ("GET", "/metrics"),
]  # fmt: skip


def rules(answer: requests.Response) -> dict[str, list[str]]:
    parts = (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in parts}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_nothing_but_our_own_scripts(hub: HubProcess, path: str) -> None:
    answer = requests.get(f"{hub.url}{path}", timeout=PATIENCE)
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = rules(answer)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    if "/gateway/" not in path:  # people copy the gateway's pages as single files; the hub does not run them
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", answer.text)


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_every_response_is_what_its_type_says(hub: HubProcess, method: str, path: str) -> None:
    answer = requests.request(method, f"{hub.url}{path}", timeout=PATIENCE)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_stream_and_a_stored_event_as_well(hub: HubProcess) -> None:
    with requests.get(f"{hub.url}/api/stream", stream=True, timeout=PATIENCE) as stream:
        assert stream.headers["X-Content-Type-Options"] == "nosniff"
        assert stream.headers["Referrer-Policy"] == "no-referrer"
    assert hub.post({"type": "hello"}).headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "request_line",
    [b"GET /?access_token=secret-0123456789 x y HTTP/1.1", b"<script>alert(1)</script> / HTTP/1.1", b"\x16\x03"],
)
def test_what_is_not_http_is_not_quoted(hub: HubProcess, request_line: bytes) -> None:
    answer = raw(hub, request_line + b"\r\nHost: x\r\n\r\n", finish=True)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert b"nosniff" in answer
    assert b"secret-" not in answer
    assert b"script" not in answer


def test_a_worker_has_the_policy_of_its_page(hub: HubProcess) -> None:
    """A SharedWorker is not under the policy of the page that starts it."""
    answer = requests.get(f"{hub.url}/static/transport/worker.js", timeout=PATIENCE)
    page = requests.get(f"{hub.url}/", timeout=PATIENCE)
    assert rules(answer)["connect-src"] == rules(page)["connect-src"]


@pytest.mark.parametrize(
    ("url", "sources"),
    [
        ("ws://livekit.example.org:7880", ["ws://livekit.example.org:7880", "http://livekit.example.org:7880"]),
        ("wss://user:secret@livekit.example.org", ["wss://livekit.example.org", "https://livekit.example.org"]),
        ("wss://mine.livekit.cloud", ["wss://*.livekit.cloud", "https://*.livekit.cloud"]),
        ("ws://[::1]:7880", ["ws:", "http:"]),
        ("", []),
    ],
)
def test_with_credentials_a_page_connects_to_its_hub_and_livekit_only(
    hub_factory: Callable[..., HubProcess], url: str, sources: list[str]
) -> None:
    hub = hub_factory(LIVEKIT_URL=url, HUB_CONTROL_KEYS="boss:control-secret-0001").start()
    answer = requests.get(f"{hub.url}/", timeout=PATIENCE)
    assert rules(answer)["connect-src"] == ["'self'", *sources]


def test_frames_of_named_origins(hub_factory: Callable[..., HubProcess]) -> None:
    origins = "https://desk.example.org,http://localhost:3000"
    answer = requests.get(f"{hub_factory(HUB_FRAME_ANCESTORS=origins).start().url}/", timeout=PATIENCE)
    assert rules(answer)["frame-ancestors"] == origins.split(",")
    assert "X-Frame-Options" not in answer.headers, "it cannot name origins"
