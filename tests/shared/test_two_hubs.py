"""H20: two hubs on one Valkey are one hub."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import requests

from ..cli.commands import run
from ..hubs import PATIENCE, HubProcess, Stream, until

Hubs = tuple[HubProcess, HubProcess]


def posts(hub: HubProcess, kind: str, count: int, room: str) -> list[str]:
    """Publish one after the other; returns the ids."""
    session = requests.Session()
    ids = []
    for n in range(count):
        event = {"type": kind, "n": n, "room": room}
        response = session.post(f"{hub.url}/api/agent/data", json=event, timeout=PATIENCE)
        assert response.status_code == 200, response.text
        ids.append(response.json()["id"])
    return ids


def read_until(stream: Stream, count: int) -> list[tuple[str, str, int]]:
    """(id, type, n) of that many events."""
    found: list[tuple[str, str, int]] = []
    while len(found) < count:
        event = stream.next()
        if event["type"] not in ("heartbeat", "stream_opened"):
            found.append((event["_id"], event["type"], event.get("n", -1)))
    return found


def test_every_subscriber_gets_every_event_once_in_one_order(two_hubs: Hubs) -> None:
    """Publishers at both hubs race each other, and so do subscribers at both, one of which reads slowly."""
    room = "order"
    with (
        two_hubs[0].stream(f"?room={room}") as first,
        two_hubs[1].stream(f"?room={room}", receive_buffer=4096) as second,
    ):
        first.until("stream_opened")
        second.until("stream_opened")
        threads = [
            threading.Thread(target=posts, args=(two_hubs[n % 2], f"p{n}", 150, room), daemon=True) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        got = read_until(first, 600)
        for thread in threads:
            thread.join()
        assert read_until(second, 600) == got
    assert len({id for id, _, _ in got}) == 600
    for n in range(4):
        assert [number for _, kind, number in got if kind == f"p{n}"] == list(range(150))
    stored = two_hubs[1].get(f"/api/events?room={room}&limit=1000&after=")["events"]
    assert [event["id"] for event in stored] == [id for id, _, _ in got]


def test_subscribers_of_both_are_notified_and_counted(two_hubs: Hubs) -> None:
    a, b = two_hubs
    with a.stream("?room=n1"), b.stream("?room=n*"), b.stream("?room=other&type=x"):
        until(
            lambda: (
                [hub.publish({"type": "x", "room": "n1"})["clients_notified"] for hub in two_hubs] == [2, 2]
                and a.publish([{"type": "x", "room": "n1"}, {"type": "x", "room": "other"}])["clients_notified"] == 3
            ),
            "the hubs to know each other's subscribers",
        )
        assert a.publish({"type": "y", "room": "other"})["clients_notified"] == 0
        assert [hub.count() for hub in two_hubs] == [3, 3]
        listed = b.get("/api/subscribers")
        assert listed["count"] == 3
        assert sorted(json.dumps(s["filter"]) for s in listed["subscribers"]) == [
            '{"room": ["n*"]}', '{"room": ["n1"]}', '{"room": ["other"], "type": ["x"]}',
        ]  # fmt: skip
    until(lambda: [hub.count() for hub in two_hubs] == [0, 0], "the subscribers to be gone at both")
    until(lambda: b.publish({"type": "x", "room": "n1"})["clients_notified"] == 0, "the hub to forget those elsewhere")


def test_a_subscriber_moves_from_hub_to_hub_while_publishers_race_it(two_hubs: Hubs) -> None:
    """H04: with Last-Event-ID it misses nothing, gets nothing twice, and never hears of a gap that is none."""
    room = "moves"
    done = threading.Event()
    published: list[str] = []

    def publish() -> None:
        session = requests.Session()
        n = 0
        while not done.is_set():
            hub = two_hubs[n % 2]
            answer = session.post(
                f"{hub.url}/api/agent/data", json={"type": "m", "n": n, "room": room}, timeout=PATIENCE
            )
            published.append(answer.json()["id"])
            n += 1

    thread = threading.Thread(target=publish, daemon=True)
    with two_hubs[0].stream(f"?room={room}") as stream:
        stream.until("stream_opened")
        thread.start()
        got = [id for id, _, _ in read_until(stream, 5)]
    try:
        for turn in range(30):
            with two_hubs[1 - turn % 2].stream(f"?room={room}", last_id=got[-1]) as stream:
                assert stream.until("stream_opened")["resumed"] is True
                for id, kind, _ in read_until(stream, 5):
                    assert kind == "m"
                    got.append(id)
    finally:
        done.set()
        thread.join()
    assert got == published[: len(got)]


def test_what_was_published_at_one_is_found_at_the_other(two_hubs: Hubs) -> None:
    a, b = two_hubs
    for n in range(50):
        id = a.publish({"type": "session_started", "room": "found", "session": f"s{n}"})["id"]
        newest = b.get("/api/events?room=found&limit=1")["events"]
        assert newest[0]["id"] == id
        assert b.get(f"/api/sessions/s{n}")["session"] == f"s{n}"
    with b.stream("?room=found&replay=1") as stream:
        assert stream.until("session_started")["session"] == "s49"
    assert (
        a.get("/api/sessions?room=found&limit=50")["sessions"] == b.get("/api/sessions?room=found&limit=50")["sessions"]
    )


def test_an_event_id_counts_at_both(two_hubs: Hubs) -> None:
    results: list[bool] = []

    def post(hub: HubProcess, n: int) -> None:
        results.append(hub.publish({"type": "once", "room": "ids", "event_id": f"one-{n}"})["duplicate"])

    threads = [threading.Thread(target=post, args=(hub, n)) for n in range(20) for hub in two_hubs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 20 + [True] * 20
    assert len(two_hubs[0].get("/api/events?room=ids&limit=100")["events"]) == 20


def test_what_one_forgets_the_other_does_not_replay(two_hubs: Hubs) -> None:
    a, b = two_hubs
    for hub in two_hubs:
        hub.publish([{"type": "transcript", "text": f"secret {n}", "role": "user", "room": "erased"} for n in range(3)])
    with b.stream("?room=erased&replay=9"), a.stream("?room=erased&replay=9"):  # both have them in their logs now
        answer = requests.post(f"{a.url}/api/forget", json={"room": "erased"}, timeout=PATIENCE)
        assert answer.json()["events"] == 6, answer.text
        for hub in two_hubs:

            def replayed(hub: HubProcess = hub) -> bool:
                with hub.stream("?since=all&type=transcript&type=event_erased&type=events_erased") as stream:
                    stream.until("events_erased")
                    return b"secret" not in stream.bytes

            until(replayed, "the events to be gone")
            assert "secret" not in json.dumps(hub.get("/api/events?limit=1000"))


def test_a_move_from_sqlite_keeps_ids_and_times(two_hubs: Hubs, tmp_path: Path) -> None:
    """`event-hub export | event-hub post`"""
    with HubProcess(tmp_path, HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db") as old:
        old.publish(
            [{"type": "moved", "room": "old", "n": n, "event_id": f"m{n}", "timestamp": 100.0 + n} for n in range(1200)]
        )
        exported = run("export", hub=old.url)
        assert exported.returncode == 0, exported.stderr
    for _ in range(2):  # twice changes nothing
        posted = run("post", "-", hub=two_hubs[0].url, given=exported.stdout.encode())
        assert posted.returncode == 0, posted.stderr
    lines = run("export", hub=two_hubs[1].url).stdout.splitlines()
    found = [event for event in map(json.loads, lines) if event["type"] == "moved"]
    assert [(event["event_id"], event["timestamp"]) for event in found] == [(f"m{n}", 100.0 + n) for n in range(1200)]
