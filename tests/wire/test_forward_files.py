"""Forwarding to a file: each event once, with rotation, even if other programs move, truncate or append to it (H35)."""

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
    """Makes hubs (not started yet) that forward to the file and have a persistent history."""

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


def test_each_line_is_an_event_that_can_be_posted_again(filing: Filing, out: Path) -> None:
    hub = filing().start()
    hub.publish([{"type": "n", "n": n, "text": "Grüße 👋 \u2028", "event_id": f"e{n}"} for n in range(500)])
    hub.publish({"type": "n", "n": 500})
    until(lambda: len(out.read_bytes().splitlines()) == 501 if out.exists() else False, "all events")
    export = hub.get("/api/events?limit=1000")["events"]
    assert lines(out) == [item["event"] for item in export]
    settled(hub)
    (state,) = forwards(hub)
    assert (state["target"], state["state"], state["cursor"]) == (f"file:{out}", "ok", export[-1]["id"])
    hub.stop()
    hub.start()
    hub.publish({"type": "n", "n": 501})
    until(lambda: numbers(out) == list(range(502)), "one more line")
    other = filing(HUB_HISTORY="memory:", HUB_FORWARD="").start()
    done = run("post", "--file", str(out), hub=other.url)
    assert done.returncode == 0, done.stderr
    assert len(other.get("/api/events?limit=1000")["events"]) == 502


def test_rotation_at_line_ends(filing: Filing, out: Path) -> None:
    """No file exceeds `rotate`, names sort by time and cursor, `keep` files remain, and other files are left alone."""
    out.parent.mkdir()
    unrelated = out.parent / "events-2024.jsonl"
    unrelated.write_text("mine")
    hub = filing("#rotate=2000&keep=3").start()
    for n in range(0, 300, 10):
        hub.publish([{"type": "n", "n": k, "pad": "x" * 40} for k in range(n, n + 10)])
        settled(hub)
    files = [path for path in rotated(out) if path != unrelated]
    assert len(files) == 4
    assert unrelated.read_text() == "mine"
    assert all(path.stat().st_size <= 2000 for path in files)
    assert all(re.fullmatch(r"events-\d{8}T\d{6}Z-[0-9a-f]{8}-\d{12}\.jsonl", path.name) for path in files[:-1])
    kept = [n for path in files for n in numbers(path)]
    assert kept == list(range(kept[0], 300))
    for path in files[:-1]:  # each name has the cursor of the file's last event
        assert int(path.stem.rpartition("-")[2]) == numbers(path)[-1] + 1
    hub.publish({"type": "large", "pad": "x" * 5000})  # exceeds `rotate`, so it gets a file to itself
    hub.publish({"type": "n", "n": 300})
    until(lambda: numbers(out) == [300], "the next file")
    assert numbers([path for path in rotated(out) if path != unrelated][-2]) == ["large"]


def test_keep_0_deletes_no_files(filing: Filing, out: Path) -> None:
    hub = filing("#rotate=1000&keep=0").start()
    hub.publish([{"type": "n", "n": n, "pad": "x" * 100} for n in range(200)])
    until(lambda: numbers(out)[-1:] == [199], "the last event")
    assert [n for path in rotated(out) for n in numbers(path)] == list(range(200))
    assert len(rotated(out)) > 20


def test_a_new_file_is_started_after_external_rotation(filing: Filing, out: Path) -> None:
    """As logrotate does it, with and without `copytruncate`; a file deleted while the hub was down is replaced as well."""
    hub = filing().start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: out.exists() and numbers(out) == [0], "the first event")
    aside = out.with_suffix(".1")
    out.rename(aside)
    hub.publish({"type": "n", "n": 1})
    until(lambda: out.exists() and numbers(out) == [1], "a new file")
    assert numbers(aside) == [0]
    settled(hub)
    with out.open("r+b") as file:
        file.truncate(0)
    hub.publish({"type": "n", "n": 2})
    until(lambda: numbers(out) == [2], "the next event")
    settled(hub)
    hub.stop()
    out.unlink()
    hub.start()
    hub.publish({"type": "n", "n": 3})
    until(lambda: out.exists() and numbers(out) == [3], "a new file")


def test_lines_of_other_programs_are_never_truncated(filing: Filing, out: Path) -> None:
    """The hub appends to a file that existed before or that was replaced while the hub was down."""
    out.parent.mkdir()
    out.write_text('{"type":"theirs"}\n{"type":"torn"')
    hub = filing().start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: out.read_text().endswith("}\n"), "a line")
    assert out.read_text().startswith('{"type":"theirs"}\n{"type":"torn"\n{"type":"n","n":0')
    settled(hub)
    hub.stop()
    inode = out.stat().st_ino
    out.write_text('{"type":"another"}\n' * 100)  # same inode, but longer
    assert out.stat().st_ino == inode
    hub.start()
    hub.publish({"type": "n", "n": 1})
    until(lambda: numbers(out) == ["another"] * 100 + [1], "the event after the foreign lines")


def test_a_gap_is_written_as_a_line(filing: Filing, out: Path) -> None:
    hub = filing(HUB_HISTORY="memory:").start()
    hub.publish({"type": "n", "n": 0})
    until(lambda: out.exists() and numbers(out) == [0], "the first event")
    hub.stop()
    hub.start()
    hub.publish({"type": "n", "n": 1})
    until(lambda: numbers(out) == [0, "stream_gap", 1], "the gap and the next event")
    assert lines(out)[1]["reason"] == "unknown_epoch"
