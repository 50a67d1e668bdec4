"""What operators and tools use: health, subscribers, config, metrics, the API's description, wrong addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from event_hub.events import HUB_ONLY, KNOWN
from event_hub.server.errors import CATALOGUE

from ..hubs import PATIENCE, HubProcess, until


def metrics(hub: HubProcess) -> dict[str, float]:
    text = requests.get(f"{hub.url}/metrics", timeout=PATIENCE).text
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_what_happens(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_HEARTBEAT="500ms").start()
    with hub.stream() as one, hub.stream("?room=a") as two:
        one.next()
        two.next()
        hub.wait_count(2)
        hub.publish({"type": "x", "room": "a", "event_id": "e"})
        one.until("x")  # by itself: what comes close together goes out together, and is counted once
        two.until("x")
        hub.publish([{"type": "x"}, {"type": "x", "event_id": "e"}])
        hub.post({"type": ""})
        one.until("x")
        one.until("heartbeat")
        found = metrics(hub)
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
    until(lambda: metrics(hub)["hub_subscribers_left_total"] == 2, "both to have left")


def test_subscribers(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    with hub.stream() as one, hub.stream("?room=a&type=x*") as two:
        one.next()
        two.next()
        hub.wait_count(2)
        answer = hub.get("/api/subscribers")
        assert answer["count"] == 2
        by_id = {s["id"]: s for s in answer["subscribers"]}
        assert by_id[2]["filter"] == {"room": ["a"], "type": ["x*"]}
        assert by_id[1]["address"] == f"127.0.0.1:{one.socket.getsockname()[1]}"
        assert (by_id[1]["lag"], by_id[1]["blocked"], by_id[1]["path"]) == (0, False, "socket")
        assert len(hub.get("/api/subscribers?limit=1")["subscribers"]) == 1


def test_config_and_health(hub: HubProcess) -> None:
    config = hub.get("/api/config")
    assert {t["type"] for t in config["types"]} == {*KNOWN, *HUB_ONLY}
    assert config["heartbeat"] == 1
    assert config["limits"]["event"] == 65536
    health = hub.get("/api/health")
    assert health["status"] == "ok"
    assert health["cursor"].startswith(config["epoch"])


def test_openapi_is_valid_and_describes_what_there_is(hub: HubProcess) -> None:
    document = hub.get("/openapi.json")
    validate(document)
    hub.publish({"type": "agent_ready", "session": "s"})
    answers = {
        path: requests.get(f"{hub.url}{path.format(id='s', form='vtt')}", timeout=PATIENCE, stream=True)
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
    ("GET", "/api/sessions/nobody", "unknown_session", None),
    ("GET", "/api/sessions/nobody?rom=r", "bad_parameter", "rom"),
    ("GET", "/api/sessions/nobody/transcript.pdf", "not_found", None),
    ("GET", "/api/rooms?limit=x", "bad_parameter", "limit"),
    ("GET", "/api/events?past=9&before=a-1", "bad_parameter", "past"),
    ("GET", "/api/events?past=-1", "bad_parameter", "past"),
    ("GET", "/api/events?past=99999", "bad_parameter", "past"),
]


@pytest.mark.parametrize(("method", "path", "code", "field"), BAD_REQUESTS, ids=[p[1][:40] for p in BAD_REQUESTS])
def test_wrong_addresses_and_parameters(hub: HubProcess, method: str, path: str, code: str, field: str | None) -> None:
    request = requests.Request(method, hub.url).prepare()
    request.url = hub.url + path  # as it is: requests would tidy it up
    with requests.Session() as session:
        answer = session.send(request, timeout=PATIENCE)
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (CATALOGUE[code].status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem.get("field") == field
    if code == "method_not_allowed":
        assert answer.headers["Allow"]


def test_too_many_different_globs(hub_factory: Callable[..., HubProcess]) -> None:
    """Exact filters are free; different globs are tried one by one, so their number is bounded."""
    hub = hub_factory(HUB_MAX_GLOBS="5").start()
    streams = [hub.stream(f"?room=r{n}*") for n in range(5)]
    try:
        streams.append(hub.stream("?room=r6*"))
        assert streams[-1].status == 429
        assert streams[-1].header("retry-after")
        streams.append(hub.stream("?type=transcript&room=*x*"))  # found by its type, and yet to be tried
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


def test_10_000_distinct_filters_come_and_go(hub_factory: Callable[..., HubProcess]) -> None:
    """In waves, as many as this process may open: every one gets its own event and none of the others'."""
    hub = hub_factory().start()
    with hub.stream("?type=all") as other:
        other.next()
        for wave in range(10):
            names = [f"w{wave}-{n}" for n in range(1000)]
            crowd = [hub.stream(f"?room={name}", read_head=False) for name in names]
            for one in crowd:
                one.read_head()
            hub.wait_count(1001)
            answer = hub.publish([{"type": "n", "room": name} for name in names])
            assert answer["clients_notified"] == 1000
            for name, one in zip(names, crowd, strict=True):
                assert one.until("n")["room"] == name
                one.close()
            hub.wait_count(1)
        hub.publish({"type": "all"})
        other.until("all")
    until(lambda: metrics(hub)["hub_views"] == 0, "all views to be forgotten")
