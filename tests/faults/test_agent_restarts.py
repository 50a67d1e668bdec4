"""Agents that are to run: whatever ends them or the hub, they are started again, until they are stopped over HTTP."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from ..wire.agents import agent, history, processes, program, reaches, start, started, stop


def agents(hub: HubProcess) -> list[dict[str, Any]]:
    """All agents in the status, newest first."""
    listed: list[dict[str, Any]] = hub.get("/api/agent/status")["agents"]
    return listed


def ready_rooms(hub: HubProcess) -> list[str]:
    return sorted(facts["room"] or facts["mode"] for facts in agents(hub) if facts["status"] == "ready")


def reboot(hub: HubProcess) -> None:
    """The hub and everything that it has started end at once, as in a power failure."""
    hub.kill()
    for process in processes(hub):
        process.kill()
    until(lambda: processes(hub) == [], "its agents to be gone")


def restart_in_order(hub: HubProcess) -> None:
    assert hub.terminate() == 0


@pytest.mark.parametrize("end", [restart_in_order, reboot], ids=["SIGTERM", "reboot"])
@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_the_next_hub_starts_what_is_always_to_run(
    launching: Callable[..., HubProcess], end: Callable[[HubProcess], None], server: str
) -> None:
    """And nothing else: `on-failure`, the default, ends with its hub."""
    hub = launching("ready", server=server).start()
    first = started(hub, mode="room", room="always", instructions="Be brief.", restart="always")["agent_id"]
    started(hub, mode="room", room="explicit", restart="on-failure")
    started(hub, mode="room", room="default")
    until(lambda: ready_rooms(hub) == ["always", "default", "explicit"], "all to be ready")
    assert {facts["room"]: facts["restart"] for facts in agents(hub)} == {
        "always": "always",
        "explicit": "on-failure",
        "default": "on-failure",
    }
    for _ in range(2):
        end(hub)
        hub.start()
        until(lambda: ready_rooms(hub) == ["always"], "it to be started again, alone")
        assert len(processes(hub)) == 1
    newest = agents(hub)[0]
    assert (newest["restart"], newest["found"]) == ("always", False)
    assert newest["agent_id"] != first
    record = json.loads(
        (Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{newest['agent_id']}.json").read_text()
    )
    assert record["instructions"] == "Be brief."


def test_kill_9_of_the_hub_starts_no_second_one(launching: Callable[..., HubProcess]) -> None:
    """The agent goes on, and the next hub takes it over instead of starting another."""
    hub = launching("ready", HUB_AGENTS="worker").start()
    worker = reaches(hub, "ready")["agent_id"]
    room = started(hub, mode="room", room="r", restart="always")["agent_id"]
    reaches(hub, "ready", room)
    hub.kill()
    hub.start()
    until(lambda: len(ready_rooms(hub)) == 2, "both to be found")
    assert {facts["agent_id"]: facts["found"] for facts in agents(hub)} == {worker: True, room: True}
    assert len(processes(hub)) == 2


def test_a_hub_killed_while_it_stops_its_agents(launching: Callable[..., HubProcess]) -> None:
    """The record says `stopping`. The next hub waits for that agent to end, and starts the next one."""
    hub = launching("stubborn", HUB_DRAIN="60s", HUB_AGENT_GRACE="20s").start()
    first = started(hub, restart="always")["agent_id"]
    reaches(hub, "ready")
    assert hub.process is not None
    hub.process.send_signal(signal.SIGTERM)
    path = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{first}.json"
    until(lambda: json.loads(path.read_text())["state"] == "stopping", "the agent to be stopping")
    hub.kill()
    hub.environ["HUB_AGENT_GRACE"] = "500ms"
    hub.start()
    second = until(lambda: next((f for f in agents(hub) if f["status"] == "ready"), None), "the next one to be ready")
    assert second["agent_id"] != first
    assert agent(hub, first)["status"] == "stopped"
    begun, ended = history(hub, "agent_process_started"), history(hub, "agent_process_exited")
    assert (ended[0]["agent"], ended[0]["reason"]) == (first, "killed")
    assert begun[-1]["agent"] == second["agent_id"]
    assert begun[-1]["timestamp"] >= ended[0]["timestamp"], "never two at once"


@pytest.mark.parametrize("by_id", [True, False], ids=["one", "all"])
def test_stop_over_http_is_for_good(launching: Callable[..., HubProcess], by_id: bool) -> None:
    hub = launching("ready").start()
    agent_id = started(hub, restart="always")["agent_id"]
    reaches(hub, "ready")
    stop(hub, agent_id if by_id else None)
    assert agent(hub)["restart"] == "on-failure"
    assert hub.terminate() == 0
    hub.start()
    until(lambda: agents(hub), "the record to be read")
    assert [(facts["agent_id"], facts["status"]) for facts in agents(hub)] == [(agent_id, "stopped")]


def test_stop_forgets_one_that_has_crashed_for_good(launching: Callable[..., HubProcess]) -> None:
    """Nothing runs, so nothing is stopped; but the next hub must not try again."""
    hub = launching("exits", "2").start()
    agent_id = started(hub, restart="always")["agent_id"]
    reaches(hub, "crashed")
    assert hub.terminate() == 0
    hub.start()
    until(lambda: len(agents(hub)) == 2, "the next hub to try again: the settings may be right by now")
    second = reaches(hub, "crashed", agents(hub)[0]["agent_id"])["agent_id"]
    assert second != agent_id
    assert stop(hub, second).json() == {"status": "none", "agents": []}
    assert hub.terminate() == 0
    hub.start()
    until(lambda: len(agents(hub)) == 2, "the records to be read")
    assert len(history(hub, "agent_process_started")) == 2


def test_stop_right_after_the_hubs_start_is_not_overtaken(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready").start()
    started(hub, restart="always")
    reaches(hub, "ready")
    assert hub.terminate() == 0
    hub.start()
    stop(hub)
    assert hub.terminate() == 0
    hub.start()
    until(lambda: agents(hub), "the records to be read")
    assert all(facts["restart"] == "on-failure" for facts in agents(hub))
    assert processes(hub) == []


def test_a_later_start_decides(launching: Callable[..., HubProcess]) -> None:
    """The same mode and room, started again without `always`: only the newest request counts."""
    hub = launching("waits_then_exits", "2", str(Path(os.devnull).parent / "no-such-file")).start()
    first = started(hub, restart="always")["agent_id"]
    os.kill(reaches(hub, "ready")["pid"], signal.SIGTERM)  # it ends with 0, by itself as far as the hub can tell
    until(lambda: agent(hub, first)["restarts"] == 1, "it to be started again")
    stop(hub)
    started(hub)
    assert hub.terminate() == 0
    hub.start()
    until(lambda: len(agents(hub)) == 2, "the records to be read")
    assert processes(hub) == []


def test_what_is_always_to_run_is_started_again_after_exit_code_0(
    launching: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """By the same hub, under the same id. After three times within a minute it gives up, as with crashes."""
    flag = tmp_path / "flag"
    hub = launching("waits_then_exits", "0", str(flag)).start()
    agent_id = started(hub, mode="room", room="r", restart="always")["agent_id"]
    reaches(hub, "ready")
    flag.touch()
    facts = reaches(hub, "crashed", agent_id)
    assert (facts["restarts"], facts["exit_code"]) == (3, 0)
    assert facts["error"] == "It ended 4 times within a minute and is not started again."
    exits = history(hub, "agent_process_exited")
    assert [(event["code"], event["reason"], event["status"]) for event in exits] == [
        *[(0, "finished", "restarting")] * 3,
        (0, "finished", "crashed"),
    ]
    flag.unlink()
    assert hub.terminate() == 0
    hub.start()
    until(lambda: ready_rooms(hub) == ["r"], "the next hub to start it")


def test_an_agent_of_an_earlier_hub_is_started_again_too(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Its exit code is unknown; with `on-failure` that would be the end of any mode but `worker`."""
    flag = tmp_path / "flag"
    hub = launching("waits_then_exits", "0", str(flag)).start()
    agent_id = started(hub, mode="room", room="r", restart="always")["agent_id"]
    reaches(hub, "ready")
    hub.kill()
    hub.start()
    assert reaches(hub, "ready")["found"]
    flag.touch()
    until(lambda: agent(hub, agent_id)["restarts"] > 0, "it to be started again")


def test_the_setting_starts_agents_and_decides_each_time(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready", HUB_AGENTS="worker, room:kitchen").start()
    until(lambda: ready_rooms(hub) == ["kitchen", "worker"], "both to be ready")
    assert {facts["restart"] for facts in agents(hub)} == {"always"}
    assert hub.terminate() == 0
    hub.start()
    until(lambda: ready_rooms(hub) == ["kitchen", "worker"], "both to be started again")
    assert len(processes(hub)) == 2

    stop(hub)
    assert hub.terminate() == 0
    hub.start()
    until(lambda: ready_rooms(hub) == ["kitchen", "worker"], "the setting to start them in spite of the stop")

    hub.environ["HUB_AGENTS"] = "room:kitchen"
    assert hub.terminate() == 0
    hub.start()
    until(lambda: ready_rooms(hub) == ["kitchen"], "only what the setting still names")
    assert len(processes(hub)) == 1


def test_the_setting_survives_gunicorns_new_worker(launching: Callable[..., HubProcess]) -> None:
    """The worker process is killed; the next one finds the agent and starts no second one."""
    hub = launching("ready", HUB_AGENTS="worker").start()
    pid = reaches(hub, "ready")["pid"]
    worker = hub.worker_pid()
    os.kill(worker, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(worker), "the worker to be gone")
    hub.wait_ready()
    assert reaches(hub, "ready")["pid"] == pid
    assert len(processes(hub)) == 1


def test_what_cannot_be_started_says_why_and_is_tried_by_the_next_hub(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready").start()
    agent_id = started(hub, restart="always")["agent_id"]
    reaches(hub, "ready")
    assert hub.terminate() == 0
    hub.environ["HUB_AGENT"] = "no-such-program"
    hub.start()
    error = until(lambda: agents(hub) and agent(hub, agent_id)["error"], "the reason")
    assert error.startswith("It could not be started again: HUB_AGENT=no-such-program: ")
    assert "the agent worker cannot be started: HUB_AGENT=no-such-program" in hub.output()
    assert hub.terminate() == 0
    hub.environ["HUB_AGENT"] = program("ready")
    hub.start()
    until(lambda: ready_rooms(hub) == ["worker"], "it to be started")


def test_the_setting_without_a_program_leaves_the_hub_running(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready", HUB_AGENTS="worker", HUB_AGENT="no-such-program").start()
    until(lambda: "the agent worker cannot be started" in hub.output(), "the reason in the log")
    assert agents(hub) == []
    assert requests.get(f"{hub.url}/api/health", timeout=PATIENCE).status_code == 200


def test_a_hub_with_a_wrong_setting_does_not_start(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready", HUB_AGENTS="wroker").launch()
    assert hub.process is not None
    assert hub.process.wait(PATIENCE) != 0
    assert "HUB_AGENTS=wroker: 'wroker' is not a mode: write worker" in hub.output()


def test_a_wrong_restart_is_refused(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready").start()
    for wrong in ("never", "Always", "", 1):
        problem = start(hub, restart=wrong).json()
        assert (problem["status"], problem["code"], problem["field"]) == (422, "bad_field", "restart"), wrong
    assert agents(hub) == []
    started(hub, restart=None)
    assert agent(hub)["restart"] == "on-failure", "null counts as absent"


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_everything_in_the_folder_is_private(launching: Callable[..., HubProcess], umask: int) -> None:
    """Also where an earlier version, or a copy, left it open to others."""
    hub = launching("ready", preexec=lambda: os.umask(umask) and None)
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    hub.start()
    agent_id = started(hub, restart="always")["agent_id"]
    reaches(hub, "ready")
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"lock": 0o600, f"{agent_id}.json": 0o600, f"{agent_id}.log": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert hub.terminate() == 0
    for path in folder.iterdir():
        path.chmod(0o644)
    hub.start()
    until(lambda: ready_rooms(hub) == ["worker"], "it to be started again")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
