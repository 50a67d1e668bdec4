"""`event-hub export` against real hubs."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess, until
from .commands import Running, Terminal, run

MANY = 20_000


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub whose history takes a while to export."""
    folder = tmp_path_factory.mktemp("full")
    with outliving() as keep, HubProcess(folder, HUB_HISTORY=f"sqlite:///{folder / 'hub.db'}") as hub:
        keep()
        lines = "".join(
            json.dumps({"type": "test", "room": f"r{n % 3}", "n": n, "x": "é" * 40}) + "\n" for n in range(MANY)
        )
        assert run("post", "-", hub=hub.url, given=lines.encode()).returncode == 0
        yield hub


class SlowProxy:
    """A slow network in front of a hub: responses pass at 1.3 MB/s until an export has written a checkpoint, then at
    64 kB/s, so that it runs for as long as a test needs, until `hurry` is set."""

    FAST_BYTES = 1_600_000

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._passed = 0
        self.hurry = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._open.append(client)
            try:
                hub = socket.create_connection(("127.0.0.1", self._port))
            except OSError:  # the hub is gone
                client.shutdown(socket.SHUT_RDWR)
                continue
            self._open.append(hub)
            threading.Thread(target=self._pass, args=(client, hub, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(hub, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
                if slow:
                    self._passed += len(data)
                    self.hurry.wait(0.05 if self._passed < self.FAST_BYTES else 1.0)
        except OSError:
            pass
        finally:
            for connection in (source, target):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self) -> SlowProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.hurry.set()
        for opened in (self._server, *self._open):
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            opened.close()


def checkpoint(output: Path) -> dict[str, Any]:
    path = output.with_name(output.name + ".part.json")
    return dict(json.loads(path.read_text())) if path.exists() else {"events": 0}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_interrupted_export_is_resumed(full: HubProcess, tmp_path: Path, number: signal.Signals, form: str) -> None:
    output, whole = tmp_path / f"out.{form}", tmp_path / f"whole.{form}"
    with SlowProxy(full.port) as proxy:
        with Running(
            tmp_path, "export", "-o", str(output), "--room", "r[012]", "--room", "r*", hub=proxy.url
        ) as export:
            until(lambda: checkpoint(output)["events"] > 0, "the first checkpoint")
            code = export.end(number)
        assert code == (-9 if number == signal.SIGKILL else 130)
        assert not output.exists()
        done = checkpoint(output)["events"]
        assert 0 < done < MANY
        if number == signal.SIGINT:
            assert f"{output}.part has {done:,} events: repeat the command to resume" in export.err
    with (output.with_name(output.name + ".part")).open("ab") as part:
        part.write(b'{"torn')  # a kill may leave this after the last checkpoint
    again = run("export", "-o", str(output), "--room", "r[012]", "--room", "r*", hub=full.url)
    assert again.returncode == 0, again.stderr
    assert f"after {done:,} events" in again.stderr
    assert run("export", "-o", str(whole), hub=full.url).returncode == 0
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [output.name, whole.name]


def test_an_export_survives_its_hub(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path / 'hub.db'}").start()
    lines = b"".join(b'{"type":"test","n":%d,"x":"%s"}\n' % (n, b"x" * 300) for n in range(8000))
    assert run("post", "-", hub=hub.url, given=lines).returncode == 0
    output = tmp_path / "out.jsonl"
    with SlowProxy(hub.port) as proxy, Running(tmp_path, "export", "-o", str(output), hub=proxy.url) as export:
        until(lambda: checkpoint(output)["events"] > 0, "the first checkpoint")
        hub.kill()
        proxy.hurry.set()
        assert export.wait() == 3
        assert "repeat the command to resume" in export.err
    hub.start()
    assert run("export", "-o", str(output), hub=hub.url).returncode == 0
    assert [json.loads(line)["n"] for line in output.read_text().splitlines()] == list(range(8000))


def test_a_partial_file_of_another_export_is_refused(full: HubProcess, hub: HubProcess, tmp_path: Path) -> None:
    hub.publish({"type": "test"})
    output = tmp_path / "out.jsonl"
    with SlowProxy(full.port) as proxy, Running(tmp_path, "export", "-o", str(output), hub=proxy.url) as export:
        until(lambda: checkpoint(output)["events"] > 0, "the first checkpoint")
        second = run("export", "-o", str(output), hub=full.url)
        assert second.returncode == 1
        assert "another export is writing" in second.stderr
        export.end(signal.SIGKILL)
    other_filter = run("export", "-o", str(output), "--room", "r1", hub=full.url)
    assert other_filter.returncode == 2
    assert "was started with other options (room)" in other_filter.stderr
    other_hub = run("export", "-o", str(output), hub=hub.url)
    assert other_hub.returncode == 1
    assert "the hub's history is not the one in" in other_hub.stderr
    assert "unknown_epoch" in other_hub.stderr
    restart = run("export", "-o", str(output), "--room", "r1", "--restart", hub=full.url)
    assert restart.returncode == 0
    assert len(output.read_text().splitlines()) == len(range(1, MANY, 3))
    exists = run("export", "-o", str(output), hub=full.url)
    assert exists.returncode == 2
    assert "exists: --overwrite replaces it" in exists.stderr
    assert run("export", "-o", str(output), "--overwrite", "--room", "nothing", hub=full.url).returncode == 0
    assert output.read_text() == ""


def test_stdout_is_the_hubs_own_export(full: HubProcess, tmp_path: Path) -> None:
    import requests

    headers = {"Accept": "application/x-ndjson"}
    whole = requests.get(f"{full.url}/api/events", headers=headers, timeout=PATIENCE).content.decode()
    assert run("export", hub=full.url).stdout == whole
    ids = [json.loads(line) for line in run("export", "--ids", "--room", "r1", hub=full.url).stdout.splitlines()]
    assert [record["event"] for record in ids] == [json.loads(line) for line in whole.splitlines()][1::3]
    after = run("export", "--since", ids[10]["id"], "--before", ids[12]["id"], "--room", "r1", "--ids", hub=full.url)
    assert [json.loads(line) for line in after.stdout.splitlines()] == [ids[11]]
    assert run("export", "--since", "1h", hub=full.url).stdout == whole


def test_csv_can_be_parsed_again(hub: HubProcess, tmp_path: Path) -> None:
    text = 'a "quoted", text\r\nwith lines; =1+1'
    hub.publish(
        {"type": "transcript", "room": "csv", "text": text, "participant": "=cmd()", "n": 10**30, "timestamp": 1.5}
    )
    hub.publish({"type": "odd", "room": "csv", "text": {"not": "text"}})
    output = tmp_path / "out.csv"
    assert run("export", "--room", "csv", "-o", str(output), hub=hub.url).returncode == 0
    first, second = csv.DictReader(io.StringIO(output.read_bytes().decode(), newline=""))
    assert (first["text"], first["participant"], first["timestamp"]) == (text, "=cmd()", "1.5")
    assert json.loads(first["fields"]) == {"n": 10**30}
    assert first["id"]
    assert (second["text"], json.loads(second["fields"])) == ("", {"text": {"not": "text"}})
    assert output.read_bytes().startswith(b"id,timestamp,room,session,type,participant,role,text,fields\r\n")
    safe = run("export", "--room", "csv", "--format", "csv", "--spreadsheet", hub=hub.url).stdout
    assert safe.startswith("\ufeffid,")
    assert next(csv.DictReader(io.StringIO(safe.removeprefix("\ufeff"), newline="")))["participant"] == "'=cmd()"


def call(session: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [
        {"type": "session_started", "timestamp": 1000.0},
        {"type": "user_speech_started", "participant": "caller_1", "timestamp": 1001.0},
        {"type": "transcript", "text": "What", "final": False, "role": "user", "participant": "caller_1", "utterance": "u", "timestamp": 1001.4},
        {"type": "transcript", "text": "What is <b>it</b> -->\n\nnow?", "role": "user", "participant": "caller_1", "utterance": "u", "timestamp": 1003.25},
        {"type": "agent_speech_started", "utterance": "a", "timestamp": 1004.0},
        {"type": "transcript", "text": "It is sunny & warm.", "role": "agent", "utterance": "a", "timestamp": 1006.5},
    ]  # fmt: skip
    return [{**event, "room": "call", "session": session} for event in events]


def test_subtitles_of_a_session(hub: HubProcess, tmp_path: Path) -> None:
    for event in call("AS_1"):
        hub.publish(event)
    srt = run("export", "--format", "srt", "--room", "call", hub=hub.url).stdout
    assert srt == (
        "1\n00:00:01,000 --> 00:00:03,250\ncaller_1: What is ‹b>it‹/b> →\nnow?\n\n"
        "2\n00:00:04,000 --> 00:00:06,500\nagent: It is sunny & warm.\n"
    )
    output = tmp_path / "call.vtt"
    assert run("export", "-o", str(output), "--session", "AS_1", hub=hub.url).returncode == 0
    assert output.read_text() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:03.250\n<v caller_1>What is &lt;b&gt;it&lt;/b&gt; --&gt;\nnow?</v>\n\n"
        "00:00:04.000 --> 00:00:06.500\n<v agent>It is sunny &amp; warm.</v>\n"
    )
    for event in call("AS_2"):
        hub.publish(event)
    together = run("export", "--format", "txt", "--room", "call", hub=hub.url)
    assert together.returncode == 0
    assert together.stdout == "".join(
        2 * f"[00:00:0{second}] {line}\n"
        for second, line in ((1, "caller_1: What is <b>it</b> --> now?"), (4, "agent: It is sunny & warm."))
    )
    assert requests.get(f"{hub.url}/api/rooms/call/transcript.txt", timeout=PATIENCE).text == together.stdout
    several = run("export", "--format", "txt", "--session", "AS_*", hub=hub.url)
    assert several.returncode == 2
    assert several.stderr == (
        "event-hub: there are 2 sessions: choose one with --session\n"
        "  AS_1  room call  1970-01-01 00:16:40 to 1970-01-01 00:16:46  2 transcripts\n"
        "  AS_2  room call  1970-01-01 00:16:40 to 1970-01-01 00:16:46  2 transcripts\n"
    )
    chosen = run("export", "--format", "txt", "--room", "call", "--session", "AS_2", hub=hub.url).stdout
    assert chosen == "[00:00:01] caller_1: What is <b>it</b> --> now?\n[00:00:04] agent: It is sunny & warm.\n"
    none = run("export", "--format", "txt", "--session", "missing", hub=hub.url)
    assert none.returncode == 1
    assert "no matching events" in none.stderr


def test_head_ends_the_export(full: HubProcess, tmp_path: Path) -> None:
    import os
    import subprocess

    from .commands import EVENT_HUB, environ

    reader, writer = os.pipe()
    process = subprocess.Popen(
        [EVENT_HUB, "export", "--hub", full.url], stdout=writer, stderr=subprocess.PIPE, env=environ()
    )
    os.close(writer)
    with process, os.fdopen(reader, "rb") as pipe:
        assert pipe.readline()
        pipe.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_invalid_options(tmp_path: Path) -> None:
    for arguments, text in (
        (["--ids", "--format", "csv"], "--ids requires jsonl"),
        (["--spreadsheet"], "--spreadsheet requires csv"),
        (["--format", "srt", "--type", "transcript"], "--type cannot be combined with srt"),
        (["-o", str(tmp_path / "no" / "file.jsonl")], "does not exist"),
        (["--format", "pdf"], "pdf"),
    ):
        done = run("export", *arguments)
        assert done.returncode == 2
        assert text in done.stderr
    assert not re.search(r"\.part", " ".join(path.name for path in tmp_path.iterdir()))


def test_devices_symlinks_and_stdout_as_output(hub: HubProcess, tmp_path: Path) -> None:
    hub.publish({"type": "test", "room": "where"})
    device = run("export", "-o", "/dev/null", "--overwrite", hub=hub.url)
    assert device.returncode == 2
    assert "/dev/null is not a regular file" in device.stderr
    real, link = tmp_path / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    assert run("export", "-o", str(link), "--room", "where", hub=hub.url).returncode == 0
    assert link.is_symlink()
    assert len(real.read_text().splitlines()) == 1
    dashed = run("export", "-o", "-", "--room", "where", hub=hub.url)
    assert dashed.stdout == real.read_text()


def test_control_characters_in_events_do_not_reach_the_terminal(hub: HubProcess) -> None:
    hub.publish({"type": "transcript", "room": "raw", "session": "raw", "text": "\x1b]0;owned\x07\x9b31m\u202eabc"})
    for form in ("jsonl", "csv", "txt"):
        with Terminal("export", "--format", form, "--room", "raw", hub=hub.url) as terminal:
            assert terminal.wait() == 0
        assert "abc" in terminal.text
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", terminal.text)


def test_an_unknown_suffix_is_refused(full: HubProcess, tmp_path: Path) -> None:
    done = run("export", "-o", str(tmp_path / "events.xlsx"), hub=full.url)
    assert done.returncode == 2
    assert "unknown suffix .xlsx: use" in done.stderr
    assert list(tmp_path.iterdir()) == []
