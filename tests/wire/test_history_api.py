"""`GET /api/events`: pages in both directions, filters, and an NDJSON export that can be posted again (H34)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ..hubs import PATIENCE, HubProcess


@pytest.fixture(params=["memory:", "sqlite"], scope="module")
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with 1,000 events, shared by tests that only read."""
    folder = tmp_path_factory.mktemp("filled")
    history = "memory:" if request.param == "memory:" else f"sqlite:///{folder}/hub.db"
    with HubProcess(folder, HUB_HISTORY=history) as hub:
        hub.publish([{"type": f"t{n % 3}", "n": n, "room": f"r{n % 2}", "timestamp": 1.0} for n in range(1000)])
        yield hub


def numbers(page: dict[str, Any]) -> list[int]:
    return [item["event"]["n"] for item in page["events"]]


def test_pages_forwards_and_backwards(filled: HubProcess) -> None:
    newest = filled.get("/api/events")
    assert numbers(newest) == list(range(900, 1000))
    assert newest["more"] is True
    older = filled.get("/api/events", params={"before": newest["before"], "limit": 50})
    assert numbers(older) == list(range(850, 900))
    newer = filled.get("/api/events", params={"after": older["after"], "limit": 30})
    assert numbers(newer) == list(range(900, 930))
    between = filled.get(
        "/api/events", params={"after": newest["events"][10]["id"], "before": newest["events"][15]["id"]}
    )
    assert numbers(between) == [911, 912, 913, 914]
    last = filled.get("/api/events", params={"after": newest["after"]})
    assert (last["events"], last["more"]) == ([], False)


def test_the_cursor_of_the_last_page_leads_to_later_events(hub: HubProcess) -> None:
    hub.publish({"type": "n", "n": 1})
    newest = hub.get("/api/events")
    last = hub.get("/api/events", params={"after": newest["after"]})
    assert last["events"] == []
    hub.publish({"type": "n", "n": 2})
    assert numbers(hub.get("/api/events", params={"after": last["after"]})) == [2]


def test_cursors_outside_the_history(filled: HubProcess) -> None:
    newest = filled.get("/api/events")["cursor"]
    epoch = newest.split("-")[0]
    assert numbers(filled.get("/api/events", params={"before": f"{epoch}-5000", "limit": 2})) == [998, 999]
    assert filled.get("/api/events", params={"before": f"{epoch}-1"})["events"] == []
    assert filled.get("/api/events", params={"before": f"{epoch}-0"})["events"] == []
    after = filled.get("/api/events", params={"after": "zz-5", "limit": 1})
    assert after["gap"] == {"missed": None, "from": "zz-5", "to": f"{epoch}-0", "reason": "unknown_epoch"}
    refused = requests.get(f"{filled.url}/api/events", params={"before": "zz-5"}, timeout=PATIENCE)
    assert refused.json()["code"] == "bad_cursor"


def test_every_event_is_on_exactly_one_page(filled: HubProcess) -> None:
    for query in ({}, {"room": "r1"}, {"type": ["t0", "t1"]}, {"type": "t*", "room": "r0"}):
        expected = [
            n for n in range(1000)
            if ("room" not in query or f"r{n % 2}" == query["room"]) and (query.get("type") != ["t0", "t1"] or n % 3 < 2)
        ]  # fmt: skip
        page = filled.get("/api/events", params={**query, "limit": 90})
        backwards = numbers(page)
        while page["more"]:
            page = filled.get("/api/events", params={**query, "limit": 90, "before": page["before"]})
            backwards = numbers(page) + backwards
        assert backwards == expected
        first = filled.get("/api/health")["history"]["oldest"]
        forwards = numbers(filled.get("/api/events", params={**query, "limit": 1, "before": first}))
        page = {"after": first.split("-")[0] + "-0", "more": True}
        while page["more"]:
            page = filled.get("/api/events", params={**query, "limit": 90, "after": page["after"]})
            forwards += numbers(page)
        assert forwards == expected


def test_an_export_can_be_posted_again(filled: HubProcess, hub_factory: Callable[..., HubProcess]) -> None:
    export = requests.get(f"{filled.url}/api/events", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE)
    assert export.headers["Content-Type"] == "application/x-ndjson"
    lines = export.content.splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(1000))
    other = hub_factory().start()
    answer = requests.post(
        f"{other.url}/api/agent/data",
        data=export.content,
        headers={"Content-Type": "application/x-ndjson"},
        timeout=PATIENCE,
    )
    assert answer.json()["accepted"] == 1000
    again = requests.get(f"{other.url}/api/events", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE)
    assert again.content == export.content
    some = requests.get(
        f"{filled.url}/api/events?room=r1&type=t1", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE
    )
    assert [json.loads(line)["n"] for line in some.content.splitlines()] == [
        n for n in range(1000) if n % 2 == 1 and n % 3 == 1
    ]


def test_an_export_is_not_held_in_memory(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """While 60 MB are sent, the server grows by a fraction of that and other requests are served."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_RING="100").start()
    batch = [{"type": "n", "pad": "x" * 60_000} for _ in range(100)]
    for _ in range(10):
        hub.publish(batch)
    worker = psutil.Process(hub.worker_pid())
    before = worker.memory_info().rss
    size = most = 0
    with requests.get(
        f"{hub.url}/api/events", headers={"Accept": "application/x-ndjson"}, stream=True, timeout=PATIENCE
    ) as export:
        for number, chunk in enumerate(export.iter_content(1 << 20)):
            size += len(chunk)
            most = max(most, worker.memory_info().rss)
            if number % 10 == 0:
                assert hub.get("/api/health")["status"] == "ok"
    assert size > 60_000_000
    assert most - before < 25_000_000


def test_misspelled_parameters_are_refused(hub: HubProcess) -> None:

    for path, says in (
        ("/api/events?rooom=demo", "rooom is not a parameter; do you mean room?"),
        ("/api/stream?sesion=x", "sesion is not a parameter; do you mean session?"),
        ("/api/events?since=5m", "since is a parameter of /api/stream; the parameters of this path: room"),
        ("/api/stream?after=x", "after is a parameter of /api/events"),
    ):
        answer = requests.get(f"{hub.url}{path}", timeout=30)
        assert answer.status_code == 400
        assert says in answer.json()["detail"]
    assert requests.get(f"{hub.url}/api/events?_=1699999999&utm_source=x", timeout=30).status_code == 200
