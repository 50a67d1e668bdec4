"""The systemd unit: systemd accepts it, and its commands do what it says."""

from __future__ import annotations

import getpass
import grp
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from event_hub.server.settings import Settings

from ..hubs import PATIENCE, ROOT, HubProcess, free_port
from ..toolchain import tool
from .proxies import DEPLOY

UNIT = (DEPLOY / "event-hub.service").read_text()
BIN = Path(sys.executable).parent


def values(name: str) -> list[str]:
    """The values of a setting of the unit."""
    return [line.partition("=")[2] for line in UNIT.splitlines() if line.startswith(f"{name}=")]


def value(name: str) -> str:
    (only,) = values(name)
    return only


def command(name: str, port: int) -> list[str]:
    """A command of the unit, with this environment's programs."""
    text = value(name).replace("/srv/event-hub/.venv/bin", str(BIN)).replace("${PORT}", str(port))
    return shlex.split(text)


@contextmanager
def notified(folder: Path) -> Iterator[socket.socket]:
    """The socket on which systemd waits for READY=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "notify"))
        listener.settimeout(3 * PATIENCE)
        yield listener


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    text = UNIT.replace("/srv/event-hub/.venv/bin", str(BIN)).replace("/srv/event-hub", str(ROOT))
    text = text.replace("User=hub", f"User={getpass.getuser()}")
    text = text.replace("Group=hub", f"Group={grp.getgrgid(os.getgid()).gr_name}")
    (tmp_path / "event-hub.service").write_text(text)
    verify = [tool("systemd-analyze"), "verify", "--man=no", str(tmp_path / "event-hub.service")]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=PATIENCE, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "event-hub" in line]
    assert (about_ours, done.returncode) == ([], 0), done.stderr


def test_systemd_learns_when_the_hub_serves_and_stops_it_in_order(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db")
    program = command("ExecStart", hub.port)
    with notified(tmp_path) as systemd:
        environ = {**hub.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with hub.log.open("ab") as log:
            hub.process = subprocess.Popen(
                program, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            assert b"READY=1" in systemd.recv(4096)
            tool("curl")
            ready = subprocess.run(command("ExecStartPost", hub.port), timeout=3 * PATIENCE, check=False)
            assert ready.returncode == 0, hub.output()
            with hub.stream() as stream:
                stream.until("stream_opened")
                hub.process.send_signal(signal.SIGHUP)  # ExecReload
                hub.publish({"type": "n", "n": 1})
                assert stream.until("n")["n"] == 1
                hub.process.send_signal(signal.SIGTERM)  # KillMode=mixed: only the main process
                assert stream.rest()[-1]["type"] == "stream_closing"
            assert hub.process.wait(PATIENCE) == 0
        finally:
            hub.stop()


def test_the_start_waits_for_a_hub_that_comes_later(tmp_path: Path) -> None:
    """And the health that it asks for does not depend on the disk."""
    assert value("ExecStartPost").endswith("/api/health/live")
    port = free_port()
    tool("curl")
    waiting = subprocess.Popen(command("ExecStartPost", port), stderr=subprocess.PIPE)
    try:
        with HubProcess(tmp_path, PORT=str(port)):
            assert waiting.wait(3 * PATIENCE) == 0
    finally:
        waiting.kill()
        waiting.communicate()


def test_wrong_settings_are_not_retried(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, HUB_RING="none")
    done = subprocess.run(
        command("ExecStart", hub.port), cwd=ROOT, env=hub.environ, capture_output=True, timeout=PATIENCE, check=False
    )
    assert str(done.returncode) == value("RestartPreventExitStatus")


def test_the_drain_ends_before_systemd_kills() -> None:
    assert int(value("TimeoutStopSec")) > Settings().drain + 2
    assert value("ReadWritePaths") == f"{value('WorkingDirectory')}/var"
