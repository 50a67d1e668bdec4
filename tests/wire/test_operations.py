"""Endpoints for operators and tools: health, subscribers, config, metrics, the API description, and bad requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from openapi_spec_validator import validate

from event_hub.events import HUB_ONLY, KNOWN
from event_hub.server.errors import CATALOGUE

from ..hubs import PATIENCE, HubProcess, until
from ..recordings.test_bad_uploads import PARTS
from ..recordings.uploads import JOB, RECORDINGS, recording


def test_metrics_count_what_happens(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_HEARTBEAT="500ms").start()
    with hub.stream() as everything, hub.stream("?room=a") as room:
        everything.next()
        room.next()
        hub.wait_count(2)
        hub.publish({"type": "x", "room": "a", "event_id": "e"})
        everything.until("x")  # sent separately: events close together are sent together and counted once
        room.until("x")
        hub.publish([{"type": "x"}, {"type": "x", "event_id": "e"}])
        hub.post({"type": ""})
        everything.until("x")
        everything.until("heartbeat")
        found = hub.metrics()
    assert found["hub_subscribers{socket}"] == 2
    assert found["hub_subscribers_limit"] > 2
    assert found["hub_views"] == 2
    assert found["hub_events_published_total"] == 2
    assert found["hub_events_duplicate_total"] == 1
    assert found["hub_requests_refused_total{bad_event}"] == 1
    assert found["hub_deliveries_total"] == 3
    assert found["hub_sent_bytes_total"] > 100
    assert found["hub_heartbeats_total"] >= 1
    assert found["hub_ring_events"] == found["hub_history_events"] == 2
    assert found["hub_publish_to_socket_seconds_count"] == 2
    assert found["hub_history_append_seconds_count"] == 2
    assert 0 < found["hub_publish_to_socket_seconds_sum"] < 60
    assert found["hub_history_up"] == 1
    assert found["process_resident_memory_bytes"] > 1e6
    until(lambda: hub.metrics()["hub_subscribers_left_total"] == 2, "both subscribers to have left")


def test_subscribers_are_listed(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    with hub.stream() as everything, hub.stream("?room=a&type=x*") as filtered:
        everything.next()
        filtered.next()
        hub.wait_count(2)
        answer = hub.get("/api/subscribers")
        assert answer["count"] == 2
        by_id = {s["id"]: s for s in answer["subscribers"]}
        assert by_id[2]["filter"] == {"room": ["a"], "type": ["x*"]}
        assert by_id[1]["address"] == f"127.0.0.1:{everything.socket.getsockname()[1]}"
        assert (by_id[1]["lag"], by_id[1]["blocked"], by_id[1]["path"]) == (0, False, "socket")
        assert len(hub.get("/api/subscribers?limit=1")["subscribers"]) == 1


def test_config_and_health(hub: HubProcess) -> None:
    config = hub.get("/api/config")
    assert config["gateway"] is None
    assert {t["type"] for t in config["types"]} == {*KNOWN, *HUB_ONLY}
    assert config["heartbeat"] == 1
    assert config["limits"]["event"] == 65536
    health = hub.get("/api/health")
    assert health["status"] == "ok"
    assert hub.get("/api/health/live") == {"version": health["version"], "status": "alive"}
    assert health["cursor"].startswith(config["epoch"])


def test_openapi_is_valid_and_matches_the_endpoints(hub: HubProcess) -> None:
    document = hub.get("/openapi.json")
    validate(document)
    hub.publish({"type": "session_started", "session": "s", "room": "r", "job": JOB})
    hub.publish({"type": "agent_ready", "session": "s", "room": "r"})
    body, kind = recording(PARTS["header"], audio=PARTS["audio"])
    headers = {"Content-Type": kind}
    assert requests.post(f"{hub.url}{RECORDINGS}", data=body, headers=headers, timeout=PATIENCE).status_code == 200
    answers = {
        path: requests.get(f"{hub.url}{path.format(id='s', room='r', form='vtt')}", timeout=PATIENCE, stream=True)
        for path, operations in document["paths"].items()
        if "get" in operations
    }
    for path, answer in answers.items():
        assert answer.status_code == 200, path
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        assert answer.headers["Content-Type"].split(";")[0] in content
        answer.close()
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert codes == list(CATALOGUE)
    parameters = {p["name"] for p in document["paths"]["/api/stream"]["get"]["parameters"]}
    assert parameters == {"room", "type", "session", "last_event_id", "since", "replay", "Last-Event-ID"}


def test_every_page_has_the_icon(hub: HubProcess) -> None:
    """Also where a browser asks for /favicon.ico because the page names no icon."""
    icon = requests.get(f"{hub.url}/static/icon.svg", timeout=PATIENCE)
    plain = requests.get(f"{hub.url}/favicon.ico", timeout=PATIENCE)
    assert (plain.status_code, plain.content) == (200, icon.content)
    assert plain.headers["Content-Type"].startswith("image/svg+xml")
    for page in ("/docs/guide/", "/docs/errors", "/docs/events"):
        answer = requests.get(f"{hub.url}{page}", timeout=PATIENCE)
        assert '<link rel="icon" href="/static/icon.svg">' in answer.text
        assert "img-src 'self'" in answer.headers["Content-Security-Policy"] or page != "/docs/guide/"


def test_pages_are_served(hub: HubProcess) -> None:
    page = requests.get(f"{hub.url}/", timeout=PATIENCE)
    assert page.text == requests.get(f"{hub.url}/stream-test.html", timeout=PATIENCE).text
    assert page.text == requests.get(f"{hub.url}/static/stream-test.html", timeout=PATIENCE).text
    errors = requests.get(f"{hub.url}/docs/errors", timeout=PATIENCE).text
    assert all(f'id="{code}"' in errors for code in CATALOGUE)
    events = requests.get(f"{hub.url}/docs/events", timeout=PATIENCE).text
    assert all(f'id="{name}"' in events for name in {**KNOWN, **HUB_ONLY})
    assert requests.get(f"{hub.url}/docs", timeout=PATIENCE).status_code == 200


BAD_REQUESTS: list[tuple[str, str, str, str | None]] = [
    ("GET", "/nothing", "not_found", None),
    ("GET", "/static/../pyproject.toml", "not_found", None),
    ("GET", "/static/%2e%2e/pyproject.toml", "not_found", None),
    ("GET", "/api/agent/data", "method_not_allowed", None),
    ("DELETE", "/api/events", "method_not_allowed", None),
    ("POST", "/api/stream", "method_not_allowed", None),
    ("GET", "/api/stream?since=yesterday", "bad_cursor", "since"),
    ("GET", "/api/stream?since=%00", "bad_cursor", "since"),
    ("GET", "/api/stream?since=-5m", "bad_cursor", "since"),
    ("GET", "/api/stream?replay=many", "bad_parameter", "replay"),
    ("GET", "/api/stream?replay=-1", "bad_parameter", "replay"),
    ("GET", "/api/stream?replay=99999999999999999999", "bad_parameter", "replay"),
    ("GET", "/api/stream?room=" + "r" * 300, "bad_filter", None),
    ("GET", "/api/stream?room=" + "*" * 20, "bad_filter", None),
    ("GET", "/api/stream?" + "&".join(f"room={n}" for n in range(200)), "bad_filter", None),
    ("GET", "/api/events?limit=0", "bad_parameter", "limit"),
    ("GET", "/api/events?limit=x", "bad_parameter", "limit"),
    ("GET", "/api/events?after=hello", "bad_cursor", "after"),
    ("GET", "/api/events?before=1", "bad_cursor", "before"),
    ("GET", "/api/subscribers?limit=-1", "bad_parameter", "limit"),
    ("GET", "/api/sessions?status=dead", "bad_parameter", "status"),
    ("GET", "/api/sessions?limit=0", "bad_parameter", "limit"),
    ("GET", "/api/sessions?since=yesterday", "bad_cursor", "since"),
    ("GET", "/api/sessions?before=x", "bad_cursor", "before"),
    ("GET", "/api/sessions?room=" + "*" * 20, "bad_filter", None),
    ("GET", "/api/sessions?rooms=r", "bad_parameter", "rooms"),
    ("GET", "/api/sessions/absent", "unknown_session", None),
    ("GET", "/api/sessions/absent?rom=r", "bad_parameter", "rom"),
    ("GET", "/api/sessions/absent/transcript.pdf", "not_found", None),
    ("GET", "/api/rooms?limit=x", "bad_parameter", "limit"),
    ("GET", "/api/events?past=9&before=a-1", "bad_parameter", "past"),
    ("GET", "/api/events?past=-1", "bad_parameter", "past"),
    ("GET", "/api/events?past=99999", "bad_parameter", "past"),
]


@pytest.mark.parametrize(("method", "path", "code", "field"), BAD_REQUESTS, ids=[p[1][:40] for p in BAD_REQUESTS])
def test_bad_requests_are_refused(hub: HubProcess, method: str, path: str, code: str, field: str | None) -> None:
    request = requests.Request(method, hub.url).prepare()
    request.url = hub.url + path  # set directly, because requests would normalise it
    with requests.Session() as session:
        answer = session.send(request, timeout=PATIENCE)
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (CATALOGUE[code].status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem.get("field") == field
    if code == "method_not_allowed":
        assert answer.headers["Allow"]


def test_the_number_of_distinct_globs_is_limited(hub_factory: Callable[..., HubProcess]) -> None:
    """Globs are tried one by one for each event, so their number is bounded; exact filters cost nothing."""
    hub = hub_factory(HUB_MAX_GLOBS="20").start()  # of which one client has a quarter
    streams = [hub.stream(f"?room=r{n}*") for n in range(5)]
    try:
        streams.append(hub.stream("?room=r6*"))
        assert streams[-1].status == 429
        assert streams[-1].header("retry-after")
        refusal = requests.get(f"{hub.url}/api/stream?room=r6*", timeout=PATIENCE).json()
        assert "a quarter of HUB_MAX_GLOBS" in refusal["detail"]
        streams.append(hub.stream("?type=transcript&room=*x*"))  # indexed by its type, but its glob must be tried too
        assert streams[-1].status == 429
        for query in ("?room=r1*", "?room=exact", ""):  # known, exact, everything
            streams.append(hub.stream(query))
            assert streams[-1].status == 200
    finally:
        for stream in streams:
            stream.close()
    hub.wait_count(0)
    with hub.stream("?room=r6*") as again:
        assert again.status == 200


def test_10_000_distinct_filters_in_ten_waves(hub_factory: Callable[..., HubProcess]) -> None:
    """Each subscriber gets its own event and no other; a wave has as many as this process can open."""
    hub = hub_factory().start()
    with hub.stream("?type=all") as other:
        other.next()
        for wave in range(10):
            names = [f"w{wave}-{n}" for n in range(1000)]
            crowd = [hub.stream(f"?room={name}", read_head=False) for name in names]
            for stream in crowd:
                stream.read_head()
            hub.wait_count(1001)
            answer = hub.publish([{"type": "n", "room": name} for name in names])
            assert answer["clients_notified"] == 1000
            for name, stream in zip(names, crowd, strict=True):
                assert stream.until("n")["room"] == name
                stream.close()
            hub.wait_count(1)
        hub.publish({"type": "all"})
        other.until("all")
    until(lambda: hub.metrics()["hub_views"] == 0, "all views to be removed")
