"""The command line against a hub that requires a key."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from event_hub.client import Hub

from ..conftest import outliving
from ..hubs import PATIENCE, HubProcess, until
from .commands import EVENT_HUB, Running, environ, run

OPS = "a-secret-of-the-operator"
WATCH = "a-secret-of-the-watcher"
PUBLISH = "a-secret-of-the-publisher"
LIVEKIT = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "a-secret-of-livekit-with-32-bytes"}


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    keys = {
        "HUB_CONTROL_KEYS": f"ops:{OPS}",
        "HUB_SUBSCRIBE_KEYS": f"wall:{WATCH}@support-*",
        "HUB_PUBLISH_KEYS": f"ci:{PUBLISH}@support-*",
        "LIVEKIT_URL": "ws://127.0.0.1:1",
    }
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("hub"), **keys, **LIVEKIT) as hub:
        keep()
        with Hub(hub.url, key=OPS) as client:
            client.post([{"type": "n", "room": room, "session": f"AS_{room}"} for room in ("support-1", "sales")])
        yield hub


def with_key(hub: HubProcess, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command with HUB_KEY and other settings in its environment."""
    return subprocess.run(
        [EVENT_HUB, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE * 2,
        env=environ(HUB_URL=hub.url, **more),
    )


READ: tuple[list[str], ...] = (
    ["tail"],
    ["tail", "--no-follow"],
    ["tail", "--no-follow", "--since", "5m"],
    ["sessions"],
)
ALL = (*READ, ["export"], ["post", "test", "room=support-1"], ["share", "--room", "support-1"])


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_without_a_key_or_with_a_wrong_one(protected: HubProcess, arguments: list[str]) -> None:
    for key, told in (
        ("", "Set HUB_KEY to one of the hub's keys."),
        ("wrong-key-of-mine", "not accept the key in HUB_KEY"),
    ):
        done = with_key(protected, *arguments, HUB_KEY=key)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert "event-hub: The hub refused the request (401 " in done.stderr and told in done.stderr
        assert "wrong-key" not in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ALL, ids=" ".join)
def test_with_a_key_that_does_not_allow_it(protected: HubProcess, arguments: list[str]) -> None:
    key = PUBLISH if arguments in [*READ, ["export"]] else WATCH
    done = with_key(protected, *arguments, HUB_KEY=key)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "403 forbidden" in done.stderr and "The key in HUB_KEY does not allow it" in done.stderr
    assert key not in done.stderr


def test_a_key_from_the_environment_a_file_or_the_command_line(protected: HubProcess, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{WATCH}\n")
    arguments = ("tail", "--no-follow", "--json")
    shown = [
        with_key(protected, *arguments, HUB_KEY=WATCH),
        with_key(protected, *arguments, HUB_KEY=f"@{file}"),
        run(*arguments, "--key", WATCH, hub=protected.url),
        run(*arguments, "--key", f"@{file}", hub=protected.url),
        with_key(protected, *arguments, "--key", f"@{file}", HUB_KEY="wrong-key-of-mine"),
    ]
    for done in shown:
        assert (done.returncode, done.stderr) == (0, "")
        assert {json.loads(line)["room"] for line in done.stdout.splitlines()} == {"support-1"}


@pytest.mark.parametrize(
    ("key", "told"), [("@/no/such/file", "cannot be read"), ("@", "write @FILE"), ("two words", "single word")]
)
def test_a_key_that_cannot_be_sent_is_a_usage_error(protected: HubProcess, key: str, told: str) -> None:
    for command in (*ALL, ["whoami"]):
        done = run(*command, "--key", key, hub=protected.url)
        assert done.returncode == 2 and told in done.stderr
        assert "two words" not in done.stderr


def test_a_key_in_a_file_is_in_no_process_list(protected: HubProcess, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(WATCH)
    with Running(
        tmp_path, "tail", "--json", "--since", "all", "--key", f"@{tmp_path / 'key'}", hub=protected.url
    ) as tail:
        until(lambda: tail.lines(), "an event")
        command = Path(f"/proc/{tail.process.pid}/cmdline")
        if command.exists():
            assert WATCH.encode() not in command.read_bytes()
        assert tail.end() == 130


def test_posting_to_a_room_that_the_key_does_not_allow(protected: HubProcess) -> None:
    done = with_key(protected, "post", "test", "room=support-1", HUB_KEY=PUBLISH)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"posted: id \S+\n", done.stdout)  # this key may not know how many were notified
    for more in ((), ("--skip-broken",)):
        done = with_key(protected, "post", "test", "room=sales", *more, HUB_KEY=PUBLISH)
        assert (done.returncode, done.stdout) == (1, "")
        assert "ci may not publish to room sales. The key in HUB_KEY does not allow it" in done.stderr


def test_livekits_keys_are_enough_to_post_and_not_to_watch(protected: HubProcess) -> None:
    assert with_key(protected, "post", "test", "room=any", **LIVEKIT).returncode == 0
    done = with_key(protected, "tail", "--no-follow", **LIVEKIT)
    assert done.returncode == 1 and "Set HUB_KEY" in done.stderr
    other = {**LIVEKIT, "LIVEKIT_API_SECRET": "x" * 32}
    done = with_key(protected, "post", "test", "room=any", **other)
    assert done.returncode == 1 and "give it the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET" in done.stderr
    assert "x" * 32 not in done.stderr


def whoami(hub: HubProcess, **more: str) -> dict[str, str]:
    done = with_key(hub, "whoami", **more)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


def test_whoami(protected: HubProcess, hub: HubProcess, tmp_path: Path) -> None:
    assert whoami(protected, HUB_KEY=OPS) == {
        "hub": protected.url,
        "you": "ops (key), by the key in HUB_KEY",
        "publish": "all rooms",
        "watch": "all rooms",
        "control": "yes",
    }
    assert whoami(protected, HUB_KEY=WATCH) == {
        "hub": protected.url,
        "you": "wall (key), by the key in HUB_KEY",
        "publish": "nothing",
        "watch": "support-*",
        "control": "no",
    }
    assert whoami(protected)["you"] == "anonymous: this hub requires a key (HUB_KEY)"
    livekit = whoami(protected, **LIVEKIT)
    assert "(livekit), by the token made from LIVEKIT_API_KEY" in livekit["you"] and "expires" in livekit
    assert "this hub is open" in whoami(hub)["you"] and whoami(hub)["control"] == "yes"
    shown = json.loads(with_key(protected, "whoami", "--json", HUB_KEY=WATCH).stdout)
    assert (shown["publish"], shown["subscribe"], shown["kind"]) == ([], ["support-*"], "key")
    done = with_key(protected, "whoami", HUB_KEY="wrong-key-of-mine")
    assert (done.returncode, done.stdout) == (1, "") and "does not accept the key in HUB_KEY" in done.stderr


def test_a_shared_room(protected: HubProcess) -> None:
    done = with_key(protected, "share", "--room", "support-1", "--for", "30m", HUB_KEY=OPS)
    assert done.returncode == 0
    link = re.fullmatch(rf"{re.escape(protected.url)}/\?access_token=(share\.\S+)#room=support-1\n", done.stdout)
    assert link and re.fullmatch(r"valid until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(UTC\)\n", done.stderr)
    seen = with_key(protected, "tail", "--no-follow", "--json", HUB_KEY=link[1])
    assert {json.loads(line)["room"] for line in seen.stdout.splitlines()} == {"support-1"}
    assert with_key(protected, "post", "test", "room=support-1", HUB_KEY=link[1]).returncode == 1
    assert requests.get(link[0].strip(), timeout=PATIENCE).status_code == 200
    mine = whoami(protected, HUB_KEY=link[1])
    assert (mine["publish"], mine["watch"], mine["control"]) == ("nothing", "support-1", "no")
    assert "expires" in mine


def test_a_shared_session_as_json(protected: HubProcess) -> None:
    done = with_key(protected, "share", "--session", "AS_support-1", "--json", HUB_KEY=OPS)
    assert (done.returncode, done.stderr) == (0, "")
    link: dict[str, Any] = json.loads(done.stdout)
    assert set(link) == {"url", "stream", "token", "expires_at"}
    assert 7000 < link["expires_at"] - time.time() < 7300
    with requests.get(f"{link['stream']}&since=all", stream=True, timeout=PATIENCE) as stream:
        assert b"stream_opened" in next(stream.iter_content(None))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "Give --room or --session"),
        (["--room", "a", "--for", "soon"], 1, "for"),
        (["--room", "a", "--for", "1000d"], 1, "for: must be more than 0 and at most 90d"),
        (["--session", "AS_none"], 1, "unknown_session"),
    ],
)
def test_what_cannot_be_shared(protected: HubProcess, arguments: list[str], code: int, told: str) -> None:
    done = with_key(protected, "share", *arguments, HUB_KEY=OPS)
    assert (done.returncode, done.stdout) == (code, "") and told in done.stderr


def test_an_open_hub_has_nothing_to_share(hub: HubProcess) -> None:
    done = with_key(hub, "share", "--room", "a")
    assert done.returncode == 1 and "HUB_CONTROL_KEYS" in done.stderr


def test_tail_ends_when_its_access_does(protected: HubProcess, tmp_path: Path) -> None:
    with Hub(protected.url, key=OPS) as hub:
        link = hub.share("3s", rooms=["support-1"])
    (tmp_path / "key").write_text(link.token)
    with Running(tmp_path, "tail", "--key", f"@{tmp_path / 'key'}", hub=protected.url) as tail:
        assert tail.wait() == 1
        assert "ended the stream" in tail.err and "has expired (token_expired)" in tail.err
        assert link.token not in tail.err
