"""The launcher without a hub: its records, its modes, and how it handles reports."""

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

from event_hub.server.agents.agent import Agent
from event_hub.server.agents.launcher import Launcher
from event_hub.server.agents.modes import MODES, Mode
from event_hub.server.agents.program import Program
from event_hub.server.agents.record import Folder
from event_hub.server.errors import RequestError
from event_hub.server.settings import Settings

from ..hubs import PATIENCE, until

SLEEPS = f"{sys.executable} -I -S -c 'import signal; signal.pause()'"


@pytest.fixture
def launching(tmp_path: Path) -> Iterator[Callable[..., tuple[Launcher, list[dict[str, Any]]]]]:
    made: list[Launcher] = []

    def make(agent: str = SLEEPS, **environ: str) -> tuple[Launcher, list[dict[str, Any]]]:
        published: list[dict[str, Any]] = []
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
        made.append(Launcher(settings, published.append))
        return made[-1], published

    yield make
    for launcher in made:
        launcher.end(0)
        launcher.close()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The state in each record that is written."""
    written: list[str] = []
    write = Folder.write

    def counted(self: Folder, record: Any) -> None:
        written.append(str(record.state))
        write(self, record)

    monkeypatch.setattr(Folder, "write", counted)
    return written


def ends_when(flag: Path, code: int = 2) -> str:
    """The command of an agent that runs until the file `flag` exists, and ends with `code`."""
    text = f"import os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(.01)\nraise SystemExit({code})"
    return shlex.join([sys.executable, "-I", "-S", "-c", text])


def report(agent_id: str, kind: str = "agent_ready", **more: Any) -> bytes:
    return json.dumps({"type": kind, "agent_id": agent_id, **more}).encode()


def facts(launcher: Launcher, *, logs: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = launcher.status(logs=logs)["agents"][0]
    return found


def test_of_a_batch_of_reports_the_last_counts(launching: Callable[..., Any], writes: list[str]) -> None:
    """10,000 reports write one record, and a repeated report none, because the hub waits for each write."""
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
    for wrong in ([1], {"a": 1}, 5, None, agent_id.upper()):
        launcher.reported([json.dumps({"type": "agent_ready", "agent_id": wrong}).encode()])
    launcher.reported([b"[]"])
    assert facts(launcher)["status"] == "starting"
    launcher.reported([report(agent_id, message={"a": ["b"]})])
    assert (facts(launcher)["status"], facts(launcher)["message"]) == ("ready", None)


def test_a_report_that_comes_at_once_is_not_lost(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, _ = launching()
    launch = Agent.launch

    def quick(self: Agent) -> None:
        launch(self)
        launcher.reported([report(self.record.agent_id, message="at once")])

    monkeypatch.setattr(Agent, "launch", quick)
    launcher.start(None, None, None)
    assert (facts(launcher)["status"], facts(launcher)["message"]) == ("ready", "at once")


def test_a_reported_message_is_masked_and_shortened(launching: Callable[..., Any], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    launcher, published = launching(ends_when(flag), MY_API_KEY="my-very-own-key")
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, message="with my-very-own-key\nand \x1b[1m" + "x" * 65_000)])
    assert facts(launcher)["message"].startswith("with *** and xxx")
    assert len(facts(launcher)["message"]) <= 501
    launcher.reported([report(agent_id, "agent_error", message="y" * 65_000, recoverable=False)])
    flag.touch()
    until(lambda: facts(launcher)["status"] == "crashed", "it to end")
    assert len(published[-1]["error"]) == 501
    assert published[-1]["type"] == "agent_process_exited"


def test_only_readers_of_logs_see_the_last_line_of_the_log(launching: Callable[..., Any]) -> None:
    launcher, published = launching(f"""{sys.executable} -I -S -c 'print("what a user said"); raise SystemExit(2)'""")
    launcher.start(None, None, None)
    until(lambda: facts(launcher)["status"] == "crashed", "it to end")
    public = "It exited with code 2 before it was ready"
    assert facts(launcher)["error"] == f"{public}: what a user said"
    assert facts(launcher, logs=False)["error"] == public
    assert published[-1]["error"] == public


def test_an_old_report_does_not_explain_the_end(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("event_hub.server.agents.agent.RECENT", 0.0)
    flag = tmp_path / "flag"
    launcher, _ = launching(ends_when(flag))
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, "agent_error", message="a hiccup", recoverable=False)])
    assert facts(launcher)["error"] == "a hiccup"
    flag.touch()
    until(lambda: facts(launcher)["status"] == "crashed", "it to end")
    assert facts(launcher)["error"] == "It exited with code 2 before it was ready, and its log is empty."


@pytest.mark.parametrize("code", [[], ["a\0b"], ["/no/such/program"]], ids=["empty", "NUL", "missing"])
def test_a_restart_that_fails_is_final(launching: Callable[..., Any], code: list[str]) -> None:
    launcher, published = launching(f"{sys.executable} -I -S -c 'raise SystemExit(3)'")
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher._agents[agent_id].record.command = code
    until(lambda: facts(launcher)["status"] == "crashed", "it to give up")
    assert facts(launcher)["error"].startswith("It could not be started again: ")
    assert published[-1]["status"] == "crashed"


def test_the_loop_survives_any_error(launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, published = launching()
    monkeypatch.setattr("event_hub.server.agents.launcher._RETRY", 0.01)
    pause, failed = Launcher._pause, list[int]()

    def fails(self: Launcher) -> float | None:
        if len(failed) < 3:
            failed.append(1)
            raise ValueError("any error")
        return pause(self)

    monkeypatch.setattr(Launcher, "_pause", fails)
    launcher.start(None, None, None)
    assert launcher.stop(None, PATIENCE)[0]["status"] == "stopped"
    assert published[-1]["reason"] == "stopped"


def test_an_agent_that_cannot_be_taken_over_does_not_affect_the_others(
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
        assert [agent["agent_id"] for agent in second.status()["agents"]] == [ids[1]]
        second.close()
    third, _ = launching()
    third.open()
    until(lambda: len(third.status()["agents"]) == 2, "both to be found")
    third.end(0)
    for agent in first._agents.values():  # they are still children of this process
        until(agent._program.poll, "it to be collected")


def test_a_full_disk_is_not_blamed_on_the_program(
    launching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    launcher, _ = launching()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(RequestError) as caught:
            launcher.start(None, None, None)
    assert "No space left on device; see HUB_AGENT_STATE" in caught.value.detail
    assert "HUB_AGENT=" not in caught.value.detail
    assert {path.name for path in (tmp_path / "5999").iterdir()} == {"lock"}
    assert launcher.status()["agents"] == []


def test_a_program_whose_interpreter_does_not_exist(launching: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "agent"
    script.write_text("#!/no/such/interpreter -x\n")
    script.chmod(0o755)
    with pytest.raises(RequestError, match="names /no/such/interpreter, which does not exist"):
        launching(str(script))[0].start(None, None, None)


def test_a_variable_that_cannot_be_passed_on(launching: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the variable MY_NOTE contains a null character"):
        launching(MY_NOTE="a\0b")[0].start(None, None, None)
    assert {path.name for path in (tmp_path / "5999").iterdir()} == {"lock"}


def test_a_single_missing_key_is_singular(launching: Callable[..., Any]) -> None:
    keys = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32}
    with pytest.raises(RequestError, match="OPENAI_API_KEY is not set: set it in the environment"):
        launching("python -m agent", **keys)[0].start(None, None, None)


# -- services ----------------------------------------------------------------------------------------------------------


def test_a_service_shows_the_address_that_it_reports(launching: Callable[..., Any]) -> None:
    """In the status and in the response to a second start, until its program ends."""
    launcher, _ = launching()
    agent_id = launcher.start(None, None, None)["agent_id"]
    assert facts(launcher)["address"] is None
    launcher.reported([report(agent_id, message="Serving", address="http://127.0.0.1:8765")])
    assert (facts(launcher)["status"], facts(launcher)["address"]) == ("ready", "http://127.0.0.1:8765")
    launcher.reported([report(agent_id, message="Registered with LiveKit")])
    assert facts(launcher)["address"] == "http://127.0.0.1:8765", "a later report without an address keeps it"
    with pytest.raises(RequestError) as caught:
        launcher.start(None, None, None)
    assert caught.value.kind.code == "agent_running"
    assert caught.value.more["agent"]["address"] == "http://127.0.0.1:8765"
    assert launcher.stop(agent_id, PATIENCE)[0]["status"] == "stopped"
    assert facts(launcher)["address"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        ["http://127.0.0.1:1"],
        "",
        "127.0.0.1:8765",
        "javascript:alert(1)",
        "http://a b",
        "http://a\n.b",
        "http://h\u00f6st",
        "http://" + "x" * 250,
    ],
    ids=range(9),
)
def test_an_address_that_is_not_a_url_is_ignored(launching: Callable[..., Any], wrong: object) -> None:
    launcher, _ = launching()
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, message="Serving", address=wrong)])
    assert (facts(launcher)["status"], facts(launcher)["address"]) == ("ready", None)


def test_an_address_is_shown_without_its_password(launching: Callable[..., Any]) -> None:
    launcher, _ = launching()
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, address="wss://user:pa55word@127.0.0.1:8765/chat?token=abc")])
    assert facts(launcher)["address"] == "wss://user:***@127.0.0.1:8765/chat?token=***"


def test_the_address_of_a_crashed_service_is_gone(launching: Callable[..., Any], tmp_path: Path) -> None:
    """After the restart it can serve on another port, so it must report again."""
    flag = tmp_path / "flag"
    launcher, published = launching(ends_when(flag, 3))
    agent_id = launcher.start(None, None, None)["agent_id"]
    launcher.reported([report(agent_id, address="http://127.0.0.1:1")])
    flag.touch()
    until(lambda: facts(launcher)["restarts"] == 1, "it to be started again")
    assert facts(launcher)["address"] is None
    assert published[1]["reason"] == "crashed"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode as a service will have it: one for the hub, without a room and without LiveKit."""
    monkeypatch.setitem(MODES, "gateway", Mode(room="none", service=True))


@pytest.mark.usefixtures("gateway")
def test_a_mode_needs_what_its_row_says(launching: Callable[..., Any]) -> None:
    launcher, _ = launching("python -m agent")
    with pytest.raises(RequestError, match="room: the mode gateway takes no room"):
        launcher.start("gateway", "r", None)
    with pytest.raises(RequestError, match="LIVEKIT_URL and LIVEKIT_API_KEY and LIVEKIT_API_SECRET and OPENAI_API_KEY"):
        launcher.start("worker", None, None)


def test_the_mode_room_needs_a_room(launching: Callable[..., Any]) -> None:
    keys = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32}
    with pytest.raises(RequestError, match="room: is missing; the mode room joins one room"):
        launching("python -m agent", AGENT_PROVIDERS="local", **keys)[0].start("room", None, None)


@pytest.mark.usefixtures("gateway")
def test_a_second_start_of_a_service_is_refused(launching: Callable[..., Any]) -> None:
    launcher, _ = launching()
    agent_id = launcher.start("gateway", None, None)["agent_id"]
    with pytest.raises(RequestError, match=rf"{agent_id} \(mode gateway\) is starting; stop it first"):
        launcher.start("gateway", None, None)
    assert launcher.start("worker", None, None)["mode"] == "worker", "an agent can run beside it"
