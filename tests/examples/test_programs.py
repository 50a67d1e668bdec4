"""The samples for the terminal, run as their comments say (H29 H30 H31 H41)."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from ..hubs import PATIENCE, HubProcess, until
from ..toolchain import tool
from .packages import EXAMPLES, copied, environment
from .programs import running, unavailable

ROBUST = ["watch.mjs", "fetch.mjs", "watch.py"]
WATCH = """
import {{ watch }} from "{module}";
watch("{hub}", {{}}, (event, id) => console.log(id, JSON.stringify(event)));
"""


def commands(name: str, hub: str) -> list[str | Path]:
    if name == "watch.py":
        return [sys.executable, EXAMPLES / "python_listener" / "watch.py", hub]
    if name == "fetch.mjs":
        return [tool("node"), EXAMPLES / "node" / "fetch.mjs", f"{hub}/api/stream"]
    module = (EXAMPLES / "browser" / "watch.mjs").as_uri()
    program = WATCH.format(module=module, hub=hub)
    return [tool("node"), "--experimental-eventsource", "--input-type=module", "-e", program]


def test_the_robust_clients_get_every_event_once(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """H41: through a pause longer than the hub's ring, a restart with 503s, and the loss of the history."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_RING="20").start()
    with ExitStack() as stack:
        programs = [
            stack.enter_context(
                running(commands(name, hub.url), tmp_path / name, cwd=tmp_path, env=environment(NODE_NO_WARNINGS="1"))
            )
            for name in ROBUST
        ]
        hub.wait_count(3)
        text = "Grüße 👋\n\ndata: {}\r\n\u2028"
        hub.publish({"type": "n", "n": 0, "text": text})
        for program in programs:
            assert program.wait_events(1)[0]["text"] == text

        for program in programs:
            program.signal(signal.SIGSTOP)
        for n in range(1, 301):
            hub.publish({"type": "n", "n": n, "text": "x" * 60_000})
        for program in programs:
            program.signal(signal.SIGCONT)
        for program in programs:
            program.wait_events(301)
        hub.wait_count(3)

        hub.stop()
        with unavailable(hub.port) as asked:
            until(lambda: len(asked) >= 3, "each client to be refused")
        hub.start()
        hub.publish({"type": "n", "n": 301})
        for program in programs:
            got = program.wait_events(302)
            assert [event["n"] for event in got] == list(range(302))
            assert len({event["_id"] for event in got}) == 302

        hub.stop()
        for file in tmp_path.glob("hub.db*"):
            file.unlink()
        hub.start()
        hub.publish({"type": "n", "n": 1000})
        for program in programs:
            gap, after = program.wait_events(304)[302:]
            assert (gap["type"], gap["reason"]) == ("stream_gap", "unknown_epoch")
            assert after["n"] == 1000
    hub.wait_count(0)


@pytest.mark.parametrize("name", ["fetch.mjs", "watch.py"])
def test_permanent_errors_are_reported_and_not_retried(name: str, hub: HubProcess, tmp_path: Path) -> None:
    *command, last = commands(name, hub.url)
    command += [f"{last}?since=yesterday"] if name == "fetch.mjs" else [last, "since=yesterday"]
    with running(command, tmp_path / "out", cwd=tmp_path, env=environment()) as program:
        assert program.process.wait(PATIENCE) != 0
        assert "since is the id of an event" in program.errors()


def test_watch_py_refuses_a_hub_that_is_not_a_url(tmp_path: Path) -> None:
    command = commands("watch.py", "localhost:5000")
    with running(command, tmp_path / "out", cwd=tmp_path, env=environment()) as program:
        assert program.process.wait(PATIENCE) != 0
        assert "localhost:5000" in program.errors()


def test_watch_py_with_a_filter_and_past_events(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory().start()
    hub.publish([{"type": kind, "room": room} for kind in ("a_1", "a_2", "b") for room in ("demo", "other")])
    command = [*commands("watch.py", hub.url), "room=demo", "type=a_*", "type=c", "since=all"]
    with running(command, tmp_path / "out", cwd=tmp_path, env=environment()) as program:
        hub.wait_count(1)
        hub.publish([{"type": "b", "room": "demo"}, {"type": "c", "room": "demo"}])
        program.wait_events(3)
        assert [event["type"] for event in program.events()] == ["a_1", "a_2", "c"]


def test_eventsource_in_node(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """H41: with the npm package `eventsource`, through a kill and a 503."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db").start()
    with copied("node") as folder:
        command = [tool("node"), "eventsource.mjs", f"{hub.url}/api/stream?type=n"]
        with running(command, tmp_path / "out", cwd=folder, env=environment()) as program:
            hub.wait_count(1)
            hub.publish([{"type": "n", "n": 0}, {"type": "other"}, {"type": "n", "n": 1}])
            program.wait_events(2)
            hub.kill()
            with unavailable(hub.port) as asked:
                until(lambda: asked, "the client to be refused")
            hub.start()
            hub.publish({"type": "n", "n": 2})
            program.wait_events(3)
            assert [event["n"] for event in program.events()] == [0, 1, 2]
            assert "reconnecting" in program.errors()
    hub.wait_count(0)


def test_curl_scripts(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """H29 H30: what post.sh posts, watch.sh prints without delay."""
    hub = hub_factory().start()
    tool("curl")
    scripts, env = EXAMPLES / "curl", environment(HUB_URL=hub.url)
    query = "type=test&type=transcript&type=agent_*"
    with running(["sh", scripts / "watch.sh", query], tmp_path / "out", cwd=tmp_path, env=env) as program:
        until(lambda: "stream_opened" in program.text(), "the first bytes")
        hub.wait_count(1)
        post = ["sh", str(scripts / "post.sh")]
        done = subprocess.run(post, env=env, capture_output=True, text=True, timeout=PATIENCE, check=True)
        answers = re.findall(r"\{.*?\}", done.stdout)
        assert [json.loads(a)["clients_notified"] for a in answers] == [1, 1, 0, 1]
        assert [json.loads(a).get("duplicate") for a in answers] == [False, False, True, None]
        last = r'data: \{"type":"agent_speech_finished".*\}\n'
        until(lambda: re.search(last, program.text()), "the complete last event")
        assert "Hello from curl" in program.text()
        lines = program.text().splitlines()
        assert all(re.match(r"(data: \{.*\}|id: [0-9a-z]+-\d+|retry: \d+|)$", line) for line in lines)
    hub.wait_count(0)


def test_the_command_for_json_only(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """The command in watch.sh's comment works as written."""
    hub = hub_factory().start()
    tool("curl")
    line = re.search(r"# Only the JSON: +(.*)", (EXAMPLES / "curl" / "watch.sh").read_text())
    assert line
    command = ["sh", "-c", line[1]]
    env = environment(HUB_URL=hub.url)
    with running(command, tmp_path / "out", cwd=EXAMPLES / "curl", env=env) as program:
        hub.wait_count(1)
        hub.publish({"type": "test", "n": 1})
        until(lambda: '"n":1' in program.text(), "the event")
        assert [json.loads(line)["type"] for line in program.text().splitlines()] == ["stream_opened", "test"]


def test_the_seeds_python_script_is_unmodified() -> None:
    """H31: byte for byte as its author published it."""
    script = (EXAMPLES / "python_listener" / "listen_and_post.py").read_bytes()
    assert hashlib.sha256(script).hexdigest() == "b6322920d3125f3036794aa0d1834167480a772309b8ec3a149a954726c62767"


def test_the_seeds_python_script_runs(hub_factory: Callable[..., HubProcess]) -> None:
    """H03 H31: on the default port at localhost; it also shows that every data line can be parsed with `line[6:]`."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5000)) == 0:
            pytest.fail("port 5000 is in use on this machine: stop the program that listens there to run this test")
    hub = hub_factory(PORT="5000").start()
    script = EXAMPLES / "python_listener" / "listen_and_post.py"
    for _ in range(3):  # it waits only two seconds for each step, which can be too short on a busy machine
        hub.wait_count(0)
        done = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE * 2, check=True
        )
        assert done.stderr == ""
        notified = re.findall(r"Sent event, notified (\d+) clients", done.stdout)
        received = [line for line in done.stdout.splitlines() if "Received" in line and "test_transcript" in line]
        if len(received) == sum(map(int, notified)) and notified[1:] == ["1"] * 4:
            break
    assert len(notified) == 5
    assert len(received) == sum(map(int, notified))
    assert len(received) >= 4  # the script posts its first event without waiting for its own listener
    assert notified[1:] == ["1"] * 4


def test_running_ends_the_whole_process_group(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    with running(command, tmp_path / "out", cwd=tmp_path, env=environment()) as program:
        child = int(until(program.text, "the child"))
    until(lambda: not psutil.pid_exists(child), "the child to end")
