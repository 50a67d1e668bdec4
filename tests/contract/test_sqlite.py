"""The SQLite history: persistence across restarts and crashes, and the ways in which its file can fail."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from event_hub.server.history import Draft, HistoryError, Retention, open_history
from event_hub.server.history.sqlite import SQLiteHistory

from .test_history import FOREVER, draft, numbers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "hub.db"


def reopen(path: Path, retention: Retention = FOREVER) -> SQLiteHistory:
    return SQLiteHistory(path, retention, wait=0.2)


def test_a_reopened_history_is_complete(path: Path) -> None:
    first = reopen(path)
    first.append([draft(n, event_id=f"e{n}") for n in range(1, 11)], 5.0)
    epoch = first.epochs.current
    first.close()
    first.close()
    second = reopen(path)
    assert second.epochs.current == epoch
    assert numbers(second) == list(range(1, 11))
    assert second.append([draft(0, event_id="e3")], 6.0) == [(3, True)]
    assert second.append([draft(11)], 1.0) == [(11, False)]  # the clock was set back in between
    assert second.offset_at(5.5) == 11 or second.offset_at(4.9) == 0
    second.close()


def test_a_lost_file_starts_a_new_epoch(path: Path) -> None:
    first = reopen(path)
    cursor = first.epochs.cursor(0)
    first.close()
    path.unlink()
    second = reopen(path)
    assert second.epochs.survived(cursor) is None
    second.close()


def test_an_emptied_history_continues_its_offsets(path: Path) -> None:
    first = reopen(path, Retention(1.0, None))
    first.append([draft(n) for n in range(10)], 1.0)
    while first.trim(100.0):
        pass
    epoch = first.epochs.current
    first.close()
    second = reopen(path)
    assert (second.head, second.floor, second.epochs.current) == (10, 10, epoch)
    assert second.append([draft(1)], 101.0) == [(11, False)]
    second.close()


def test_after_a_power_failure_cursors_of_lost_events_are_recognised(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits are not fsynced one by one, so a power failure may lose the newest events. New events then reuse their
    offsets, and must not be mistaken for them."""
    first = reopen(path)
    first.append([draft(n) for n in range(1, 11)], 1.0)
    saw_8, saw_10 = first.epochs.cursor(8), first.epochs.cursor(10)
    first._db.execute('DELETE FROM events WHERE "offset" > 8')  # lost in the power failure
    first._db.close()
    first._database._release_lock()
    monkeypatch.setattr("event_hub.server.history.database.boot_id", lambda: "another boot")
    second = reopen(path)
    assert second.head == 8
    assert second.append([draft(99)], 2.0) == [(9, False)]
    assert second.epochs.survived(saw_8) == (8, True)
    assert second.epochs.survived(saw_10) == (8, False)
    assert second.epochs.cursor(9).epoch != saw_8.epoch
    assert second.epochs.cursor(8) == saw_8
    current = second.epochs.current
    second.close()  # a clean shutdown: nothing is lost at the next boot
    monkeypatch.setattr("event_hub.server.history.database.boot_id", lambda: "a third boot")
    third = reopen(path)
    assert third.epochs.current == current
    third.close()


def test_a_power_failure_soon_after_a_clean_restart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark of a clean shutdown is removed from the disk before the first event is accepted."""
    first = reopen(path)
    first.append([draft(1)], 1.0)
    first.close()
    second = reopen(path)
    second.append([draft(n) for n in range(2, 7)], 2.0)
    lost = second.epochs.cursor(6)
    copy = path.with_name("after-the-failure.db")
    shutil.copy(path, copy)  # this was fsynced, unlike the write-ahead log
    second.close()
    monkeypatch.setattr("event_hub.server.history.database.boot_id", lambda: "another boot")
    third = reopen(copy)
    assert third.head == 1
    assert third.epochs.survived(lost) == (1, False)
    third.close()


def test_a_failing_checkpoint_does_not_affect_publishing(path: Path) -> None:
    history = reopen(path)
    history.append([draft(n, size=1000) for n in range(2000)], 1.0)
    history._database._checkpointer.close()
    history._db.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError, match="checkpointed"):
        history.maintain()
    assert history._db.in_transaction
    history._db.execute("ROLLBACK")
    assert history.append([draft(1)], 2.0) == [(2001, False)]
    history.close()


def test_the_write_ahead_log_is_bounded_under_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_hub.server.history.sqlite._WAL_LIMIT", 1 << 20)
    history = reopen(path, Retention(None, 1_000_000))
    wal = Path(f"{path}-wal")
    for n in range(100):
        history.append([draft(n, size=500) for n in range(200)], 1.0)
        history.trim(1.0)
        assert wal.stat().st_size < 3 << 20
    history.close()


def test_a_history_can_be_closed_from_another_thread(path: Path) -> None:
    history = reopen(path)
    thread = threading.Thread(target=history.close)
    thread.start()
    thread.join()
    reopen(path).close()


def test_only_one_hub_can_open_a_history(path: Path) -> None:
    first = reopen(path)
    with pytest.raises(HistoryError, match="in use by another hub"):
        reopen(path)
    first.close()
    reopen(path).close()


def test_a_refused_append_changes_nothing(path: Path) -> None:
    history = reopen(path)
    history.append([draft(1)], 1.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for drafts in ([draft(2)], [draft(2), draft(3)]):
        with pytest.raises(HistoryError, match="another program holds its lock"):
            history.append(drafts, 2.0)
    assert history.head == 1
    assert numbers(history) == [1]  # reads still work
    other.execute("ROLLBACK")
    other.close()
    assert history.append([draft(2)], 3.0) == [(2, False)]
    history.close()


def test_a_full_disk(path: Path) -> None:
    history = reopen(path)
    history.append([draft(1)], 1.0)
    pages = history._db.execute("PRAGMA page_count").fetchone()[0]
    history._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(HistoryError, match="the disk is full"):
        history.append([draft(n, size=2000) for n in range(50)], 2.0)
    assert numbers(history) == [1]
    history._db.execute("PRAGMA max_page_count=1000000")
    assert history.append([draft(2, size=2000)], 3.0) == [(2, False)]
    history.close()


def test_a_file_that_is_not_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(HistoryError, match="not a SQLite database"):
        reopen(path)


def test_a_damaged_database(path: Path) -> None:
    history = reopen(path)
    history.append([draft(n, size=500) for n in range(2000)], 1.0)
    history.close()
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096, 1):
        data[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(data)
    with pytest.raises(HistoryError, match="damaged"):
        reopen(path)


def test_a_database_of_another_version(path: Path) -> None:
    reopen(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version=99")
    other.commit()
    other.close()
    with pytest.raises(HistoryError, match="another version"):
        reopen(path)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="cannot be opened"):
        reopen(tmp_path / "file" / "hub.db")


def test_maintenance_checkpoints_the_write_ahead_log(path: Path) -> None:
    history = reopen(path)
    wal = Path(f"{path}-wal")
    for n in range(20):
        history.append([draft(n, size=1000) for n in range(200)], 1.0)
    grown = wal.stat().st_size
    assert grown > 1 << 20
    history.maintain()
    for n in range(5):
        history.append([draft(n, size=1000) for n in range(200)], 1.0)
    assert wal.stat().st_size <= grown  # it was restarted from its beginning
    history.close()
    assert not wal.exists() or wal.stat().st_size == 0


def test_unknown_history_urls_are_refused() -> None:
    with pytest.raises(HistoryError, match="sqlite:///var/hub.db"):
        open_history("postgres://x", FOREVER)


def test_erased_text_is_overwritten_in_the_files(tmp_path: Path) -> None:
    """Short and long events, in the database and in its write-ahead log."""
    path = tmp_path / "hub.db"
    history = SQLiteHistory(path, Retention(None, None))
    secrets = [f"secret-{n}-" + "x" * (n % 3) * 4000 for n in range(200)]
    drafts = [Draft("t", "room-to-erase", "session-to-erase", None, f'{{"a":"{text}"}}'.encode()) for text in secrets]
    history.append([*drafts, Draft("t", "kept", None, None, b'{"a":"kept"}')], 1.0)
    history.erase(dict.fromkeys(range(1, 201), b"{}"))
    history.scrub()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for part in (b"secret-", b"room-to-erase", b"session-to-erase", b"xxxx"):
        assert part not in stored
    assert b"kept" in stored
    history.close()


def test_retention_gives_freed_pages_back_to_the_file_system(path: Path) -> None:
    """As many in a step as it says, and those that are left over while there is nothing to remove."""
    history = reopen(path, Retention(1.0, None))

    def pages() -> tuple[int, int]:
        with sqlite3.connect(path) as db:
            (free,), (count,) = (
                db.execute("PRAGMA freelist_count").fetchone(),
                db.execute("PRAGMA page_count").fetchone(),
            )
        db.close()
        return free, count

    for _ in range(4):
        history.append([Draft("t", "r", None, None, b'"' + b"x" * 3000 + b'"') for _ in range(500)], 1.0)
    _, full = pages()
    assert full > 1000
    while history.trim(100.0):
        pass
    free, count = pages()
    assert 0 < free < count < full - 100
    steps = 0
    while free:
        assert history.trim(100.0) is False
        before, (free, count) = free, pages()
        assert free == max(0, before - 100)
        steps += 1
    assert 1 < steps < 20
    assert count < 20
    history.close()
