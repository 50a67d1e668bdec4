"""The history fails: one clear error at start; while running 503 with the reason, those connected stay, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, ROOT, HubProcess, until


def refused_start(hub: HubProcess, *arguments: str) -> tuple[int, str]:
    """Start a hub that is not to start; its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, *hub.arguments, *arguments],
        cwd=ROOT,
        env=hub.environ,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    return done.returncode, said


def hurried(module: str, change: str) -> list[str]:
    """What `flask_server.py` does, with one of a module's figures changed: nobody has to wait for as long as it says."""
    program = [
        "from gevent import monkey; monkey.patch_all()",
        f"import {module} as changed; changed.{change}",
        "from event_hub.server.serve import main; main()",
    ]
    return ["-c", "\n".join(program)]


@pytest.fixture(params=["gunicorn", "gevent"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_history_that_cannot_be_opened(hub_factory: Callable[..., HubProcess], tmp_path: Path, server: str) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"nothing that SQLite knows " * 1000)
    for path, said in ((garbage, "is not a SQLite database"), (garbage / "below" / "hub.db", "cannot be opened")):
        code, text = refused_start(hub_factory(server=server, HUB_HISTORY=f"sqlite:///{path}"))
        assert code == 1
        assert said in text
        assert len(text.strip().splitlines()) == 1


def test_a_history_that_another_program_has_locked(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    history = f"sqlite:///{tmp_path}/hub.db"
    first = hub_factory(HUB_HISTORY=history).start()
    first.publish({"type": "n"})
    first.stop()
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    code, text = refused_start(hub_factory(HUB_HISTORY=history))
    other.execute("ROLLBACK")
    other.close()
    assert code == 1
    assert "another program holds its lock" in text
    assert len(text.strip().splitlines()) == 1


def test_a_history_in_use(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    history = f"sqlite:///{tmp_path}/hub.db"
    hub_factory(HUB_HISTORY=history).start()
    second = hub_factory(HUB_HISTORY=history)
    second.arguments = hurried("event_hub.server.history.sqlite", 'SQLiteHistory.__init__.__kwdefaults__["wait"] = 1.0')
    code, text = refused_start(second)
    assert code == 1
    assert "waiting up to 1 s" in text
    assert "in use by another hub" in text


def test_a_busy_port(hub_factory: Callable[..., HubProcess], server: str) -> None:
    hub = hub_factory().start()
    code, text = refused_start(hub_factory(server=server, PORT=str(hub.port)))
    assert code == 1
    assert f"PORT={hub.port + 1}" in text
    assert len(text.strip().splitlines()) == 1


def test_wrong_settings_are_all_named(hub_factory: Callable[..., HubProcess], server: str) -> None:
    code, text = refused_start(
        hub_factory(server=server, HUB_WORKERS="2", HUB_RING="x", HUB_HISTORY="redis://localhost")
    )
    assert code == 2
    assert all(name in text for name in ("HUB_WORKERS=2", "HUB_RING=x", "HUB_HISTORY=redis"))


def test_check_and_help(hub_factory: Callable[..., HubProcess]) -> None:
    code, text = refused_start(hub_factory(), "--check")
    assert (code, "are fine" in text) == (0, True)
    code, text = refused_start(hub_factory(), "--help")
    assert code == 0
    assert "HUB_HEARTBEAT  [15s]" in text


def test_too_many_subscribers_for_the_file_limit(hub_factory: Callable[..., HubProcess]) -> None:
    code, text = refused_start(hub_factory(HUB_MAX_SUBSCRIBERS="10000000"))
    assert code == 2
    assert "ulimit -n" in text


def _degraded(hub: HubProcess) -> list[requests.Response]:
    hub.post({"type": "n", "n": "refused", "pad": "x" * 60_000})
    health = requests.get(f"{hub.url}/api/health", timeout=PATIENCE)
    return [health] if health.status_code == 503 else []


def fails(hub: HubProcess, reason: str) -> None:
    response = hub.post({"type": "n", "n": "refused", "pad": "x" * 60_000})
    assert response.status_code == 503
    assert response.json()["code"] == "history_unavailable"
    assert reason in response.json()["detail"]
    assert response.headers["Retry-After"]
    # Once a second the hub looks whether the history takes something again, and on a disk that is full a little may fit.
    (health,) = until(lambda: _degraded(hub), "the hub to say that it is degraded")
    assert health.json()["status"] == "degraded"
    assert reason in health.json()["history"]["error"]


def test_while_running_a_locked_database(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_HEARTBEAT="1s").start()
    with hub.stream() as stream:
        stream.next()
        first = hub.publish({"type": "n", "n": 1})["id"]
        other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            fails(hub, "another program holds its lock")
        assert stream.until("n")["n"] == 1
        assert stream.until("heartbeat")["_id"] == first
        with hub.stream(last_id=first.rsplit("-", 1)[0] + "-0") as reader:  # reading goes on
            assert reader.until("n")["n"] == 1
        other.execute("ROLLBACK")
        other.close()
        until(
            lambda: requests.get(f"{hub.url}/api/health", timeout=PATIENCE).status_code == 200, "it to notice by itself"
        )
        hub.publish({"type": "n", "n": 2})
        assert stream.until("n")["n"] == 2
        assert hub.get("/api/health")["status"] == "ok"


def test_while_running_a_full_disk(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: SQLite meets both in the same write."""

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", preexec=small_disk).start()
    worker = hub.worker_pid()
    with hub.stream() as stream:
        stream.next()
        hub.publish({"type": "n", "n": 0})
        size = max(os.stat(tmp_path / name).st_size for name in os.listdir(tmp_path) if name.startswith("hub.db"))
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
        acknowledged = 0
        while hub.post({"type": "n", "n": acknowledged + 1, "pad": "x" * 10_000}).status_code == 200:
            acknowledged += 1
            assert acknowledged < 200
        assert acknowledged > 5
        fails(hub, "disk")
        with hub.stream("?since=all") as newcomer:
            assert newcomer.status == 200
            assert [newcomer.until("n")["n"] for _ in range(acknowledged + 1)] == list(range(acknowledged + 1))
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        hub.publish({"type": "n", "n": acknowledged + 1})
        assert [stream.until("n")["n"] for _ in range(acknowledged + 2)] == list(range(acknowledged + 2))
    hub.kill()
    hub.start()
    with hub.stream("?since=all") as again:
        assert [again.until("n")["n"] for _ in range(acknowledged + 2)] == list(range(acknowledged + 2))


def test_while_running_a_read_only_database(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A file system that is remounted read-only needs a mount of our own, so this one needs root."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system and makes it read-only")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode()}")
    try:
        hub = hub_factory(HUB_HISTORY=f"sqlite:///{disk}/hub.db").start()
        with hub.stream() as stream:
            stream.next()
            hub.publish({"type": "n", "n": 1})
            full = disk / "full"
            with full.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(b"x" * 4096):
                    pass
            until(
                lambda: hub.post({"type": "n", "n": 2, "pad": "x" * 60_000}).status_code == 503,
                "the real disk to be full",
            )
            fails(hub, "disk is full")
            full.unlink()
            hub.publish({"type": "n", "n": 3})
            assert stream.until("n")["n"] == 1
            while stream.until("n")["n"] != 3:
                pass
        hub.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True, timeout=PATIENCE)
        code, text = refused_start(hub_factory(HUB_HISTORY=f"sqlite:///{disk}/hub.db"))
        assert code == 1
        assert "read" in text.lower()
    finally:
        for _ in range(2):
            subprocess.run(["umount", "-l", disk], capture_output=True, check=False, timeout=PATIENCE)


def test_retention_does_not_stop_the_stream(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_RETENTION="1MB").start()
    with hub.stream() as stream:
        stream.next()
        first = ""
        for start in range(0, 5000, 100):
            answer = hub.publish([{"type": "n", "n": n, "pad": "x" * 500} for n in range(start, start + 100)])
            first = first or answer["first_id"]
        assert [stream.until("n")["n"] for _ in range(5000)] == list(range(5000))
        until(lambda: hub.get("/api/health")["history"]["events"] < 2500, "retention")
        with hub.stream(last_id=first) as late:
            late.next()
            event, missed = late.next(), 0
            assert event["type"] == "stream_gap"
            while event["type"] == "stream_gap":  # another one where retention goes on
                assert event["reason"] == "retention"
                missed, event = missed + event["missed"], late.next()
            assert event["n"] == missed + 1
        with hub.stream("?type=n", last_id=first) as filtered:
            filtered.next()
            assert filtered.next()["missed"] is None  # how many of those that are gone would have matched is not known
        page = hub.get("/api/events", params={"after": first, "limit": 5})
        assert page["gap"]["reason"] == "retention"
