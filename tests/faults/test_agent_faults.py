"""Agents that misbehave, hubs that are killed: nothing is lost sight of, nothing is left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from event_hub.server.agents.logs import KEPT, MOST

from ..hubs import PATIENCE, HubProcess, until
from ..wire.agents import TINY, agent, history, processes, program, reaches, start, started, stop


@pytest.fixture
def launching(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """A hub with the program, not started, with a history that lasts; nothing of its agents is left at the end."""
    hubs: list[HubProcess] = []

    def make(*behaviour: str, **options: Any) -> HubProcess:
        database = f"sqlite:///{tmp_path}/{len(hubs)}.db"
        hubs.append(hub_factory(**{"HUB_AGENT": program(*behaviour), "HUB_HISTORY": database, **options}))
        return hubs[-1]

    yield make
    left = []
    for hub in hubs:
        if hub.process is not None and hub.process.poll() is None:
            stop(hub)
            hub.stop()
        left += processes(hub)
    for process in left:
        process.kill()
    assert left == []


def exits(hub: HubProcess) -> list[tuple[Any, str, str]]:
    return [(e["code"], e["reason"], e["status"]) for e in history(hub, "agent_process_exited")]


# -- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_exits_at_once_and_again_and_again(launching: Callable[..., HubProcess]) -> None:
    """Started again three times within a minute, with growing pauses, then crashed for good, with the reason."""
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
    assert [round(pause / wanted) for pause, wanted in zip(pauses, (0.5, 2, 8), strict=True)] == [1, 1, 1]
    metrics = requests.get(f"{hub.url}/metrics", timeout=PATIENCE).text
    assert "hub_agent_restarts_total 3.0" in metrics
    assert 'hub_agents{state="crashed"} 1.0' in metrics
    assert stop(hub, agent_id).json()["status"] == "none"
    assert start(hub).status_code == 202  # once more, from the beginning


def test_crashes_once_and_is_ready_again(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = launching("crashes_once", str(tmp_path / "flag")).start()
    started(hub)
    facts = reaches(hub, "ready")
    assert (facts["restarts"], facts["message"], facts["error"]) == (1, "Back again", None)
    assert exits(hub) == [(-11, "crashed", "restarting")]
    assert "SIGSEGV" in history(hub, "agent_process_exited")[0]["error"]


def test_a_stop_between_two_tries(launching: Callable[..., HubProcess]) -> None:
    hub = launching("exits", "7").start()
    started(hub)
    until(lambda: agent(hub)["restarts"] == 2 and agent(hub)["status"] == "restarting", "the pause of 8 s")
    assert stop(hub, wait="0s").json()["status"] == "stopped"
    assert exits(hub)[-1] == (7, "stopped", "stopped")


@pytest.mark.parametrize(
    ("code", "state", "reason"), [("2", "crashed", "wrong settings"), ("0", "stopped", "finished")]
)
def test_what_is_not_started_again(launching: Callable[..., HubProcess], code: str, state: str, reason: str) -> None:
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
        "LiveKit's own command line ends with 0 where it cannot connect"
    )
    assert history(hub, "agent_process_exited")[0]["error"] == how, "no line of its log for everybody"


def test_what_has_done_its_work_has_no_error(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = launching("waits_then_exits", "0", str(tmp_path / "flag")).start()
    started(hub)
    reaches(hub, "ready")
    (tmp_path / "flag").touch()
    assert (reaches(hub, "stopped")["error"], exits(hub)) == (None, [(0, "finished", "stopped")])


def test_the_error_that_it_reports_is_the_one_that_is_shown(launching: Callable[..., HubProcess]) -> None:
    hub = launching("reports_error", "2").start()
    started(hub)
    facts = reaches(hub, "crashed")
    assert facts["error"] == "OPENAI_API_KEY is wrong: set another"
    assert history(hub, "agent_process_exited")[0]["error"] == facts["error"]


@pytest.mark.slow
def test_never_becomes_ready(launching: Callable[..., HubProcess]) -> None:
    """After 15 s the status says what to do; it is waited for all the same."""
    hub = launching("silent").start()
    agent_id = started(hub)["agent_id"]
    until(lambda: agent(hub)["log"] == ["still loading"], "its first line")
    assert agent(hub)["hint"] is None
    hint = until(lambda: agent(hub)["hint"], "a hint")
    assert "look at its log (/api/agent/logs" in hint
    assert agent(hub)["status"] == "starting"
    hub.publish({"type": "agent_ready", "agent_id": agent_id})
    assert (agent(hub)["status"], agent(hub)["hint"]) == ("ready", None)


def test_ignores_sigterm_with_all_its_family(launching: Callable[..., HubProcess]) -> None:
    hub = launching("stubborn", HUB_AGENT_GRACE="500ms").start()
    started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    assert stop(hub).json()["status"] == "stopped"
    assert exits(hub) == [(-9, "killed", "stopped")]
    until(lambda: processes(hub) == [], "the whole group to be gone")


def test_what_forks_and_ends_all_the_time_is_ended_too(launching: Callable[..., HubProcess]) -> None:
    """Whenever somebody looks, it is another process: only its whole group at once can be ended."""
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


def test_what_it_leaves_behind_ends_with_it(launching: Callable[..., HubProcess]) -> None:
    hub = launching("forks").start()
    started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    stop(hub)
    assert exits(hub) == [(0, "stopped", "stopped")]
    until(lambda: processes(hub) == [], "its family to be gone")


@pytest.mark.parametrize("away", ["", "env -i "], ids=["with its variable", "without it"])
def test_what_gets_out_of_its_session(launching: Callable[..., HubProcess], tmp_path: Path, away: str) -> None:
    """A daemon is found by the variable that it has inherited; of one without it the log stays bounded at least."""
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
            until(lambda: b"older lines" in log.read_bytes()[:100], "it to be cut though it is over")
    finally:
        try:
            daemon.kill()
        except psutil.NoSuchProcess:
            pass


def test_floods_its_log(launching: Callable[..., HubProcess]) -> None:
    """The file stays bounded, the newest lines are kept, the hub goes on serving."""
    hub = launching("floods").start()
    agent_id = started(hub)["agent_id"]
    reaches(hub, "ready")
    log = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{agent_id}.log"
    first = int(until(lambda: agent(hub)["log"], "lines")[-1].split()[1])
    until(
        lambda: int((agent(hub)["log"] or ["line 0"])[-1].split()[1]) > first + 10 * MOST // 90, "ten times the limit"
    )
    assert log.stat().st_blocks * 512 < 256 << 20, "between two looks it may grow, not without end"
    stop(hub)
    assert agent(hub)["log"][-1] == "the last line"
    assert log.stat().st_size < 256 << 20
    lines = requests.get(f"{hub.url}/api/agent/logs?lines=2000", timeout=PATIENCE).text
    assert len(lines) <= KEPT


@pytest.mark.parametrize("server", ["gunicorn", "gevent", "werkzeug"])
def test_ends_before_anybody_looks(launching: Callable[..., HubProcess], server: str) -> None:
    """Programs of a millisecond: each one's exit code is known."""
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
    """No zombie, no descriptor, no thread, no memory of it. (One of each round would show in 40, too.)"""
    hub = launching(HUB_AGENT=TINY, HUB_HISTORY="memory:", server=server).start()
    worker = psutil.Process(hub.worker_pid())

    def rounds(number: int) -> None:
        with requests.Session() as session:
            for _ in range(number):
                assert session.post(f"{hub.url}/api/agent/start", timeout=PATIENCE).status_code == 202
                assert (
                    session.post(f"{hub.url}/api/agent/stop?wait=20s", timeout=PATIENCE).json()["status"] == "stopped"
                )

    rounds(30)  # whatever is made once
    descriptors, threads, memory = worker.num_fds(), worker.num_threads(), worker.memory_info().rss
    rounds(count)
    assert worker.children() == []
    assert until(lambda: worker.num_fds() <= descriptors + 1, "no descriptor to be left")
    assert worker.num_threads() <= threads + 1
    assert worker.memory_info().rss < memory + (16 << 20)
    assert len(history(hub, "agent_process_exited")) == 30 + count


# -- hubs --------------------------------------------------------------------------------------------------------------


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
    assert history(hub, "session_ended"), "it could say goodbye"
    assert processes(hub) == []


def test_the_worker_alone_is_killed(launching: Callable[..., HubProcess]) -> None:
    """gunicorn starts another, which finds the agent."""
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
    """A worker that ends under the next hub is started again; a program of another mode is over."""
    flag = tmp_path / "flag"
    hub = launching("waits_then_exits", "1", str(flag)).start()
    worker = started(hub)["agent_id"]
    room = started(hub, mode="room", room="r")["agent_id"]
    for one in (worker, room):
        reaches(hub, "ready", one)
    hub.kill()
    hub.start()
    until(lambda: len(hub.get("/api/agent/status")["agents"]) == 2, "both to be found")
    flag.touch()
    facts = reaches(hub, "stopped", room)
    assert (facts["exit_code"], "nobody knows" in facts["error"]) == (None, True)
    until(lambda: agent(hub, worker)["restarts"] > 0, "the worker to be started again")
    by_agent = {event["agent"]: (event["code"], event["reason"]) for event in history(hub, "agent_process_exited")[:2]}
    assert by_agent == {worker: (None, "crashed"), room: (None, "gone")}


def test_died_while_no_hub_was_there(launching: Callable[..., HubProcess]) -> None:
    hub = launching("forks").start()
    facts = started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    hub.kill()
    os.kill(facts["pid"], signal.SIGKILL)
    until(lambda: len(processes(hub)) == 2, "it to be gone, and its family to be left")
    hub.start()
    found = reaches(hub, "stopped")
    assert (found["agent_id"], found["exit_code"]) == (facts["agent_id"], None)
    assert "while no hub was running" in found["error"]
    assert exits(hub) == [(None, "gone", "stopped")]
    until(lambda: processes(hub) == [], "its family to be gone as well")


def test_a_pid_that_is_another_programs_by_now(launching: Callable[..., HubProcess]) -> None:
    """The record names a pid that somebody else has: that program is left alone, and the agent is gone."""
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


def test_a_pid_that_was_not_written_down(launching: Callable[..., HubProcess]) -> None:
    """The disk was full when it was started again: the record has the pid before that, which is nobody's."""
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


def test_killed_between_starting_a_program_and_writing_its_pid_down(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready").start()
    facts = started(hub)
    reaches(hub, "ready")
    hub.kill()
    path = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{facts['agent_id']}.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "pid": None, "created": 0.0}))
    hub.start()
    assert reaches(hub, "ready")["pid"] == facts["pid"]


def test_records_that_are_no_records(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    folder.mkdir(parents=True)
    (folder / "ag_1.json").write_text("{")
    (folder / "ag_2.json").write_text("[]")
    (folder / "ag_3.json").write_text('{"agent_id": "../../x", "mode": "m", "command": [], "started": 0, "since": 0}')
    (folder / "ag_4.log").write_text("of nobody")
    hub.start()
    started(hub)
    reaches(hub, "ready")
    assert len(hub.get("/api/agent/status")["agents"]) == 1
    assert hub.output().count("is no agent's record") == 3
    assert not (folder / "ag_4.log").exists()


def test_a_broken_folder_loses_no_agent(launching: Callable[..., HubProcess]) -> None:
    """Whatever lies beside its record, the agent is found, the loop goes on, and the hub's end is its end."""
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
    assert hub.output().count("is no agent's record") == 3
    assert hub.terminate() == 0
    assert processes(hub) == []


def test_an_orderly_end_of_the_hub_ends_its_agents(launching: Callable[..., HubProcess]) -> None:
    """With their last events, and ours, in the stream and in the history, before it closes."""
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
    """The terminal's signal goes to everything of the hub's; its agents are asked by the hub, in order."""
    hub = launching("ready", server=server).start()
    started(hub)
    reaches(hub, "ready")
    assert hub.process is not None
    os.killpg(hub.process.pid, signal.SIGINT)
    assert hub.process.wait(PATIENCE) == 0
    hub.start()
    assert exits(hub) == [(0, "stopped", "stopped")]
    assert history(hub, "session_ended")


def test_what_the_history_did_not_take_comes_later(launching: Callable[..., HubProcess]) -> None:
    """Another program holds the database: the agent is started all the same, and told of when that is possible."""
    hub = launching("silent").start()
    with closing(sqlite3.connect(hub.environ["HUB_HISTORY"].removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        facts = started(hub)
        assert hub.post({"type": "n"}).status_code == 503
        other.execute("ROLLBACK")
    (event,) = until(lambda: history(hub, "agent_process_started"), "the event")
    assert (event["agent"], event["pid"]) == (facts["agent_id"], facts["pid"])


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_an_orderly_end_is_within_the_drains_time(launching: Callable[..., HubProcess], server: str) -> None:
    hub = launching("stubborn", HUB_DRAIN="3s", server=server).start()
    started(hub)
    reaches(hub, "ready")
    until(lambda: len(processes(hub)) == 3, "child and grandchild")
    with hub.stream("?type=agent_process_*") as stream:
        stream.next()
        assert hub.terminate() == 0
        assert [event.get("reason") for event in stream.rest()] == ["killed", "shutdown"]
    assert processes(hub) == []


def test_two_hubs_do_not_share_agents(launching: Callable[..., HubProcess]) -> None:
    """Each port has a folder of its own; the same folder is refused."""
    one = launching("ready").start()
    other = launching("ready", HUB_AGENT_STATE=one.environ["HUB_AGENT_STATE"]).start()
    started(one)
    reaches(one, "ready")
    assert other.get("/api/agent/status")["agents"] == []
    started(other)
    reaches(other, "ready")
    assert (len(one.get("/api/agent/status")["agents"]), len(other.get("/api/agent/status")["agents"])) == (1, 1)
    for hub in (one, other):
        stop(hub)


def test_the_folder_is_held_by_another_hub(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Its agents are taken over as soon as it is free, and until then nobody else's are started."""
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


def test_a_folder_that_cannot_be_made(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hub = launching("ready", HUB_AGENT_STATE=str(tmp_path / "file" / "agents")).start()
    answer = start(hub)
    assert (answer.status_code, answer.json()["code"]) == (503, "agent_unavailable")
    assert "HUB_AGENT_STATE" in answer.json()["detail"]


def test_the_agent_outlives_a_hub_that_is_away(launching: Callable[..., HubProcess]) -> None:
    """What it says meanwhile is there when the next hub is."""
    hub = launching("ready").start()
    facts = started(hub, mode="room", room="r")
    reaches(hub, "ready")
    hub.kill()
    os.kill(facts["pid"], signal.SIGTERM)  # it says goodbye to nobody, until there is somebody
    hub.start()
    until(lambda: history(hub, "session_ended"), "its last event")
    reaches(hub, "stopped")
