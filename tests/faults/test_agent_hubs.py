"""Hubs that are killed or shut down: the next hub knows every agent, and none is left behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..hubs import PATIENCE, HubProcess, until
from ..wire.agents import agent, exits, history, processes, reaches, start, started, stop


@pytest.mark.parametrize("server", ["gunicorn", "gevent", "werkzeug"])
def test_kill_9_of_the_hub_and_the_next_one_finds_the_agent(launching: Callable[..., HubProcess], server: str) -> None:
    hub = launching("ready", server=server).start()
    before = started(hub)
    reaches(hub, "ready")
    hub.kill()
    assert [process.pid for process in processes(hub)] == [before["pid"]]
    hub.start()
    facts = reaches(hub, "ready")
    assert (facts["agent_id"], facts["pid"], facts["found"]) == (before["agent_id"], before["pid"], True)
    assert start(hub).status_code == 409
    assert facts["log"] == ["started in the mode worker"]
    begun = history(hub, "agent_process_started")
    assert [(event["pid"], event.get("found")) for event in begun] == [(before["pid"], None), (before["pid"], True)]
    assert stop(hub).json()["status"] == "stopped"
    assert exits(hub) == [(None, "stopped", "stopped")]
    assert history(hub, "session_ended"), "it could publish its last event"
    assert processes(hub) == []


def test_kill_9_of_the_worker_process(launching: Callable[..., HubProcess]) -> None:
    """gunicorn starts another one, which finds the agent."""
    hub = launching("ready").start()
    before = started(hub)
    reaches(hub, "ready")
    worker = hub.worker_pid()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(worker), "the worker to be gone")
    hub.wait_ready()
    facts = until(lambda: hub.get("/api/agent/status")["agents"], "the agent to be found")[0]
    assert (facts["agent_id"], facts["pid"], facts["status"]) == (before["agent_id"], before["pid"], "ready")


def test_a_found_agent_is_watched(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A worker that ends under the next hub is started again; a program in another mode is not."""
    flag = tmp_path / "flag"
    hub = launching("waits_then_exits", "1", str(flag)).start()
    worker = started(hub)["agent_id"]
    room = started(hub, mode="room", room="r")["agent_id"]
    for agent_id in (worker, room):
        reaches(hub, "ready", agent_id)
    hub.kill()
    hub.start()
    until(lambda: len(hub.get("/api/agent/status")["agents"]) == 2, "both to be found")
    flag.touch()
    facts = reaches(hub, "stopped", room)
    assert (facts["exit_code"], "exit code is unknown" in facts["error"]) == (None, True)
    until(lambda: agent(hub, worker)["restarts"] > 0, "the worker to be started again")
    ended = reversed(
        history(hub, "agent_process_exited")
    )  # the first event of each counts, because the worker ends repeatedly
    by_agent = {event["agent"]: (event["code"], event["reason"]) for event in ended}
    assert by_agent == {worker: (None, "crashed"), room: (None, "gone")}


def test_an_agent_that_dies_while_no_hub_runs(launching: Callable[..., HubProcess]) -> None:
    hub = launching("forks").start()
    facts = started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    hub.kill()
    os.kill(facts["pid"], signal.SIGKILL)
    until(lambda: len(processes(hub)) == 2, "it to be gone, and its descendants to be left")
    hub.start()
    found = reaches(hub, "stopped")
    assert (found["agent_id"], found["exit_code"]) == (facts["agent_id"], None)
    assert "while no hub was running" in found["error"]
    assert exits(hub) == [(None, "gone", "stopped")]
    until(lambda: processes(hub) == [], "its descendants to be gone too")


def test_a_pid_that_was_reused(launching: Callable[..., HubProcess]) -> None:
    """The pid in the record belongs to another program now, which is left alone; the agent is gone."""
    hub = launching("ready").start()
    facts = started(hub)
    reaches(hub, "ready")
    hub.kill()
    os.kill(facts["pid"], signal.SIGKILL)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as stranger:
        try:
            path = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{facts['agent_id']}.json"
            record = json.loads(path.read_text())
            path.write_text(json.dumps({**record, "pid": stranger.pid}))
            hub.start()
            reaches(hub, "stopped")
            stop(hub)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_an_outdated_pid(launching: Callable[..., HubProcess]) -> None:
    """The disk was full when it was restarted, so the record has the previous pid, which no longer exists."""
    hub = launching("ready").start()
    facts = started(hub)
    reaches(hub, "ready")
    hub.kill()
    path = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{facts['agent_id']}.json"
    with subprocess.Popen(["true"]) as gone:
        pass
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": gone.pid, "created": 1.0}))
    hub.start()
    assert reaches(hub, "ready")["pid"] == facts["pid"]


def test_kill_9_before_the_pid_is_recorded(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready").start()
    facts = started(hub)
    reaches(hub, "ready")
    hub.kill()
    path = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{facts['agent_id']}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "pid": None, "created": 0.0}))
    hub.start()
    assert reaches(hub, "ready")["pid"] == facts["pid"]


def test_invalid_records_are_skipped(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    folder.mkdir(parents=True)
    (folder / "ag_1.json").write_text("{")
    (folder / "ag_2.json").write_text("[]")
    (folder / "ag_3.json").write_text('{"agent_id": "../../x", "mode": "m", "command": [], "started": 0, "since": 0}')
    (folder / "ag_4.log").write_text("without a record")
    hub.start()
    started(hub)
    reaches(hub, "ready")
    assert len(hub.get("/api/agent/status")["agents"]) == 1
    assert hub.output().count("is not an agent's record") == 3
    assert not (folder / "ag_4.log").exists()


def test_a_broken_folder_loses_no_agent(launching: Callable[..., HubProcess]) -> None:
    """With any files beside its record, the agent is found, supervised, and stopped with the hub."""
    hub = launching("ready").start()
    facts = started(hub)
    reaches(hub, "ready")
    hub.kill()
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    record = json.loads((folder / f"{facts['agent_id']}.json").read_text())
    broken: dict[str, dict[str, Any]] = {
        "ag_1": {"pid": -1},
        "ag_2": {"state": "restarting", "command": []},
        "ag_3": {"state": "restarting", "command": ["a\0b"]},
        "ag_4": {"state": "restarting", "command": ["true"], "room": "a\0b"},
    }
    for name, wrong in broken.items():
        (folder / f"{name}.json").write_text(json.dumps({**record, "agent_id": name, **wrong}))
    (folder / "old.log").mkdir()
    os.mkfifo(folder / "ag_5.json")
    hub.start()
    assert reaches(hub, "ready", facts["agent_id"])["pid"] == facts["pid"]
    assert "could not be started again" in reaches(hub, "crashed", "ag_4")["error"]
    assert len(hub.get("/api/agent/status")["agents"]) == 2
    assert start(hub).status_code == 409
    assert hub.output().count("is not an agent's record") == 3
    assert hub.terminate() == 0
    assert processes(hub) == []


def test_an_orderly_shutdown_ends_the_agents(launching: Callable[..., HubProcess]) -> None:
    """Their last events, and the launcher's, reach the stream and the history before it closes."""
    hub = launching("ready").start()
    started(hub)
    reaches(hub, "ready")
    with hub.stream("?type=agent_process_*&type=session_*") as stream:
        stream.next()
        assert hub.terminate() == 0
        assert [event["type"] for event in stream.rest()] == ["session_ended", "agent_process_exited", "stream_closing"]
    assert processes(hub) == []
    hub.start()
    assert exits(hub) == [(0, "stopped", "stopped")]
    assert agent(hub)["status"] == "stopped"


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_ctrl_c_stops_them_once(launching: Callable[..., HubProcess], server: str) -> None:
    """The terminal signals all processes of the hub, but the agents are stopped by the hub."""
    hub = launching("ready", server=server).start()
    started(hub)
    reaches(hub, "ready")
    assert hub.process is not None
    os.killpg(hub.process.pid, signal.SIGINT)
    assert hub.process.wait(PATIENCE) == 0
    hub.start()
    assert exits(hub) == [(0, "stopped", "stopped")]
    assert history(hub, "session_ended")


def test_events_that_the_history_refuses_come_later(launching: Callable[..., HubProcess]) -> None:
    """While another program locks the database, the agent starts anyway; its event is published afterwards."""
    hub = launching("silent").start()
    with closing(sqlite3.connect(hub.environ["HUB_HISTORY"].removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        facts = started(hub)
        assert hub.post({"type": "n"}).status_code == 503
        other.execute("ROLLBACK")
    (event,) = until(lambda: history(hub, "agent_process_started"), "the event")
    assert (event["agent"], event["pid"]) == (facts["agent_id"], facts["pid"])


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_an_orderly_shutdown_stays_within_hub_drain(launching: Callable[..., HubProcess], server: str) -> None:
    hub = launching("stubborn", HUB_DRAIN="5s", server=server).start()
    started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    with hub.stream("?type=agent_process_*") as stream:
        stream.next()
        assert hub.terminate() == 0
        assert [event.get("reason") for event in stream.rest()] == ["killed", "shutdown"]
    assert processes(hub) == []


def test_two_hubs_do_not_share_agents(launching: Callable[..., HubProcess]) -> None:
    """Each port has its own folder."""
    first = launching("ready").start()
    other = launching("ready", HUB_AGENT_STATE=first.environ["HUB_AGENT_STATE"]).start()
    started(first)
    reaches(first, "ready")
    assert other.get("/api/agent/status")["agents"] == []
    started(other)
    reaches(other, "ready")
    assert (len(first.get("/api/agent/status")["agents"]), len(other.get("/api/agent/status")["agents"])) == (1, 1)
    for hub in (first, other):
        stop(hub)


def test_the_folder_is_held_by_another_hub(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Its agents are taken over as soon as the lock is free; until then none are started."""
    from filelock import FileLock

    hub = launching("ready").start()
    facts = started(hub)
    reaches(hub, "ready")
    hub.kill()
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    with FileLock(folder / "lock"):
        hub.start()
        assert hub.get("/api/agent/status")["agents"] == []
        refused = start(hub)
        assert (refused.status_code, refused.json()["code"]) == (503, "agent_unavailable")
        assert "HUB_AGENT_STATE" in refused.json()["detail"]
    assert until(lambda: hub.get("/api/agent/status")["agents"], "it to be taken over")[0]["pid"] == facts["pid"]


def test_a_folder_that_cannot_be_created(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hub = launching("ready", HUB_AGENT_STATE=str(tmp_path / "file" / "agents")).start()
    answer = start(hub)
    assert (answer.status_code, answer.json()["code"]) == (503, "agent_unavailable")
    assert "HUB_AGENT_STATE" in answer.json()["detail"]


def test_the_agent_outlives_its_hub(launching: Callable[..., HubProcess]) -> None:
    """Its events from the time without a hub reach the next one."""
    hub = launching("ready").start()
    facts = started(hub, mode="room", room="r")
    reaches(hub, "ready")
    hub.kill()
    os.kill(facts["pid"], signal.SIGTERM)  # its last event waits for the next hub
    hub.start()
    until(lambda: history(hub, "session_ended"), "its last event")
    reaches(hub, "stopped")
