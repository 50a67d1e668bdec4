"""H20: worker processes of one hub, on a Valkey that the hub starts itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess, until
from ..valkeys import ValkeyServer
from .traffic import Publisher, traffic


def start(folder: Path, **environ: str) -> HubProcess:
    hub = HubProcess(folder, HUB_WORKERS="2", HUB_HISTORY=f"valkey:///{folder}/valkey", HUB_HEARTBEAT="1s", **environ)
    hub.start()
    until(lambda: hub.get("/api/health")["processes"] == 2, "both workers")
    return hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    hub = start(tmp_path)
    with outliving():
        try:
            yield hub
        finally:
            hub.stop()


def workers(hub: HubProcess) -> list[psutil.Process]:
    assert hub.process is not None
    return [child for child in psutil.Process(hub.process.pid).children() if "valkey" not in child.name()]


def valkey(hub: HubProcess) -> psutil.Process | None:
    assert hub.process is not None
    return next((child for child in psutil.Process(hub.process.pid).children() if "valkey" in child.name()), None)


def test_two_workers_are_one_hub(hub: HubProcess) -> None:
    with traffic(hub) as load:
        load.wait_for(50)
    samples = hub.metrics()
    published = {name: value for name, value in samples.items() if name.startswith("hub_events_published_total{")}
    assert set(published) == {f"hub_events_published_total{{{worker.pid}}}" for worker in workers(hub)}
    assert sum(published.values()) == sum(len(publisher.acknowledged) for publisher in load.publishers)
    assert len({name for name in samples if name.startswith("process_resident_memory_bytes{")}) == 2


def test_a_rolling_restart_loses_nothing(hub: HubProcess) -> None:
    """SIGTERM to one worker after the other, under load: gunicorn starts a new one in its place."""
    with traffic(hub) as load:
        for worker in workers(hub):
            load.wait_for(50)
            os.kill(worker.pid, signal.SIGTERM)
            worker.wait(2 * PATIENCE)
            until(lambda: len(workers(hub)) == 2 and hub.get("/api/health")["processes"] == 2, "the new worker", 60)


def test_a_killed_worker_loses_nothing(hub: HubProcess) -> None:
    with traffic(hub) as load:
        for _ in range(2):
            load.wait_for(50)
            workers(hub)[0].kill()
            until(lambda: len(workers(hub)) == 2, "the new worker")


def test_the_hub_starts_its_server_again(hub: HubProcess) -> None:
    with traffic(hub) as load:
        load.wait_for(50)
        before = valkey(hub)
        assert before is not None
        before.kill()
        until(lambda: (now := valkey(hub)) is not None and now != before, "the server to be started again")
    assert "is started again" in hub.output()


def test_an_agent_outlives_the_worker_that_started_it(hub: HubProcess) -> None:
    def status() -> list[tuple[str, int]]:
        try:
            agents = hub.get("/api/agent/status")["agents"]
        except requests.RequestException:
            return []
        return [(agent["status"], agent["pid"]) for agent in agents]

    assert requests.post(f"{hub.url}/api/agent/start", json={"mode": "scripted"}, timeout=PATIENCE).status_code == 202
    until(lambda: [state for state, _ in status()] == ["ready"], "the agent", 3 * PATIENCE)
    ((_, pid),) = status()
    for how in (signal.SIGKILL, signal.SIGTERM):
        for worker in workers(hub):  # one of them is the owner
            os.kill(worker.pid, how)
            worker.wait(2 * PATIENCE)
            until(lambda: len(workers(hub)) == 2 and hub.get("/api/health")["processes"] == 2, "the new worker", 60)
            until(lambda: status() == [("ready", pid)], "another worker to watch the agent", 2 * PATIENCE)
    agent = psutil.Process(pid)
    assert hub.terminate() == 0
    assert not agent.is_running() or agent.status() == psutil.STATUS_ZOMBIE, "the agent ends with the hub"


def test_nothing_is_left_of_a_hub_that_was_killed_and_the_next_has_its_events(tmp_path: Path) -> None:
    hub = start(tmp_path)
    ids = [hub.publish({"type": "x", "n": n})["id"] for n in range(20)]
    assert hub.process is not None
    children = psutil.Process(hub.process.pid).children()
    os.kill(hub.process.pid, signal.SIGKILL)  # the master alone
    hub.process.wait()
    _, alive = psutil.wait_procs(children, PATIENCE)
    assert alive == []
    second = start(tmp_path)
    try:
        assert [event["id"] for event in second.get("/api/events")["events"]] == ids
        third = HubProcess(tmp_path, HUB_WORKERS="2", HUB_HISTORY=f"valkey:///{tmp_path}/valkey").launch()
        assert third.process is not None
        assert third.process.wait(2 * PATIENCE) == 1
        assert "in use by another hub" in third.output()
    finally:
        second.stop()


def test_forwarding_continues_in_another_worker(tmp_path: Path) -> None:
    """Each event once, in order, whichever worker is killed."""
    target = tmp_path / "events.jsonl"
    hub = start(tmp_path, HUB_FORWARD=f"file://{target}#since=all", HUB_FORWARD_STATE=str(tmp_path / "forward"))
    try:
        with Publisher(hub, "a") as one:
            for _ in range(3):
                one.wait_for(100)
                for worker in workers(hub)[:1]:
                    worker.kill()
                until(lambda: len(workers(hub)) == 2, "the new worker")
            one.wait_for(100)
            one.stop()
            wanted = list(one.acknowledged)

            def written() -> list[str]:
                import json

                lines = target.read_text().splitlines() if target.exists() else []
                events = [json.loads(line) for line in lines]
                return [
                    (event.get("event") or event)["event_id"] for event in events if "event_id" in json.dumps(event)
                ]

            until(lambda: len(written()) >= len(wanted), "the events in the file", 2 * PATIENCE)
            assert written() == wanted
        states: set[str] = set()

        def both_answered() -> bool:
            states.update(forward["state"] for forward in hub.get("/api/health")["forwards"])
            return len(states) > 1

        until(both_answered, "an answer of each worker")
        assert states == {"ok", "standby"}
    finally:
        hub.stop()


def test_a_drain_closes_the_streams_of_all_workers_in_order(tmp_path: Path) -> None:
    """Each subscriber gets what was acknowledged, then `stream_closing`."""
    hub = start(tmp_path)
    streams = [hub.stream() for _ in range(12)]
    try:
        for stream in streams:
            stream.until("stream_opened")
        with Publisher(hub, "a") as one:
            one.wait_for(50)
            code = hub.terminate()
            one.stop()
        assert code == 0
        for stream in streams:
            seen = []
            while (event := stream.next())["type"] != "stream_closing":
                if "event_id" in event:
                    seen.append(event["event_id"])
            assert event["reason"] == "shutdown"
            assert seen == list(one.acknowledged)
    finally:
        for stream in streams:
            stream.close()
        hub.stop()


_GUNICORN = [
    "-m",
    "gunicorn",
    "-c",
    "python:event_hub.server.serving.gunicorn_config",
    "--workers",
    "2",
    "flask_server:app",
]


def test_the_number_of_workers_on_the_command_line_of_gunicorn_counts(
    valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    """They are one hub, as with HUB_WORKERS; and a history that only one process can write is refused."""
    hub = HubProcess(tmp_path, HUB_HISTORY=f"{valkey_server.url}?prefix={tmp_path.name[:40]}")
    hub.arguments = _GUNICORN
    with hub:
        until(lambda: hub.get("/api/health")["processes"] == 2, "both workers")
        until(lambda: len([name for name in hub.metrics() if name.startswith("hub_views{")]) == 2, "metrics of both")
    alone = HubProcess(tmp_path, HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db")
    alone.arguments = _GUNICORN
    assert alone.launch().process.wait(2 * PATIENCE) == 2  # type: ignore[union-attr]
    assert "HUB_WORKERS=2" in alone.output()
