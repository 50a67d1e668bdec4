"""Forwarding to a file: each event once, rotated, and the file may be moved, cut or filled by others (H35)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..cli.commands import run
from ..hubs import HubProcess, until
from .receivers import forwards, lines, rotated, settled

Filing = Callable[..., HubProcess]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "events.jsonl"


@pytest.fixture
def filing(hub_factory: Callable[..., HubProcess], tmp_path: Path, out: Path) -> Filing:
    """A hub, not started, that forwards to the file, with a history that lasts."""

    def make(options: str = "", **environ: str) -> HubProcess:
        return hub_factory(
            **{
                "HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db",
                "HUB_FORWARD": f"file://{out}{options}",
                "HUB_FORWARD_STATE": str(tmp_path / "forward"),
                **environ,
            }
        )

    return make


def numbers(path: Path) -> list[Any]:
    return [event.get("n", event["type"]) for event in lines(path)]


def test_lines_are_the_events_as_they_were_posted(filing: Filing, out: Path) -> None:
    """And `event-hub post` takes the file again."""
    hub = filing().start()
    hub.publish([{"type": "n", "n": n, "text": "Grüße 👋 \u2028", "event_id": f"e{n}"} for n in range(500)])
    hub.publish({"type": "n", "n": 500})
    until(lambda: len(out.read_bytes().splitlines()) == 501 if out.exists() else False, "all of them")
    export = hub.get("/api/events?limit=1000")["events"]
    assert lines(out) == [one["event"] for one in export]
    settled(hub)
    (state,) = forwards(hub)
    assert (state["target"], state["state"], state["cursor"]) == (f"file:{out}", "ok", export[-1]["id"])
    hub.stop()
    hub.start()
    hub.publish({"type": "n", "n": 501})
    until(lambda: numbers(out) == list(range(502)), "one more behind them")
    other = filing(HUB_HISTORY="memory:", HUB_FORWARD="").start()
    done = run("post", "--file", str(out), hub=other.url)
    assert done.returncode == 0, done.stderr
    assert len(other.get("/api/events?limit=1000")["events"]) == 502


def test_rotation_at_line_ends(filing: Filing, out: Path) -> None:
    """No file is larger than `rotate`, names sort by time and place, `keep` are kept, and others' files are left alone."""
    out.parent.mkdir()
    mine = out.parent / "events-2024.jsonl"
    mine.write_text("mine")
    hub = filing("#rotate=2000&keep=3").start()
    for n in range(0, 300, 10):
        hub.publish([{"type": "n", "n": k, "pad": "x" * 40} for k in range(n, n + 10)])
        settled(hub)
    files = [path for path in rotated(out) if path != mine]
    assert len(files) == 4
    assert mine.read_text() == "mine"
    assert all(path.stat().st_size <= 2000 for path in files)
    assert all(re.fullmatch(r"events-\d{8}T\d{6}Z-[0-9a-f]{8}-\d{12}\.jsonl", path.name) for path in files[:-1])
    kept = [n for path in files for n in numbers(path)]
    assert kept == list(range(kept[0], 300))
    for path in files[:-1]:  # the cursor in the name is the last one that is in it, or in those before
        assert int(path.stem.rpartition("-")[2]) == numbers(path)[-1] + 1
    hub.publish({"type": "large", "pad": "x" * 5000})  # larger than a file may be: alone in one
    hub.publish({"type": "n", "n": 300})
    until(lambda: numbers(out) == [300], "another file")
    assert numbers([path for path in rotated(out) if path != mine][-2]) == ["large"]


def test_all_files_are_kept(filing: Filing, out: Path) -> None:
    hub = filing("#rotate=1000&keep=0").start()
    hub.publish([{"type": "n", "n": n, "pad": "x" * 100} for n in range(200)])
    until(lambda: numbers(out)[-1:] == [199], "the last one")
    assert [n for path in rotated(out) for n in numbers(path)] == list(range(200))
    assert len(rotated(out)) > 20


def test_a_file_that_is_moved_away_is_begun_anew(filing: Filing, out: Path) -> None:
    """As logrotate does it, with and without `copytruncate`."""
    hub = filing().start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: out.exists() and numbers(out) == [0], "the first")
    aside = out.with_suffix(".1")
    out.rename(aside)
    hub.publish({"type": "n", "n": 1})
    until(lambda: out.exists() and numbers(out) == [1], "a new file")
    assert numbers(aside) == [0]
    settled(hub)
    with out.open("r+b") as file:
        file.truncate(0)
    hub.publish({"type": "n", "n": 2})
    until(lambda: numbers(out) == [2], "the one after")
    settled(hub)
    hub.stop()
    out.unlink()
    hub.start()
    hub.publish({"type": "n", "n": 3})
    until(lambda: out.exists() and numbers(out) == [3], "a file again")


def test_what_others_have_written_is_never_cut(filing: Filing, out: Path) -> None:
    """A file that was there before, one that somebody has put in its place: lines come behind theirs."""
    out.parent.mkdir()
    out.write_text('{"type":"theirs"}\n{"type":"torn"')
    hub = filing().start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: out.read_text().endswith("}\n"), "a line")
    assert out.read_text().startswith('{"type":"theirs"}\n{"type":"torn"\n{"type":"n","n":0')
    settled(hub)
    hub.stop()
    inode = out.stat().st_ino
    out.write_text('{"type":"another"}\n' * 100)  # the same inode, and longer than it was
    assert out.stat().st_ino == inode
    hub.start()
    hub.publish({"type": "n", "n": 1})
    until(lambda: numbers(out) == ["another"] * 100 + [1], "it behind theirs")


def test_a_gap_is_a_line(filing: Filing, out: Path) -> None:
    hub = filing(HUB_HISTORY="memory:").start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: out.exists() and numbers(out) == [0], "the first")
    hub.stop()
    hub.start()
    hub.publish({"type": "n", "n": 1})
    until(lambda: numbers(out) == [0, "stream_gap", 1], "the gap and the next")
    assert lines(out)[1]["reason"] == "unknown_epoch"
