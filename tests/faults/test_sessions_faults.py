"""Sessions are computed from the history alone: identical to the byte after kill -9, and in another hub with the same
events (D04)."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import requests

from bench.conversations import Event, conversation

from ..cli.commands import run
from ..hubs import PATIENCE, HubProcess

PATHS = [
    "/api/sessions?limit=1000",
    "/api/rooms?limit=1000",
    "/api/sessions/AS_0",
    "/api/sessions/AS_1?room=r1",
    "/api/sessions/room:hall",
    "/api/sessions/none",
    "/api/sessions/AS_0/transcript.json",
    "/api/sessions/AS_0/transcript.vtt",
    "/api/sessions/AS_0/transcript.md",
    "/api/events?limit=200&past=1000",
]


def mixed() -> list[Event]:
    """Interleaved events of several sessions, some of them incomplete, and events that belong to no session."""
    dice = random.Random(7)
    sources = [list(conversation(f"r{n % 3}", f"AS_{n}", 3 + n)) for n in range(5)]
    del sources[3][-17:]
    del sources[4][40:60]
    sources.append(
        [{"type": "transcript", "text": f"word {n}", "room": "hall", "timestamp": 5.0 + n} for n in range(40)]
    )
    sources.append([{"type": "transcript", "text": f"word {n}", "timestamp": 5.0 + n} for n in range(40)])
    sources.append([{"type": "agent_process_started", "agent": "ag_1", "pid": 1, "timestamp": 5.0}])
    events = []
    while sources := [source for source in sources if source]:
        events.append({**dice.choice(sources).pop(0), "event_id": f"e{len(events)}"})
    return events


def answers(hub: HubProcess) -> dict[str, bytes]:
    found = {}
    for path in PATHS:
        answer = requests.get(f"{hub.url}{path}", timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        found[path] = answer.content
    return found


def test_answers_are_identical_after_kill_9(tmp_path: Path) -> None:
    """The first hub takes the events in as they come; the next ones read them all at once."""
    hub = HubProcess(tmp_path, HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    try:
        events = mixed()
        done = threading.Event()

        def poll() -> None:
            while not done.is_set():
                for path in PATHS[:3]:
                    requests.get(f"{hub.url}{path}", timeout=PATIENCE)

        polling = threading.Thread(target=poll)
        polling.start()
        try:
            for at in range(0, len(events), 7):
                hub.publish(events[at : at + 7])
        finally:
            done.set()
            polling.join(PATIENCE)
        before = answers(hub)
        for _ in range(2):
            hub.kill()
            hub.start()
            assert answers(hub) == before
    finally:
        hub.stop()


def test_a_reposted_export_gives_the_same_sessions(tmp_path: Path) -> None:
    """After `event-hub export` and `event-hub post` into an empty hub, only the epoch differs."""
    folders, file = (tmp_path / "1", tmp_path / "2"), tmp_path / "events.jsonl"
    for folder in folders:
        folder.mkdir()
    with HubProcess(folders[0]) as source, HubProcess(folders[1]) as copy:
        source.publish(mixed())
        for hub, command in ((source, ["export", "-o", str(file)]), (copy, ["post", "--file", str(file)])):
            done = run(*command, hub=hub.url)
            assert done.returncode == 0, done.stderr
        epochs = [hub.get("/api/config")["epoch"].encode() for hub in (source, copy)]
        before, after = answers(source), answers(copy)
        assert {path: body.replace(epochs[0], b"E") for path, body in before.items()} == {
            path: body.replace(epochs[1], b"E") for path, body in after.items()
        }
