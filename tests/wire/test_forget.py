"""Erasing on request and by room, on real hubs: the text is gone, ids stay valid, and no subscriber sees a gap."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "transcript", "role": "user", "text": text, "participant": "ada", **more}


CALL = [
    said("secret-one", room="r1", session="s1", event_id="e1"),
    said("kept-one", room="r2", session="s2", event_id="e2"),
    said("secret-two", room="r1", session="s1", participant="bo", event_id="e3"),
    said("kept-two", event_id="e4"),
]


def forget(hub: HubProcess, **selector: Any) -> dict[str, Any]:
    answer = requests.post(f"{hub.url}/api/forget", json=selector, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    counts: dict[str, Any] = answer.json()
    return counts


def texts(hub: HubProcess, query: str = "") -> list[str]:
    return [item["event"].get("text", item["event"]["type"]) for item in hub.get(f"/api/events{query}")["events"]]


@pytest.fixture(params=["memory", "sqlite"])
def hub(request: pytest.FixtureRequest, hub_factory: Callable[..., HubProcess], tmp_path: Path) -> HubProcess:
    history = "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/hub.db"
    return hub_factory(HUB_HISTORY=history).start()


def test_a_session_is_erased_and_nobody_has_a_gap(hub: HubProcess) -> None:
    ids = [hub.publish(event)["id"] for event in CALL]
    hub.get("/api/sessions/s1")
    hub.get("/api/events?past=100")
    counted = forget(hub, session="s1", dry_run=True)
    assert (counted["events"], counted["sessions"], counted["dry_run"]) == (2, 1, True)
    assert texts(hub) == ["secret-one", "kept-one", "secret-two", "kept-two"]
    erased = forget(hub, session="s1")
    assert {**erased, "dry_run": True} == counted
    assert texts(hub) == ["event_erased", "kept-one", "event_erased", "kept-two", "events_erased"]
    assert texts(hub, "?room=r1") == []
    assert texts(hub, "?session=s1") == ["events_erased"]
    for path in ("/api/sessions/s1", "/api/rooms/r1/transcript.txt"):
        assert "secret" not in requests.get(f"{hub.url}{path}", timeout=PATIENCE).text
    assert "secret" not in requests.get(f"{hub.url}/api/events?past=100", timeout=PATIENCE).text
    assert "kept-one" in requests.get(f"{hub.url}/api/sessions/s2", timeout=PATIENCE).text
    with hub.stream(last_id=ids[0]) as stream:  # the place of an erased event is as good as any
        assert stream.until("stream_opened")["resumed"] is True
        assert [stream.next()["_id"] for _ in range(3)] == ids[1:]
    assert hub.publish(CALL[0]) == {"status": "ok", "clients_notified": 0, "id": ids[0], "duplicate": True}
    assert forget(hub, session="s1")["events"] == 0
    assert forget(hub, participant="ada")["events"] == 2


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        ({"room": "r1"}, ["kept-one", "kept-two"]),
        ({"participant": "ada"}, ["secret-two"]),
        ({"participant": "ada", "room": "r1"}, ["kept-one", "secret-two", "kept-two"]),
        ({"before": "0s"}, []),
        ({"before": "1h"}, ["secret-one", "kept-one", "secret-two", "kept-two"]),
        ({"room": "*"}, ["secret-one", "kept-one", "secret-two", "kept-two"]),
        ({"room": "R1"}, ["secret-one", "kept-one", "secret-two", "kept-two"]),
    ],
)
def test_what_is_selected(hub: HubProcess, selector: dict[str, str], left: list[str]) -> None:
    hub.publish(CALL)
    forget(hub, **selector)
    assert [text for text in texts(hub) if "_erased" not in text] == left


def test_a_subscriber_that_is_behind_gets_no_erased_text(hub: HubProcess) -> None:
    """What waits in the ring for a slow subscriber is erased there, too."""
    with hub.stream(receive_buffer=4096) as slow, hub.stream("?room=r1", receive_buffer=4096) as slow_in_room:
        for stream in (slow, slow_in_room):
            stream.until("stream_opened")
        padding = [said("padding " + "x" * 30_000, room="r1", session="s0") for _ in range(300)]
        for at in range(0, 300, 50):
            hub.publish(padding[at : at + 50])
        hub.publish(said("secret-one", room="r1", session="s1"))
        forget(hub, session="s1")
        hub.publish({"type": "end", "room": "r1"})
        for stream, last in ((slow, "event_erased"), (slow_in_room, "transcript")):
            received: list[dict[str, Any]] = []
            while not received or received[-1]["type"] != "end":
                received.append(stream.next())
            kinds = [event["type"] for event in received if event["type"] not in ("heartbeat", "events_erased")]
            assert kinds[-2:] == [last, "end"]
            assert "stream_gap" not in kinds
            assert b"secret-one" not in stream.bytes


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "bad_field"),
        ({"dry_run": True}, 422, "bad_field"),
        ({"session": 5}, 422, "bad_field"),
        ({"sesion": "s1"}, 422, "bad_field"),
        ({"before": "tomorrow"}, 400, "bad_cursor"),
        ({"before": "all"}, 422, "bad_field"),
    ],
)
def test_what_is_refused_erases_nothing(hub: HubProcess, body: dict[str, Any], status: int, code: str) -> None:
    hub.publish(CALL)
    answer = requests.post(f"{hub.url}/api/forget", json=body, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert texts(hub) == ["secret-one", "kept-one", "secret-two", "kept-two"]


def test_nobody_else_sends_tombstones(hub: HubProcess) -> None:
    for kind in ("event_erased", "events_erased"):
        answer = hub.post({"type": kind, "by": "forget", "count": 1, "selected": {}})
        assert (answer.status_code, answer.json()["code"]) == (422, "hub_only_type")


def test_files_lose_the_text_too_and_go_on(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """In the history, its write-ahead log, the file of a target and its rotated predecessors; after a kill as well."""
    out = tmp_path / "out" / "events.jsonl"
    environ = {
        "HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db",
        "HUB_FORWARD": f"file:{out}#rotate=3000",
        "HUB_FORWARD_STATE": str(tmp_path / "forward"),
    }
    hub = hub_factory(**environ).start()
    for n in range(20):
        hub.publish(said(f"secret-{n} " + "x" * 100, room="r1", session="s1", n=n))
        hub.publish(said(f"kept-{n} " + "y" * 100, room="r2", session="s2", n=n))
    settled = lambda: sum(len(file.read_bytes().splitlines()) for file in out.parent.iterdir()) >= 40  # noqa: E731
    until(settled, "all events to be forwarded")
    erased = forget(hub, session="s1")
    assert (erased["events"], erased["lines"]) == (20, 20)
    assert erased["files"] > 1
    hub.kill()
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"secret-" not in stored
    assert b"kept-19" in stored
    hub.start()
    hub.publish(said("after", room="r2"))
    until(lambda: "after" in out.read_text(), "the next event")
    lines = [json.loads(line) for file in sorted(out.parent.iterdir()) for line in file.read_bytes().splitlines()]
    kept = [event["n"] for event in lines if event["type"] == "transcript" and "n" in event]
    assert sorted(kept) == list(range(20)), "each once"
    assert sum(event["type"] == "event_erased" for event in lines) == 20


def test_rooms_with_a_shorter_retention(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    rules = "kept-*:1d,*:1s"
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_ROOM_RETENTION=rules, HUB_HEARTBEAT="1s").start()
    hub.publish([said("secret", room="r1"), said("kept", room="kept-1"), said("kept too")])
    until(lambda: texts(hub) == ["event_erased", "kept", "kept too"], "the retention of the room to be over")
    (first, *_) = hub.get("/api/events")["events"]
    assert first["event"]["by"] == "retention"
    assert set(first["event"]) == {"type", "timestamp", "by"}
    assert "r1" not in json.dumps(hub.get("/api/rooms"))


def test_the_setting_of_rooms_is_checked() -> None:
    from event_hub.server.settings import Settings, SettingsError

    for text in ("support", "support:", ":1h", "a:soon", "*a*b*c*d*e*f*g*h*i*:1h"):
        with pytest.raises(SettingsError, match="HUB_ROOM_RETENTION"):
            Settings.load({"HUB_ROOM_RETENTION": text}, None)
    rules = Settings.load({"HUB_ROOM_RETENTION": "support-*:24h, a:b:1h"}, None).room_retention
    assert rules == (("support-*", 86400.0), ("a:b", 3600.0))
