"""History failures: one clear error at start; a 503 with the reason while running, with no stream cut and no event lost."""

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

from ..hubs import PATIENCE, HubProcess, until
from .starts import refused_start, with_constant


@pytest.fixture(params=["gunicorn", "gevent"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_history_that_cannot_be_opened_is_a_start_error(
    hub_factory: Callable[..., HubProcess], tmp_path: Path, server: str
) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"nothing that SQLite knows " * 1000)
    for path, message in ((garbage, "is not a SQLite database"), (garbage / "below" / "hub.db", "cannot be opened")):
        code, text = refused_start(hub_factory(server=server, HUB_HISTORY=f"sqlite:///{path}"))
        assert code == 1
        assert message in text
        assert len(text.strip().splitlines()) == 1


def test_a_locked_history_is_a_start_error(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
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


def test_a_history_in_use_by_another_hub_is_a_start_error(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    history = f"sqlite:///{tmp_path}/hub.db"
    hub_factory(HUB_HISTORY=history).start()
    second = hub_factory(HUB_HISTORY=history)
    second.arguments = with_constant(
        "event_hub.server.history.sqlite", 'SQLiteHistory.__init__.__kwdefaults__["wait"] = 1.0'
    )
    code, text = refused_start(second)
    assert code == 1
    assert "waiting up to 1 s" in text
    assert "in use by another hub" in text


def test_a_busy_port_is_a_start_error(hub_factory: Callable[..., HubProcess], server: str) -> None:
    hub = hub_factory().start()
    code, text = refused_start(hub_factory(server=server, PORT=str(hub.port)))
    assert code == 1
    assert f"PORT={hub.port + 1}" in text
    assert len(text.strip().splitlines()) == 1


def test_wrong_settings_are_all_named(hub_factory: Callable[..., HubProcess], server: str) -> None:
    code, text = refused_start(
        hub_factory(server=server, HUB_WORKERS="0", HUB_RING="x", HUB_HISTORY="postgres://localhost")
    )
    assert code == 2
    assert all(name in text for name in ("HUB_WORKERS=0", "HUB_RING=x", "HUB_HISTORY"))


def test_check_and_help_options(hub_factory: Callable[..., HubProcess]) -> None:
    code, text = refused_start(hub_factory(), "--check")
    assert (code, "are fine" in text) == (0, True)
    code, text = refused_start(hub_factory(), "--help")
    assert code == 0
    assert "HUB_HEARTBEAT  [15s]" in text


def test_more_subscribers_than_the_file_limit_allows_are_a_start_error(hub_factory: Callable[..., HubProcess]) -> None:
    code, text = refused_start(hub_factory(HUB_MAX_SUBSCRIBERS="10000000"))
    assert code == 2
    assert "ulimit -n" in text


def degraded(hub: HubProcess, reason: str) -> None:
    """The hub has started, can be read, and says why nothing can be published."""

    def health() -> list[requests.Response]:
        try:
            return [requests.get(f"{hub.url}/api/health", timeout=PATIENCE)]
        except requests.ConnectionError:
            return []

    (answer,) = until(health, "the hub to answer", 3 * PATIENCE)
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert reason in answer.json()["history"]["error"]
    refused = hub.post({"type": "n", "n": "refused"})
    assert (refused.status_code, refused.json()["code"]) == (503, "history_unavailable")
    assert numbers(hub)
    with hub.stream("?since=all") as stream:
        assert stream.until("n")["n"] == 1


def numbers(hub: HubProcess) -> list[int]:
    return [item["event"]["n"] for item in hub.get("/api/events?type=n")["events"]]


def test_a_hub_starts_on_a_full_disk_and_takes_events_again_when_there_is_room(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system and fills it")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode()}")
    try:
        for orderly in (True, False):
            first = hub_factory(HUB_HISTORY=f"sqlite:///{disk}/hub.db").start()
            first.publish({"type": "n", "n": 1})
            first.stop() if orderly else first.kill()
            full = disk / "full"
            with full.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(b"x" * 4096):
                    pass
            second = hub_factory(HUB_HISTORY=f"sqlite:///{disk}/hub.db")
            second.launch()
            degraded(second, "cannot be written")
            cursor = second.get("/api/events?limit=1")["cursor"]
            full.unlink()
            until(lambda second=second: second.post({"type": "n", "n": 2}).status_code == 200, "room for events")
            assert requests.get(f"{second.url}/api/health", timeout=PATIENCE).json()["status"] == "ok"
            with second.stream(f"?last_event_id={cursor}") as stream:
                assert stream.until("n")["n"] == 2
            second.stop()
    finally:
        for _ in range(2):
            subprocess.run(["umount", "-l", disk], capture_output=True, check=False, timeout=PATIENCE)


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_file_that_disappears_is_noticed_and_nothing_is_acknowledged_any_more(
    hub_factory: Callable[..., HubProcess], tmp_path: Path, how: str
) -> None:
    path, elsewhere = tmp_path / "hub.db", tmp_path / "elsewhere.db"
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{path}").start()
    hub.publish({"type": "n", "n": 1})
    if how == "moved":
        path.rename(elsewhere)
    else:
        path.unlink()
        if how == "replaced":
            path.write_bytes(b"another file")
    until(lambda: hub.post({"type": "n", "n": 2}).status_code == 503, "the hub to notice")
    health = requests.get(f"{hub.url}/api/health", timeout=PATIENCE).json()
    assert health["status"] == "degraded"
    assert "was deleted or replaced" in health["history"]["error"]
    assert numbers(hub)[0] == 1  # what was stored can still be read
    if how == "moved":
        elsewhere.rename(path)
        until(lambda: hub.post({"type": "n", "n": 3}).status_code == 200, "the file to be back")


def test_what_the_hub_stores_is_private(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    state = tmp_path / "forward"
    hub = hub_factory(
        HUB_HISTORY=f"sqlite:///{tmp_path}/var/hub.db",
        HUB_FORWARD=f"file:{tmp_path}/out.jsonl",
        HUB_FORWARD_STATE=str(state),
    ).start()
    hub.publish({"type": "n", "n": 1})
    until((tmp_path / "out.jsonl").exists, "the event to be forwarded")
    files = [*(tmp_path / "var").iterdir(), *state.iterdir()]
    assert {"hub.db", "hub.db-wal"} <= {file.name for file in files}
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []
    assert (tmp_path / "var").stat().st_mode & 0o077 == 0


def _degraded(hub: HubProcess) -> list[requests.Response]:
    hub.post({"type": "n", "n": "refused", "pad": "x" * 60_000})
    health = requests.get(f"{hub.url}/api/health", timeout=PATIENCE)
    return [health] if health.status_code == 503 else []


def assert_history_fails(hub: HubProcess, reason: str) -> None:
    response = hub.post({"type": "n", "n": "refused", "pad": "x" * 60_000})
    assert response.status_code == 503
    assert response.json()["code"] == "history_unavailable"
    assert reason in response.json()["detail"]
    assert response.headers["Retry-After"]
    # The hub probes the history once a second, and on a full disk a small write may succeed.
    (health,) = until(lambda: _degraded(hub), "the hub to report that it is degraded")
    assert health.json()["status"] == "degraded"
    assert reason in health.json()["history"]["error"]
    assert hub.get("/api/health/live")["status"] == "alive"  # a restart would not help


def test_a_database_locked_while_running(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_HEARTBEAT="1s").start()
    with hub.stream() as stream:
        stream.next()
        first = hub.publish({"type": "n", "n": 1})["id"]
        other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert_history_fails(hub, "another program holds its lock")
        assert stream.until("n")["n"] == 1
        assert stream.until("heartbeat")["_id"] == first
        with hub.stream(last_id=first.rsplit("-", 1)[0] + "-0") as reader:  # reads still work
            assert reader.until("n")["n"] == 1
        other.execute("ROLLBACK")
        other.close()
        until(
            lambda: requests.get(f"{hub.url}/api/health", timeout=PATIENCE).status_code == 200,
            "the hub to recover by itself",
        )
        hub.publish({"type": "n", "n": 2})
        assert stream.until("n")["n"] == 2
        assert hub.get("/api/health")["status"] == "ok"


def test_a_disk_full_while_running(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Simulated by a limit on file sizes: SQLite meets either in the same write."""

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
        assert_history_fails(hub, "disk")
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


def test_a_file_system_that_fills_up_and_is_remounted_read_only(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """On a file system mounted for this test, which needs root."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
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
                "the file system to be full",
            )
            assert_history_fails(hub, "disk is full")
            full.unlink()
            hub.publish({"type": "n", "n": 3})
            assert stream.until("n")["n"] == 1
            while stream.until("n")["n"] != 3:
                pass
        hub.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True, timeout=PATIENCE)
        second = hub_factory(HUB_HISTORY=f"sqlite:///{disk}/hub.db")
        second.launch()
        degraded(second, "read")
        assert second.output().count("warning:") == 1
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True, timeout=PATIENCE)
        until(lambda: second.post({"type": "n", "n": 4}).status_code == 200, "the file to be written again")
        assert numbers(second) == [1, 3, 4]
        second.stop()
    finally:
        for _ in range(2):
            subprocess.run(["umount", "-l", disk], capture_output=True, check=False, timeout=PATIENCE)


def test_retention_does_not_interrupt_streams(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
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
            while event["type"] == "stream_gap":  # retention may continue during the replay
                assert event["reason"] == "retention"
                missed, event = missed + event["missed"], late.next()
            assert event["n"] == missed + 1
        with hub.stream("?type=n", last_id=first) as filtered:
            filtered.next()
            assert filtered.next()["missed"] is None  # the hub cannot know how many of the deleted events matched
        page = hub.get("/api/events", params={"after": first, "limit": 5})
        assert page["gap"]["reason"] == "retention"


def test_an_error_of_a_checkpoint_leaves_no_traceback() -> None:
    """It is raised where the hub waits for it, which logs one line; gevent would print it in its thread too."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "from event_hub.server.history import HistoryError\n"
        "from event_hub.server.real_thread import in_real_thread\n"
        "def fail(): raise HistoryError('the disk is full')\n"
        "try: in_real_thread(fail)\n"
        "except HistoryError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("the disk is full\n", "")
