"""Nothing of what is forgotten comes back later: from a retry, a file that lags or is compressed, or a log that was in use."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from ..hubs import PATIENCE, HubProcess, until
from .receivers import SECRET as SIGNING
from .receivers import Receiver, forwards, settled

Maker = Callable[..., HubProcess]
WORD = "Zuckerwatte"


def said(n: int, session: str = "s1", text: str = WORD) -> dict[str, Any]:
    return {"type": "transcript", "role": "user", "text": f"{text} {n}", "room": "r1", "session": session}


def forget(hub: HubProcess, **selector: Any) -> requests.Response:
    return requests.post(f"{hub.url}/api/forget", json=selector, timeout=2 * PATIENCE)


def test_a_batch_that_waits_for_a_retry(hub_factory: Maker, tmp_path: Path, target: Receiver) -> None:
    target.default_answer = 503
    state = str(tmp_path / "state")
    hub = hub_factory(HUB_FORWARD=target.url, HUB_FORWARD_SECRET=SIGNING, HUB_FORWARD_STATE=state).start()
    hub.publish([said(1), said(2, "s2", "harmless")])
    until(lambda: forwards(hub)[0]["state"] == "retrying", "a failed delivery")
    assert forget(hub, session="s1").json()["events"] == 1
    target.default_answer = 204
    settled(hub)
    events = [event for delivery in target.deliveries if delivery.status == 204 for event in delivery.events]
    assert [event["type"] for event in events] == ["event_erased", "transcript", "events_erased"]


def test_a_log_that_another_program_reads(hub_factory: Maker, tmp_path: Path) -> None:
    """The request fails, but what is erased is erased, and told; the next request does the rest."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    hub.publish(said(1))
    assert WORD in requests.get(f"{hub.url}/api/sessions/s1", timeout=PATIENCE).text
    other = sqlite3.connect(tmp_path / "hub.db")
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM events").fetchone()
    with hub.stream() as live:
        live.until("stream_opened")
        assert forget(hub, session="s1").status_code == 503
        assert live.until("events_erased")["count"] == 1
    assert WORD not in requests.get(f"{hub.url}/api/sessions/s1", timeout=PATIENCE).text
    other.close()
    assert forget(hub, session="s1").json()["events"] == 0
    for name in ("hub.db", "hub.db-wal"):
        assert WORD.encode() not in (tmp_path / name).read_bytes()


def test_compressed_files(hub_factory: Maker, tmp_path: Path) -> None:
    out = tmp_path / "out" / "e.jsonl"
    state = str(tmp_path / "state")
    hub = hub_factory(HUB_FORWARD=f"file://{out}#rotate=2000&keep=0", HUB_FORWARD_STATE=state).start()
    for n in range(40):
        hub.publish([said(n), said(n, "s2", "harmless")])
        settled(hub)
    first = sorted(out.parent.glob("e-*.jsonl"))[0]
    packed = first.with_name(f"{first.name}.gz")
    packed.write_bytes(gzip.compress(first.read_bytes()))
    first.unlink()
    lines = gzip.decompress(packed.read_bytes()).count(b"\n")
    assert forget(hub, session="s1").json()["lines"] == 40
    unpacked = gzip.decompress(packed.read_bytes())
    assert unpacked.count(b"\n") == lines
    assert b"harmless" in unpacked
    assert not [path for path in out.parent.iterdir() if path.suffix == ".erasing"]
    assert WORD.encode() not in unpacked + b"".join(path.read_bytes() for path in out.parent.glob("*.jsonl"))


def test_a_long_file_that_lags(hub_factory: Maker, tmp_path: Path) -> None:
    """Every line stays a line of its own, although forwarding goes on while the file is erased from."""
    out = tmp_path / "e.jsonl"
    history = {"HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db", "HUB_FORWARD_STATE": str(tmp_path / "state")}
    hub = hub_factory(HUB_FORWARD=f"file://{out}", **history).start()
    for start in range(0, 40_000, 5000):
        hub.publish([event for n in range(start, start + 2500) for event in (said(n), said(n, "s2", "harmless"))])
    assert forget(hub, session="s1").json()["events"] == 20_000
    settled(hub)
    types = [json.loads(line)["type"] for line in out.read_bytes().splitlines()]
    assert (types.count("event_erased"), types.count("transcript"), types[-1]) == (20_000, 20_000, "events_erased")
    assert WORD.encode() not in out.read_bytes()


def test_a_session_is_erased_with_the_events_that_name_only_its_room(hub_factory: Maker, tmp_path: Path) -> None:
    """What `/api/sessions/<id>` shows is gone, from the history, its files and forwarded files; what came before and after
    it in the same room stays."""
    out = tmp_path / "e.jsonl"
    files = {"HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db", "HUB_FORWARD_STATE": str(tmp_path / "state")}
    hub = hub_factory(HUB_FORWARD=f"file:{out}", **files).start()
    by_room = {"type": "livekit_participant_joined", "room": "r1", "participant": "ada"}
    text = {"type": "transcript", "role": "user", "room": "r1"}
    events = [
        {"type": "session_started", "room": "r1", "session": "s0"},
        {**text, "text": "earlier, of s0"},
        {"type": "session_ended", "room": "r1", "session": "s0"},
        {"type": "session_started", "room": "r1", "session": "s1"},
        said(1),
        {**by_room, "participant_info": {"name": f"{WORD} Meyer"}},
        {**text, "text": f"{WORD} without a session"},
        {"type": "transcript", "role": "user", "text": f"{WORD} without a room", "session": "s1"},
        {"type": "transcript", "role": "user", "text": "elsewhere", "room": "r2"},
        {"type": "session_ended", "room": "r1", "session": "s1"},
        {"type": "session_started", "room": "r1", "session": "s2"},
        {**text, "text": "later, of s2"},
    ]
    hub.publish(events)
    settled(hub)
    shown = hub.get("/api/sessions/s1")["counts"]["events"]
    counted = forget(hub, session="s1", dry_run=True).json()
    assert (counted["events"], counted["lines"]) == (shown, shown) == (6, 6)
    assert WORD in out.read_text()
    erased = forget(hub, session="s1").json()
    assert {**erased, "dry_run": True} == counted
    left = [item["event"] for item in hub.get("/api/events")["events"]]
    assert [event.get("text", event["type"]) for event in left] == [
        "session_started", "earlier, of s0", "session_ended", *["event_erased"] * 5, "elsewhere", "event_erased",
        "session_started", "later, of s2", "events_erased",
    ]  # fmt: skip
    settled(hub)
    for path in (out, tmp_path / "hub.db", tmp_path / "hub.db-wal"):
        assert WORD.encode() not in path.read_bytes()
    assert [json.loads(line)["type"] for line in out.read_bytes().splitlines()] == [event["type"] for event in left]
    assert forget(hub, session="s1").json()["events"] == 0
    assert forget(hub, session="s0").json()["events"] == 3


def test_what_else_is_named_limits_the_events_of_the_room_too(hub_factory: Maker) -> None:
    hub = hub_factory().start()
    start = {"type": "session_started", "session": "s1"}
    note = {"type": "transcript", "role": "user", "text": WORD}
    hub.publish([{**start, "room": room} for room in ("r1", "r2")])
    hub.publish([{**note, "room": room, "participant": who} for room in ("r1", "r2") for who in ("ada", "bo")])
    assert forget(hub, session="s1", participant="ada", dry_run=True).json()["events"] == 2
    assert forget(hub, session="s1", room="r2", dry_run=True).json()["events"] == 3
    assert forget(hub, session="s1", room="r2", participant="bo").json()["events"] == 1
    assert forget(hub, session="s1").json()["events"] == 5


def test_a_session_that_is_known_by_its_room_alone(hub_factory: Maker) -> None:
    """By the id under which the API shows it."""
    hub = hub_factory().start()
    hub.publish([{"type": "transcript", "role": "user", "text": WORD, "room": room} for room in ("r1", "r2")])
    hub.publish({"type": "transcript", "role": "user", "text": WORD})
    (one, two, nowhere) = (session["id"] for session in reversed(hub.get("/api/sessions")["sessions"]))
    assert (one, two, nowhere) == ("room:r1", "room:r2", "none")
    for id in (one, nowhere):
        assert forget(hub, session=id).json()["events"] == 1
    assert WORD in requests.get(f"{hub.url}/api/sessions/{two}", timeout=PATIENCE).text


def test_the_answer_names_the_logs_that_are_left(hub_factory: Maker, tmp_path: Path) -> None:
    state = tmp_path / "agents"
    hub = hub_factory(HUB_AGENT_STATE=str(state)).start()
    assert forget(hub, room="r1").json()["agent_logs"] is None
    folder = state / str(hub.port)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ag_1.log").write_text("a line")
    assert forget(hub, room="r1", dry_run=True).json()["agent_logs"] == str(folder)
    assert (folder / "ag_1.log").read_text() == "a line"
