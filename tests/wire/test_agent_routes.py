"""The launcher over HTTP, with real programs: start, states, status, logs and stop (H13)."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from event_hub.server.errors import CATALOGUE

from ..hubs import PATIENCE, ROOT, SERVERS, HubProcess, until
from .agents import TINY, agent, history, processes, reaches, start, started, stop

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJtZSIsIm5hbWUiOiJtZSJ9.c2lnbmF0dXJlLXdpdGgtc29tZS1sZW5ndGg"


@pytest.mark.parametrize("server", SERVERS)
def test_start_status_and_stop(launching: Callable[..., HubProcess], server: str) -> None:
    """On every server. H13: no body is needed, the response is JSON, and a second start starts nothing."""
    hub = launching("ready", server=server)
    assert hub.get("/api/agent/status") == {"status": "none", "agents": []}
    with hub.stream("?type=agent_*&type=session_*") as stream:
        facts = started(hub)
        agent_id = facts["agent_id"]
        assert facts == {"agent_id": agent_id, "mode": "worker", "pid": facts["pid"], "status": "starting"}
        event = stream.until("agent_process_started")
        assert (event["agent"], event["pid"], event["mode"]) == (agent_id, facts["pid"], "worker")
        assert stream.until("agent_ready")["agent_id"] == agent_id
        status = reaches(hub, "ready")
        assert (status["message"], status["pid"], status["restarts"]) == ("Listening", facts["pid"], 0)
        assert status["log"] == ["started in the mode worker"]

        second = start(hub)
        problem = second.json()
        assert (second.status_code, problem["code"], problem["agent"]["agent_id"]) == (409, "agent_running", agent_id)
        assert len(processes(hub)) == 1

        answer = stop(hub)
        assert (answer.status_code, answer.json()["status"]) == (200, "stopped")
        assert stream.until("session_ended")["type"]
        over = stream.until("agent_process_exited")
        assert (over["agent"], over["code"], over["reason"], over["status"]) == (agent_id, 0, "stopped", "stopped")
    status = agent(hub)
    assert (status["status"], status["exit_code"], status["pid"], status["error"]) == ("stopped", 0, None, None)
    assert hub.get("/api/agent/status")["status"] == "stopped"
    assert stop(hub).json() == {"status": "none", "agents": []}
    assert started(hub)["agent_id"] != agent_id


def test_stop_responds_at_once(launching: Callable[..., HubProcess]) -> None:
    hub = launching("stubborn", HUB_AGENT_GRACE="60s")
    agent_id = started(hub)["agent_id"]
    reaches(hub, "ready")
    answer = stop(hub, agent_id, "0s")
    assert (answer.status_code, answer.json()["status"]) == (202, "stopping")
    assert start(hub).json()["detail"].endswith("start again once it has ended")
    for process in processes(hub):
        process.kill()
    reaches(hub, "stopped")
    assert history(hub, "agent_process_exited")[0]["reason"] == "stopped"


def test_two_starts_at_the_same_instant(launching: Callable[..., HubProcess]) -> None:
    """One 202, all others 409, one process."""
    hub = launching("silent")
    barrier, codes = threading.Barrier(8), []

    def go() -> None:
        barrier.wait()
        codes.append(start(hub).status_code)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(codes) == [202] + [409] * 7
    assert len(processes(hub)) == 1
    assert len(history(hub, "agent_process_started")) == 1


def test_the_programs_environment_and_arguments(launching: Callable[..., HubProcess]) -> None:
    hub = launching("echo", "an argument")
    started(hub, mode="room", room="Zoë's room", instructions="Say „ü“\nand 'quote' $HOME.")
    (echo,) = until(lambda: history(hub, "echo"), "the echo")
    assert echo["given"] == {
        "HUB_AGENT_MODE": "room",
        "HUB_AGENT_ROOM": "Zoë's room",
        "HUB_AGENT_INSTRUCTIONS": "Say „ü“\nand 'quote' $HOME.",
        "HUB_URL": f"http://127.0.0.1:{hub.port}",
    }
    assert (echo["arguments"], echo["stdin"], echo["cwd"], echo["apart"]) == (
        ["echo", "an argument"],
        "",
        str(ROOT),
        True,
    )
    assert history(hub, "agent_process_started")[0]["room"] == "Zoë's room"
    stop(hub)
    started(hub)
    until(lambda: len(history(hub, "echo")) == 2, "the second echo")
    given = history(hub, "echo")[1]["given"]
    assert (given["HUB_AGENT_MODE"], given["HUB_AGENT_ROOM"], given["HUB_AGENT_INSTRUCTIONS"]) == ("worker", None, None)


def test_at_most_eight_run_at_once(launching: Callable[..., HubProcess]) -> None:
    hub = launching(HUB_AGENT=TINY)
    ids = [started(hub, mode="room", room=f"room {n}")["agent_id"] for n in range(8)]
    refused = start(hub, mode="room", room="one more")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_agents")
    assert refused.headers["Retry-After"]
    assert stop(hub, ids[3]).json()["agents"][0]["agent_id"] == ids[3]
    started(hub, mode="room", room="one more")
    metrics = requests.get(f"{hub.url}/metrics", timeout=PATIENCE).text
    counts = {
        sample.labels["state"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "hub_agents"
    }
    assert (counts["starting"], counts["stopped"]) == (8, 1)
    assert len(stop(hub).json()["agents"]) == 8
    for n in range(15):
        started(hub, mode="room", room=f"later {n}")
        stop(hub)
    listed = hub.get("/api/agent/status")["agents"]
    assert len(listed) == 20
    assert listed[0]["room"] == "later 14"
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    kept = {path.stem for path in folder.iterdir()} - {"lock"}
    assert kept == {facts["agent_id"] for facts in listed}


# -- modes and settings ------------------------------------------------------------------------------------------------

KEYS = {"LIVEKIT_URL": "ws://127.0.0.1:1", "LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "s" * 32}


def test_every_missing_setting_is_named(launching: Callable[..., HubProcess]) -> None:
    hub = launching(LIVEKIT_URL="ws://127.0.0.1:1", AGENT_STT="deepgram")
    for body in ({}, {"mode": "worker"}, {"mode": "room", "room": "r"}):
        problem = start(hub, **body).json()
        assert problem["code"] == "agent_not_configured"
        assert problem["missing"] == ["LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "DEEPGRAM_API_KEY", "OPENAI_API_KEY"]
        assert all(name in problem["detail"] for name in problem["missing"])
    assert hub.get("/api/agent/status")["status"] == "none"


def test_a_provider_that_does_not_exist(launching: Callable[..., HubProcess]) -> None:
    hub = launching(AGENT_TTS="cartesian", **KEYS)
    answer = start(hub)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, "agent_not_configured", "AGENT_TTS")
    assert "do you mean cartesia?" in problem["detail"]


def test_room_mode_needs_a_room(launching: Callable[..., HubProcess]) -> None:
    hub = launching(AGENT_PROVIDERS="local", **KEYS)
    problem = start(hub, mode="room").json()
    assert (problem["status"], problem["field"]) == (422, "room")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("no-such-program --now", "no-such-program is not an executable program"),
        ("python -m no_such_module", "no module no_such_module"),
        (f"{ROOT}/README.md", "is not an executable program"),
    ],
)
def test_a_program_that_does_not_exist(launching: Callable[..., HubProcess], command: str, hint: str) -> None:
    hub = launching(HUB_AGENT=command)
    answer = start(hub)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "agent_unavailable")
    assert hint in problem["detail"]
    assert "HUB_AGENT" in problem["detail"]
    assert hub.get("/api/agent/status")["agents"] == []


def test_a_program_that_cannot_be_run(launching: Callable[..., HubProcess], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF no program at all")
    broken.chmod(0o755)
    hub = launching(HUB_AGENT=str(broken))
    for _ in range(3):
        answer = start(hub)
        assert (answer.status_code, answer.json()["code"]) == (503, "agent_unavailable")
    assert "Exec format error" in answer.json()["detail"]
    folder = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port)
    assert not list(folder.glob("ag_*"))


# -- bad input ---------------------------------------------------------------------------------------------------------

BAD_BODIES: list[tuple[str, str, Any, int, str, str | None]] = [
    ("start", "application/json", '{"mode": "wroker"}', 422, "bad_field", "mode"),
    ("start", "application/json", '{"mod": "worker"}', 422, "bad_field", "mod"),
    ("start", "application/json", '{"room": "%s"}' % ("r" * 10240), 422, "bad_field", "room"),
    ("start", "application/json", '{"room": ""}', 422, "bad_field", "room"),
    ("start", "application/json", '{"room": "a\\u0000b"}', 422, "bad_field", "room"),
    ("start", "application/json", '{"room": 7}', 422, "bad_field", "room"),
    ("start", "application/json", '{"instructions": "%s"}' % ("i" * 33000), 422, "bad_field", "instructions"),
    ("start", "application/json", '{"instructions": "%s"}' % ("ü" * 17000), 422, "bad_field", "instructions"),
    ("start", "application/json", '{"instructions": "a\\u0000b"}', 422, "bad_field", "instructions"),
    ("start", "application/json", '{"instructions": "%s"}' % ("i" * (1 << 20)), 413, "body_too_large", None),
    ("start", "application/json", "[]", 422, "bad_field", ""),
    ("start", "application/json", '"worker"', 422, "bad_field", ""),
    ("start", "application/json", "{", 400, "bad_json", None),
    ("start", "text/plain", '{"mode": "worker"}', 415, "unsupported_media_type", None),
    ("start", "application/x-www-form-urlencoded", "mode=worker", 415, "unsupported_media_type", None),
    ("stop", "application/json", '{"agent_id": "ag_unknown"}', 404, "unknown_agent", "agent_id"),
    ("stop", "application/json", '{"agent_id": 5}', 422, "bad_field", "agent_id"),
    ("stop", "application/json", '{"agent": "x"}', 422, "bad_field", "agent"),
    ("stop?wait=soon", "application/json", "", 400, "bad_parameter", "wait"),
    ("stop?wait=2h", "application/json", "", 400, "bad_parameter", "wait"),
    ("logs?lines=0", "GET", None, 400, "bad_parameter", "lines"),
    ("logs?lines=99999999", "GET", None, 400, "bad_parameter", "lines"),
    ("logs?line=5", "GET", None, 400, "bad_parameter", "line"),
    ("logs?agent_id=../../etc/passwd", "GET", None, 404, "unknown_agent", "agent_id"),
    ("start", "GET", None, 405, "method_not_allowed", None),
    ("start?room=r", "application/json", "", 400, "bad_parameter", "room"),
    ("start?mod=worker", "application/json", "{}", 400, "bad_parameter", "mod"),
    ("start?limit=5", "application/json", "{}", 400, "bad_parameter", "limit"),
    ("stop?agent_id=ag_1", "application/json", "", 400, "bad_parameter", "agent_id"),
    ("stop?id=ag_1", "application/json", "", 400, "bad_parameter", "id"),
    ("stop?waits=1s", "application/json", "", 400, "bad_parameter", "waits"),
    ("start", "application/json", '{"room": "a\\u0085b"}', 422, "bad_field", "room"),
    ("start", "application/json", '{"room": "a\\u202eb"}', 422, "bad_field", "room"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "kind", "sent", "status", "code", "field"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_input(hub: HubProcess, path: str, kind: str, sent: Any, status: int, code: str, field: str | None) -> None:
    url = f"{hub.url}/api/agent/{path}"
    if kind == "GET":
        answer = requests.get(url, timeout=PATIENCE)
    else:
        answer = requests.post(url, data=sent.encode(), headers={"Content-Type": kind}, timeout=PATIENCE)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field")) == (status, code, field), problem
    assert problem["status"] == CATALOGUE[code].status
    assert hub.get("/api/agent/status") == {"status": "none", "agents": []}


def test_a_typo_is_pointed_out(hub: HubProcess) -> None:
    assert start(hub, mod="worker").json()["detail"] == "mod: is unknown; do you mean mode?"
    assert "the fields are mode, room, instructions, restart" in start(hub, colour="red").json()["detail"]


def test_the_advice_fits_the_route(hub: HubProcess) -> None:
    text = requests.post(f"{hub.url}/api/agent/start", data="mode=worker", timeout=PATIENCE).json()
    assert text["advice"].startswith("Send JSON with -H 'Content-Type: application/json'")
    assert "of events" not in text["title"]
    big = requests.post(f"{hub.url}/api/agent/start", json={"instructions": "i" * (1 << 20)}, timeout=PATIENCE).json()
    assert big["advice"].startswith("Send less")
    there = requests.post(f"{hub.url}/api/agent/stop?agent_id=ag_1", timeout=PATIENCE).json()
    assert there["detail"].startswith('agent_id belongs in the body, as JSON: {"agent_id": …}')
    none = requests.get(f"{hub.url}/api/agent/status?room=x", timeout=PATIENCE).json()
    assert none["detail"].endswith("; this path has no parameters")


# -- logs --------------------------------------------------------------------------------------------------------------


def test_logs_show_no_secrets_and_no_control_characters(launching: Callable[..., HubProcess]) -> None:
    hub = launching("secrets", JWT, OPENAI_API_KEY="sk-proj-1234567890abcdef", **KEYS)
    agent_id = started(hub)["agent_id"]
    reaches(hub, "ready")
    url = f"{hub.url}/api/agent/logs"
    answer = requests.get(url, timeout=PATIENCE)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    lines = answer.content.decode().splitlines()
    assert lines[0] == "key *** and ***"
    assert lines[1] == "Authorization: Bearer ***, joined with ***"
    assert lines[2] == "wss://user:***@host/?access_token=***&room=a"
    assert lines[3:5] == ["100 %", "plain text → ü"]
    assert agent(hub)["log"] == lines
    raw = Path(hub.environ["HUB_AGENT_STATE"]) / str(hub.port) / f"{agent_id}.log"
    assert JWT in raw.read_text(errors="replace")
    assert raw.stat().st_mode & 0o777 == 0o600
    assert raw.parent.stat().st_mode & 0o777 == 0o700
    shown = requests.get(f"{url}?agent_id={agent_id}&lines=1", headers={"Accept": "application/json"}, timeout=PATIENCE)
    assert shown.json() == {"agent_id": agent_id, "lines": lines[-1:]}
    rows = requests.get(
        f"{url}?lines=2", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE
    ).text.splitlines()
    assert [json.loads(row)["line"] for row in rows] == lines[-2:]


def test_a_line_that_is_slow_to_mask(launching: Callable[..., HubProcess]) -> None:
    """64 KB in which a token could begin anywhere, as a line of the log and as a report: the hub does not stall."""
    code = "print('eyJ-' * 16000, flush=True); import signal; signal.pause()"
    hub = launching(HUB_AGENT=shlex.join(["python", "-I", "-S", "-c", code]))
    agent_id = started(hub)["agent_id"]
    until(lambda: agent(hub)["log"], "the line")
    began = time.monotonic()
    error = {"type": "agent_error", "agent_id": agent_id, "recoverable": False, "message": "eyJ-" * 16000}
    hub.publish(error)
    assert len(agent(hub)["error"]) == 501
    hub.publish([{"type": "agent_ready", "agent_id": agent_id, "message": f"m{n}"} for n in range(5000)])
    assert agent(hub)["message"] == "m4999"
    assert time.monotonic() - began < 15, "it takes about a second; with a backtracking pattern it would take minutes"


def test_without_agents_the_logs_are_empty(hub: HubProcess) -> None:
    answer = requests.get(f"{hub.url}/api/agent/logs", timeout=PATIENCE)
    assert (answer.status_code, answer.text) == (200, "")


# -- without agents ----------------------------------------------------------------------------------------------------


def test_nothing_exists_before_the_first_start(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory().start()
    hub.publish({"type": "agent_ready", "agent_id": "ag_unknown"})
    assert hub.get("/api/agent/status")["status"] == "none"
    assert not Path(hub.environ["HUB_AGENT_STATE"]).exists()
    assert "agent" in hub.get("/api/config")["features"]
    maps = Path(f"/proc/{hub.worker_pid()}/maps")
    if maps.exists():
        assert "livekit" not in maps.read_text()


def test_a_report_from_another_program_changes_nothing(launching: Callable[..., HubProcess]) -> None:
    hub = launching("silent")
    agent_id = started(hub)["agent_id"]
    for other in ("ag_other", None, agent_id.upper()):
        hub.publish({"type": "agent_ready", "agent_id": other})
    hub.publish({"type": "agent_error", "message": "may be over soon", "recoverable": True, "agent_id": agent_id})
    hub.publish({"type": "agent_error", "message": "who knows", "agent_id": agent_id})
    assert (agent(hub)["status"], agent(hub)["error"]) == ("starting", None)
    hub.publish({"type": "agent_ready", "agent_id": agent_id, "message": "at last"})
    assert (agent(hub)["status"], agent(hub)["message"]) == ("ready", "at last")


def test_dotenv_reaches_the_agent_and_the_environment_wins(
    launching: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """The hub reads the `.env` of its working folder."""
    hub = launching("echo")
    hub.stop()
    (tmp_path / ".env").write_text("FROM_DOTENV=yes\nHUB_AGENT=no-such-program\nHUB_AGENT_ROOM=unused\n")
    hub.arguments, hub.cwd = [str(ROOT / "flask_server.py")], tmp_path
    hub.start()
    started(hub)
    (echo,) = until(lambda: history(hub, "echo"), "the echo")
    assert (echo["from_dotenv"], echo["cwd"], echo["given"]["HUB_AGENT_ROOM"]) == ("yes", str(tmp_path), None)
