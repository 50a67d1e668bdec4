"""Agents that misbehave: the hub loses track of none, and no process is left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from event_hub.server.agents.agent import SLOW
from event_hub.server.agents.logs import KEPT, MOST

from ..hubs import PATIENCE, HubProcess, until
from ..wire.agents import TINY, agent, exits, history, processes, reaches, start, started, stop


@pytest.mark.slow
def test_a_program_that_always_crashes(launching: Callable[..., HubProcess]) -> None:
    """It is started again three times within a minute, with growing pauses, then given up, with the reason."""
    hub = launching("exits", "7").start()
    agent_id = started(hub)["agent_id"]
    facts = reaches(hub, "restarting")
    assert facts["error"] == "It exited with code 7 before it was ready: the model is not there"
    facts = reaches(hub, "crashed")
    assert (facts["restarts"], facts["exit_code"], facts["pid"]) == (3, 7, None)
    assert facts["error"].startswith("It crashed 4 times within a minute and is not started again: ")
    assert facts["log"][-2:] == ["loading the model", "the model is not there"]
    assert exits(hub) == [(7, "crashed", "restarting")] * 3 + [(7, "crashed", "crashed")]
    begun = history(hub, "agent_process_started")
    ended = history(hub, "agent_process_exited")
    assert [event["restarts"] for event in begun] == [0, 1, 2, 3]
    pauses = [after["timestamp"] - before["timestamp"] for before, after in zip(ended, begun[1:], strict=False)]
    assert all(pause > 0.95 * expected for pause, expected in zip(pauses, (0.5, 2, 8), strict=True)), pauses
    assert sum(pauses) < 10.5 + PATIENCE  # plus the time that a start takes
    metrics = requests.get(f"{hub.url}/metrics", timeout=PATIENCE).text
    assert "hub_agent_restarts_total 3.0" in metrics
    assert 'hub_agents{state="crashed"} 1.0' in metrics
    assert stop(hub, agent_id).json()["status"] == "none"
    assert start(hub).status_code == 202  # a new start is possible


def test_a_program_that_crashes_once_is_started_again(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = launching("crashes_once", str(tmp_path / "flag")).start()
    started(hub)
    facts = reaches(hub, "ready")
    assert (facts["restarts"], facts["message"], facts["error"]) == (1, "Back again", None)
    assert exits(hub) == [(-11, "crashed", "restarting")]
    assert "SIGSEGV" in history(hub, "agent_process_exited")[0]["error"]


def test_a_stop_during_the_pause(launching: Callable[..., HubProcess]) -> None:
    hub = launching("exits", "7").start()
    started(hub)
    until(lambda: agent(hub)["restarts"] == 2 and agent(hub)["status"] == "restarting", "the pause of 8 s")
    assert stop(hub, wait="0s").json()["status"] == "stopped"
    assert exits(hub)[-1] == (7, "stopped", "stopped")


@pytest.mark.parametrize(
    ("code", "state", "reason"), [("2", "crashed", "wrong settings"), ("0", "stopped", "finished")]
)
def test_exit_codes_after_which_it_is_not_started_again(
    launching: Callable[..., HubProcess], code: str, state: str, reason: str
) -> None:
    hub = launching("exits", code).start()
    started(hub)
    facts = reaches(hub, state)
    assert (facts["restarts"], facts["exit_code"]) == (0, int(code))
    assert exits(hub) == [(int(code), reason, state)]
    how = (
        "It ended by itself before it was ready (exit code 0)"
        if code == "0"
        else "It exited with code 2 before it was ready"
    )
    assert facts["error"] == f"{how}: the model is not there", (
        "LiveKit's own command line exits with 0 if it cannot connect"
    )
    assert history(hub, "agent_process_exited")[0]["error"] == how, "the event has no log line"


def test_a_program_that_finishes_has_no_error(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = launching("waits_then_exits", "0", str(tmp_path / "flag")).start()
    started(hub)
    reaches(hub, "ready")
    (tmp_path / "flag").touch()
    assert (reaches(hub, "stopped")["error"], exits(hub)) == (None, [(0, "finished", "stopped")])


def test_a_reported_error_explains_the_end(launching: Callable[..., HubProcess]) -> None:
    hub = launching("reports_error", "2").start()
    started(hub)
    facts = reaches(hub, "crashed")
    assert facts["error"] == "OPENAI_API_KEY is wrong: set another"
    assert history(hub, "agent_process_exited")[0]["error"] == facts["error"]


def test_a_program_that_never_reports_ready(launching: Callable[..., HubProcess]) -> None:
    """After 15 s the status has a hint, and the hub keeps waiting. (Instead of waiting here, the test changes the record
    of a killed hub.)"""
    hub = launching("silent").start()
    agent_id = started(hub)["agent_id"]
    until(lambda: agent(hub)["log"] == ["still loading"], "its first line")
    facts = agent(hub)
    assert facts["hint"] is None or time.time() - facts["since"] >= SLOW
    hub.kill()
    path = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{agent_id}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "since": record["since"] - SLOW}))
    hub.start()
    hint = reaches(hub, "starting")["hint"]
    assert "look at its log (/api/agent/logs" in hint
    assert agent(hub)["status"] == "starting"
    hub.publish({"type": "agent_ready", "agent_id": agent_id})
    assert (agent(hub)["status"], agent(hub)["hint"]) == ("ready", None)


def test_a_program_that_ignores_sigterm_is_killed_with_its_descendants(launching: Callable[..., HubProcess]) -> None:
    hub = launching("stubborn", HUB_AGENT_GRACE="500ms").start()
    started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    assert stop(hub).json()["status"] == "stopped"
    assert exits(hub) == [(-9, "killed", "stopped")]
    until(lambda: processes(hub) == [], "the whole group to be gone")


def test_a_process_that_forks_all_the_time_is_killed_too(launching: Callable[..., HubProcess]) -> None:
    """It is a new process at every look, so only its whole group can be killed."""
    hub = launching("comet", HUB_AGENT_GRACE="200ms").start()
    group = started(hub)["pid"]
    reaches(hub, "ready")

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    try:
        assert stop(hub).json()["status"] == "stopped"
        until(gone, "the whole group to be gone")
    finally:
        if not gone():
            os.killpg(group, signal.SIGKILL)


def test_processes_left_behind_are_killed(launching: Callable[..., HubProcess]) -> None:
    hub = launching("forks").start()
    started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    stop(hub)
    assert exits(hub) == [(0, "stopped", "stopped")]
    until(lambda: processes(hub) == [], "its descendants to be gone")


@pytest.mark.parametrize("away", ["", "env -i "], ids=["with its variable", "without it"])
def test_a_process_that_leaves_the_session(launching: Callable[..., HubProcess], tmp_path: Path, away: str) -> None:
    """A daemon is found by the variable that it inherits. Without the variable it survives, but the log stays bounded."""
    pid = tmp_path / "pid"
    writer = f"echo $$ > {pid}; while :; do echo {'x' * 1000}; sleep 0.001; done"
    script = f"(setsid {away}sh -c '{writer}' &); sleep 600"
    hub = launching(HUB_AGENT=shlex.join(["sh", "-c", script])).start()
    agent_id = started(hub)["agent_id"]
    daemon = psutil.Process(int(until(lambda: pid.exists() and pid.read_text().strip(), "the daemon")))
    try:
        stop(hub)
        if not away:
            until(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE, "the daemon to be gone")
        else:
            log = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{agent_id}.log"
            until(lambda: b"older lines" in log.read_bytes()[:100], "the log to be cut after the agent's end")
    finally:
        try:
            daemon.kill()
        except psutil.NoSuchProcess:
            pass


def test_a_program_that_floods_its_log(launching: Callable[..., HubProcess]) -> None:
    """The file stays bounded, the newest lines survive, and the hub keeps serving."""
    hub = launching("floods").start()
    agent_id = started(hub)["agent_id"]
    reaches(hub, "ready")
    log = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{agent_id}.log"

    def newest() -> int:
        """The number of the newest line; one can be cut where the file was shortened or is being written."""
        numbers = [int(words[1]) for line in agent(hub)["log"] or [] if len(words := line.split()) == 3]
        return max(numbers, default=0)

    first = until(newest, "lines")
    until(lambda: newest() > first + 10 * MOST // 90, "ten times the limit")
    assert log.stat().st_blocks * 512 < 256 << 20, "it can grow between two checks, but not without limit"
    stop(hub)
    assert agent(hub)["log"][-1] == "the last line"
    assert log.stat().st_size < 256 << 20
    lines = requests.get(f"{hub.url}/api/agent/logs?lines=2000", timeout=PATIENCE).text
    assert len(lines) <= KEPT


@pytest.mark.parametrize("server", ["gunicorn", "gevent", "werkzeug"])
def test_programs_that_end_within_a_millisecond(launching: Callable[..., HubProcess], server: str) -> None:
    """Every exit code is known."""
    hub = launching(HUB_AGENT="true", server=server).start()
    for _ in range(20):
        agent_id = started(hub)["agent_id"]
        facts = reaches(hub, "stopped", agent_id)
        assert (facts["exit_code"], "before it was ready" in facts["error"]) == (0, True)
    assert exits(hub) == [(0, "finished", "stopped")] * 20
    assert psutil.Process(hub.worker_pid()).children() == []


@pytest.mark.slow
@pytest.mark.parametrize(("server", "count"), [("gunicorn", 200), ("gevent", 40), ("werkzeug", 40)])
def test_200_rounds_leave_nothing(launching: Callable[..., HubProcess], server: str, count: int) -> None:
    """No zombies, descriptors, threads or memory; a leak per round would show after 40, too."""
    hub = launching(HUB_AGENT=TINY, HUB_HISTORY="memory:", server=server).start()
    worker = psutil.Process(hub.worker_pid())

    def rounds(number: int) -> None:
        with requests.Session() as session:
            for _ in range(number):
                assert session.post(f"{hub.url}/api/agent/start", timeout=PATIENCE).status_code == 202
                assert (
                    session.post(f"{hub.url}/api/agent/stop?wait=20s", timeout=PATIENCE).json()["status"] == "stopped"
                )

    rounds(30)  # creates everything that is created only once
    descriptors, threads, memory = worker.num_fds(), worker.num_threads(), worker.memory_info().rss
    rounds(count)
    assert worker.children() == []
    assert until(lambda: worker.num_fds() <= descriptors + 1, "no descriptor to be left")
    assert until(lambda: worker.num_threads() <= threads + 1, "no thread to be left")
    assert worker.memory_info().rss < memory + (16 << 20)
    assert len(history(hub, "agent_process_exited")) == 30 + count
