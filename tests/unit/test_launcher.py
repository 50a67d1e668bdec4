"""The launcher without a hub: what it writes down, and what it makes of reports."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_hub.server.agents import Launcher
from event_hub.server.agents.agent import Agent
from event_hub.server.agents.program import Program
from event_hub.server.agents.record import Folder
from event_hub.server.errors import HubError
from event_hub.server.settings import Settings

from ..hubs import PATIENCE, until

SLEEPS = f"{sys.executable} -I -S -c 'import signal; signal.pause()'"


@pytest.fixture
def launching(tmp_path: Path) -> Iterator[Callable[..., tuple[Launcher, list[dict[str, Any]]]]]:
    made: list[Launcher] = []

    def make(agent: str = SLEEPS, **environ: str) -> tuple[Launcher, list[dict[str, Any]]]:
        told: list[dict[str, Any]] = []
        settings = Settings.load(
            {
                "PORT": "5999",
                "HUB_AGENT_STATE": str(tmp_path),
                "PATH": os.environ["PATH"],
                "HUB_AGENT": agent,
                **environ,
            },
            dotenv=None,
        )
        made.append(Launcher(settings, told.append))
        return made[-1], told

    yield make
    for launcher in made:
        launcher.end(0)
        launcher.close()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The state at each time that a record is written."""
    written: list[str] = []
    write = Folder.write

    def counted(self: Folder, record: Any) -> None:
        written.append(str(record.state))
        write(self, record)

    monkeypatch.setattr(Folder, "write", counted)
    return written


def ends_with_2_when(flag: Path) -> str:
    """The command of an agent that goes on until `flag` is there."""
    code = f"import os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(.01)\nraise SystemExit(2)"
    return shlex.join([sys.executable, "-I", "-S", "-c", code])


def report(agent_id: str, kind: str = "agent_ready", **more: Any) -> bytes:
    return json.dumps({"type": kind, "agent_id": agent_id, **more}).encode()


def facts(launcher: Launcher, *, logs: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = launcher.status(logs=logs)["agents"][0]
    return found


def test_of_a_batch_of_reports_the_last_counts(launching: Callable[..., Any], writes: list[str]) -> None:
    """10,000 reports are one record, and the same report again none: each is written while the hub waits."""
    launcher, _ = launching()
    agent_id = launcher.start(None, None, None)["agent_id"]
    before = len(writes)
    batch = [report(agent_id, message=f"m{n}") for n in range(10_000)]
    launcher.reported(batch)
    assert len(writes) == before + 1
    assert (facts(launcher)["status"], facts(launcher)["message"]) == ("ready", "m9999")
    for _ in range(3):
        launcher.reported(batch[-1:])
    assert len(writes) == before + 1
    wrong: dict[str, Any] = {"kind": "agent_error", "recoverable": False}
    launcher.reported([report(agent_id, message="again"), report(agent_id, message="no key", **wrong)])
    assert (facts(launcher)["message"], facts(launcher)["error"]) == ("again", "no key")
    launcher.reported([report(agent_id, message="no key", **wrong), report(agent_id, message="well")])
    assert (facts(launcher)["message"], facts(launcher)["error"]) == ("well", None)


def test_reports_of_a_wrong_shape_change_nothing(launching: Callable[..., Any]) -> None:
    launcher, _ = launching()
    agent_id = launcher.start(None, None, None)["agent_id"]
    for one in ([1], {"a": 1}, 5, None, agent_id.upper()):
        launcher.reported([json.dumps({"type": "agent_ready", "agent_id": one}).encode()])
    launcher.reported([b"[]"])
    assert facts(launcher)["status"] == "starting"
    launcher.reported([report(agent_id, message={"a": ["b"]})])
    assert (facts(launcher)["status"], facts(launcher)["message"]) == ("ready", None)


def test_a_report_that_comes_at_once_is_not_lost(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, _ = launching()
    begin = Agent.begin

    def quick(self: Agent) -> None:
        begin(self)
        launcher.reported([report(self.record.agent_id, message="at once")])

    monkeypatch.setattr(Agent, "begin", quick)
    launcher.start(None, None, None)
    assert (facts(launcher)["status"], facts(launcher)["message"]) == ("ready", "at once")


def test_what_it_reports_is_shown_without_secrets_and_short(launching: Callable[..., Any], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    launcher, told = launching(ends_with_2_when(flag), MY_API_KEY="my-very-own-key")
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, message="with my-very-own-key\nand \x1b[1m" + "x" * 65_000)])
    assert facts(launcher)["message"].startswith("with *** and xxx")
    assert len(facts(launcher)["message"]) <= 501
    launcher.reported([report(agent_id, "agent_error", message="y" * 65_000, recoverable=False)])
    flag.touch()
    until(lambda: facts(launcher)["status"] == "crashed", "it to end")
    assert len(told[-1]["error"]) == 501
    assert told[-1]["type"] == "agent_process_exited"


def test_the_last_line_of_its_log_is_not_for_everybody(launching: Callable[..., Any]) -> None:
    launcher, told = launching(f"""{sys.executable} -I -S -c 'print("what a user said"); raise SystemExit(2)'""")
    launcher.start(None, None, None)
    until(lambda: facts(launcher)["status"] == "crashed", "it to end")
    public = "It exited with code 2 before it was ready"
    assert facts(launcher)["error"] == f"{public}: what a user said"
    assert facts(launcher, logs=False)["error"] == public
    assert told[-1]["error"] == public


def test_what_it_said_long_ago_is_not_why_it_ended(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("event_hub.server.agents.agent.RECENT", 0.0)
    flag = tmp_path / "flag"
    launcher, _ = launching(ends_with_2_when(flag))
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, "agent_error", message="a hiccup", recoverable=False)])
    assert facts(launcher)["error"] == "a hiccup"
    flag.touch()
    until(lambda: facts(launcher)["status"] == "crashed", "it to end")
    assert facts(launcher)["error"] == "It exited with code 2 before it was ready, and its log is empty."


@pytest.mark.parametrize("code", [[], ["a\0b"], ["/no/such/program"]], ids=["empty", "NUL", "missing"])
def test_a_restart_that_cannot_be_is_the_end_of_it(launching: Callable[..., Any], code: list[str]) -> None:
    launcher, told = launching(f"{sys.executable} -I -S -c 'raise SystemExit(3)'")
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher._agents[agent_id].record.command = code
    until(lambda: facts(launcher)["status"] == "crashed", "it to be given up")
    assert facts(launcher)["error"].startswith("It could not be started again: ")
    assert told[-1]["status"] == "crashed"


def test_the_loop_goes_on_whatever_happens(launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, told = launching()
    monkeypatch.setattr("event_hub.server.agents.launcher._RETRY", 0.01)
    pause, failed = Launcher._pause, list[int]()

    def fails(self: Launcher) -> float | None:
        if len(failed) < 3:
            failed.append(1)
            raise ValueError("of whatever kind")
        return pause(self)

    monkeypatch.setattr(Launcher, "_pause", fails)
    launcher.start(None, None, None)
    assert launcher.stop(None, PATIENCE)[0]["status"] == "stopped"
    assert told[-1]["reason"] == "stopped"


def test_one_agent_that_cannot_be_taken_over_is_not_in_the_others_way(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = launching()
    ids = [first.start("room", room, None)["agent_id"] for room in ("a", "b")]
    first.close()
    find = Program.find.__func__  # type: ignore[attr-defined]

    def fails(cls: type[Program], agent: str, *rest: Any) -> Program | None:
        if agent == ids[0]:
            raise ValueError("pid must be a positive integer")
        found: Program | None = find(cls, agent, *rest)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Program, "find", classmethod(fails))
        second, _ = launching()
        second.open()
        until(lambda: second.status()["agents"], "the other to be found")
        assert [one["agent_id"] for one in second.status()["agents"]] == [ids[1]]
        second.close()
    third, _ = launching()
    third.open()
    until(lambda: len(third.status()["agents"]) == 2, "both to be found")
    third.end(0)
    for agent in first._agents.values():  # they are this process's children still
        until(agent._program.poll, "it to be collected")


def test_a_full_disk_is_not_the_programs_fault(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    launcher, _ = launching()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(HubError) as caught:
            launcher.start(None, None, None)
    assert "No space left on device; see HUB_AGENT_STATE" in caught.value.detail
    assert "HUB_AGENT=" not in caught.value.detail
    assert {path.name for path in (tmp_path / "5999").iterdir()} == {"lock"}
    assert launcher.status()["agents"] == []


def test_a_program_whose_interpreter_is_not_there(launching: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "agent"
    script.write_text("#!/no/such/interpreter -x\n")
    script.chmod(0o755)
    with pytest.raises(HubError, match="names /no/such/interpreter in its first line, and that is not there"):
        launching(str(script))[0].start(None, None, None)


def test_a_variable_that_cannot_be_handed_over(launching: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(HubError, match="the variable MY_NOTE has a character of code 0"):
        launching(MY_NOTE="a\0b")[0].start(None, None, None)
    assert {path.name for path in (tmp_path / "5999").iterdir()} == {"lock"}


def test_one_missing_key_is_an_it(launching: Callable[..., Any]) -> None:
    keys = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32}
    with pytest.raises(HubError, match="OPENAI_API_KEY is not set: set it in the environment"):
        launching("python -m agent", **keys)[0].start(None, None, None)
