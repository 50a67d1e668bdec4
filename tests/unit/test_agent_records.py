"""Agents' records on disk: any content can be read, and writes are atomic."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from event_hub.server.agents.record import AgentRecord, Folder
from event_hub.server.agents.states import State

GOOD: dict[str, Any] = {"agent_id": "ag_1", "mode": "worker", "command": ["x"], "started": 1.0, "since": 1.0}
BAD: list[dict[str, Any]] = [
    {"pid": -1},
    {"pid": 0},
    {"pid": 1 << 40},
    {"pid": "7"},
    {"command": []},
    {"command": "x"},
    {"command": ["x", "a\0b"]},
    {"restarts": -1},
    {"state": "unknown"},
    {"started": "now"},
    {"agent_id": "ag_2"},
    {"mode": None},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_an_invalid_record_is_skipped(tmp_path: Path, wrong: dict[str, Any]) -> None:
    (tmp_path / "ag_1.json").write_text(json.dumps({**GOOD, **wrong}))
    (tmp_path / "ag_3.json").write_text(json.dumps({**GOOD, "agent_id": "ag_3"}))
    assert [record.agent_id for record in Folder(tmp_path).read()] == ["ag_3"]


def test_entries_that_are_not_files_are_ignored(tmp_path: Path) -> None:
    for name in ("old.log", "ag_2.json", "ag_3.new"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "ag_4.json")
    os.mkfifo(tmp_path / "ag_4.log")
    (tmp_path / "ag_5.json").symlink_to("/dev/zero")
    with (tmp_path / "ag_6.json").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "ag_7.new").write_text("left over")
    (tmp_path / "ag_1.json").write_text(json.dumps(GOOD))
    (tmp_path / "ag_1.log").write_text("its log")
    assert [record.agent_id for record in Folder(tmp_path).read()] == ["ag_1"]
    assert (tmp_path / "ag_1.log").exists()
    assert not (tmp_path / "ag_7.new").exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, record = Folder(tmp_path), AgentRecord("ag_1", "worker", ["x"], 1.0, 1.0)
    folder.write(record)
    monkeypatch.setattr(Path, "replace", full)
    record.state = State.READY
    with pytest.raises(OSError, match="No space") as caught:
        folder.write(record)
    assert str(caught.value.filename).startswith(str(tmp_path)), "the error names the folder"
    assert [path.name for path in tmp_path.iterdir()] == ["ag_1.json"]
    assert folder.read()[0].state is State.STARTING
