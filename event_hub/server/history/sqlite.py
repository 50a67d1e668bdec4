"""A history in one SQLite file: `sqlite:///path`.

Write-ahead log with `synchronous=NORMAL`: a commit is a write without an fsync, so it is kept through the end of the
process by any means (kill -9 included) at 14 µs inline. After a crash of the whole *machine* the newest commits may be
missing: that is recognised at the next start (another boot, no orderly end) and begins a new epoch, so that no old
cursor silently matches another event. The fsyncs belong to the checkpoint, which runs in a thread of its own.

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..filters import Filter
from .base import PAGE_BYTES, SCAN, Appended, Draft, Epochs, History, HistoryError, Page, Record, Retention

logger = logging.getLogger(__name__)

SCHEMA = 1
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE epochs (first INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE events (
    "offset" INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    type TEXT NOT NULL,
    room TEXT,
    session TEXT,
    event_id TEXT,
    data TEXT NOT NULL
);
CREATE INDEX events_by_room ON events (room) WHERE room IS NOT NULL;
CREATE INDEX events_by_session ON events (session) WHERE session IS NOT NULL;
CREATE UNIQUE INDEX events_by_id ON events (event_id) WHERE event_id IS NOT NULL;
"""
_INSERT = 'INSERT INTO events ("offset", at, type, room, session, event_id, data) VALUES (?, ?, ?, ?, ?, ?, ?)'

_TRIM = 1_000
_TRIM_BYTES = 2 << 20
"""Events, and about how many bytes of them, given up in one step: two to three milliseconds."""
_VACUUM = 500
"""Free pages handed back to the file system in one step."""
_WAL_LIMIT = 64 << 20
"""From this size on the write-ahead log is folded in on the event loop: under load that never pauses, the thread's
checkpoint is always a little behind and the file would grow without end."""
_BUSY = 0.005
"""Seconds that a commit waits for another program's: all the while nobody is served."""
_LOCK_WAIT = 15.0
"""Seconds that a new hub waits for the one before it to drain."""


class SQLiteHistory(History):
    """Events in a table of one SQLite database, for one hub process at a time."""

    kind = "sqlite"

    def __init__(self, path: Path, retention: Retention, *, wait: float = _LOCK_WAIT) -> None:
        self.path = path
        self._retention = retention
        self._closed = False
        self._mutex = threading.RLock()
        self._last_at = 0.0
        self.head = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{path}.lock", thread_local=False)
            try:
                self._lock.acquire(timeout=min(1.0, wait))
            except Timeout:
                logger.warning("%s is in use; waiting up to %g s for the hub before this one to end", path, wait)
                self._lock.acquire(timeout=wait)
        except Timeout:
            raise HistoryError(
                f"{path} is in use by another hub: stop that one, or name another file in HUB_HISTORY"
            ) from None
        except OSError as error:
            raise HistoryError(f"{path} cannot be opened: {error.strerror}; see HUB_HISTORY") from None
        try:
            with self._failing("opened"):
                self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        db = self._db = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            for pragma in ("synchronous=NORMAL", "wal_autocheckpoint=0", "cache_size=-65536", "temp_store=MEMORY"):
                db.execute(f"PRAGMA {pragma}")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT")
            elif version != SCHEMA:
                raise HistoryError(
                    f"{self.path} was written by another version of the hub (layout {version}, this one knows {SCHEMA}): "
                    "name another file in HUB_HISTORY"
                )
            (self.head, self._last_at) = db.execute(
                'SELECT "offset", at FROM events ORDER BY "offset" DESC LIMIT 1'
            ).fetchone() or (0, 0.0)
            self.floor: int = self._meta("floor") or 0
            self.head = max(self.head, self.floor)
            # Read what is there once, so that a damaged file is told now and not to the first subscriber.
            db.execute(
                'SELECT count(*), max(length(data)) FROM events WHERE "offset" > ?', (self.head - 1000,)
            ).fetchone()
            self._begin_epoch()
            self._checkpointer = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except BaseException:
            db.close()
            raise

    def _begin_epoch(self) -> None:
        """Go on in the last epoch, unless the machine may have lost the end of it."""
        boot, clean = self._meta("boot"), self._meta("clean")
        now = _boot()
        lost = clean != 1 and boot is not None and now is not None and boot != now
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        (epochs,) = db.execute("SELECT count(*) FROM epochs").fetchone()
        if lost or not epochs:
            db.execute("INSERT OR REPLACE INTO epochs (first, name) VALUES (?, ?)", (self.head + 1, Epochs.new_name()))
        db.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?), ('clean', 0)", (now,))
        db.execute("COMMIT")
        # With its fsync: a power failure must not find the mark of an orderly end that this start has taken away.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.epochs = Epochs(
            [(name, first) for first, name in db.execute("SELECT first, name FROM epochs ORDER BY first")]
        )

    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        appended, rows = [], []
        with self._writing():
            at = max(at, self._last_at)
            head = self.head
            known = self._known(drafts)
            for draft in drafts:
                before = known.get(draft.event_id) if draft.event_id is not None else None
                if before is not None:
                    appended.append(Appended(before, True))
                    continue
                head += 1
                if draft.event_id is not None:
                    known[draft.event_id] = head
                rows.append((head, at, draft.type, draft.room, draft.session, draft.event_id, draft.data.decode()))
                appended.append(Appended(head, False))
            if len(rows) == 1:
                self._db.execute(_INSERT, rows[0])
            elif rows:
                self._many(rows)
            self.head, self._last_at = head, at
        return appended

    def _known(self, drafts: Sequence[Draft]) -> dict[str, int]:
        select = 'SELECT "offset" FROM events WHERE event_id = ?'
        known = {}
        for draft in drafts:
            if draft.event_id is not None:
                row = self._db.execute(select, (draft.event_id,)).fetchone()
                if row:
                    known[draft.event_id] = row[0]
        return known

    def _many(self, rows: list[tuple[int, float, str, str | None, str | None, str | None, str]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_INSERT, rows)
        self._db.execute("COMMIT")

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> Page:
        offset = max(offset, self.floor)
        until = min(until, self.head)
        indexed = _indexed(filter)
        end = until if indexed or filter.everything else min(until, offset + SCAN)
        records, last = self._select(indexed, filter, limit, (offset, end), "ASC")
        return Page(records, max(end, offset) if last is None else last)

    def before(self, offset: int, filter: Filter, limit: int) -> Page:
        offset = min(offset, self.head)
        indexed = _indexed(filter)
        end = self.floor if indexed or filter.everything else max(self.floor, offset - SCAN)
        records, last = self._select(indexed, filter, limit, (end, offset), "DESC")
        return Page(records, end if last is None else last - 1)

    def _select(
        self, indexed: tuple[str, str] | None, filter: Filter, limit: int, ends: tuple[int, int], order: str
    ) -> tuple[list[Record], int | None]:
        """Rows after the one end up to the other that match; and where it stopped early, if it did."""
        where, values = (f"{indexed[0]} = ? AND ", [indexed[1]]) if indexed else ("", [])
        records: list[Record] = []
        size = 0
        with self._failing("read"):
            rows = self._db.execute(
                f'SELECT "offset", data, type, room, session FROM events WHERE {where}"offset" > ? AND "offset" <= ? '
                f'ORDER BY "offset" {order}',
                (*values, *ends),
            )
            for looked, (offset, data, type_, room, session) in enumerate(rows, 1):
                if filter.matches(type_, room, session):
                    records.append(Record(offset, data.encode()))
                    size += len(data)
                if len(records) == limit or size >= PAGE_BYTES or looked == SCAN:
                    return records, offset
        return records, None

    def offset_at(self, at: float) -> int:
        low, high = self.floor, self.head
        with self._failing("read"):
            while low < high:  # `at` never decreases with the offset
                middle = (low + high + 1) // 2
                (found,) = self._db.execute('SELECT at FROM events WHERE "offset" = ?', (middle,)).fetchone()
                low, high = (middle, high) if found < at else (low, middle - 1)
        return low

    def trim(self, now: float) -> bool:
        retention = self._retention
        with self._writing():
            self._fold_in()
            through = self.floor
            kept = self.head - self.floor
            size = self.size()
            step = min(kept, _TRIM, math.ceil(_TRIM_BYTES * kept / max(size, 1)))
            if retention.size is not None and kept and size > retention.size:
                through += min(step, math.ceil((size - retention.size) * kept / size))
            elif retention.age is not None and kept:
                through = min(self.offset_at(now - retention.age), self.floor + step)
            if through == self.floor:
                return False
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute('DELETE FROM events WHERE "offset" <= ?', (through,))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (through,))
            self._db.execute("COMMIT")
            self.floor = through
            self._db.execute(f"PRAGMA incremental_vacuum({_VACUUM})").fetchall()
        return True

    def _fold_in(self) -> None:
        """Checkpoint here and now if the write-ahead log has outgrown its limit."""
        if self._wal_size() > _WAL_LIMIT:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size(self) -> int:
        with self._failing("read"):
            (pages,) = self._db.execute("PRAGMA page_count").fetchone()
            (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
            (page,) = self._db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * page)

    def probe(self) -> None:
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('probed', ?)", (self.head,))

    def maintain(self) -> None:
        """Fold the write-ahead log into the database, fsyncs and all, without holding up a writer: on a connection of
        its own, which stays open so that it needs no descriptor when there is none."""
        if not self._closed and self._wal_size() >= 1 << 20:
            try:
                self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path} cannot be folded in: {_reason(error)}") from error

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._checkpointer.close()
            with self._failing("closed"):
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._db.close()
            self._lock.release()

    def _meta(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _wal_size(self) -> int:
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that is begun within is taken back where anything fails."""
        with self._failing("written"):
            try:
                yield
            except BaseException:
                # Where SQLite has rolled back by itself, as it does on a full disk, there is none any more.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _failing(self, done: str) -> Iterator[None]:
        """One thread at a time; whatever SQLite says, in one sentence."""
        with self._mutex:
            try:
                yield
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path} cannot be {done}: {_reason(error)}") from error


def _indexed(filter: Filter) -> tuple[str, str] | None:
    """The one room or session by which an index finds the rows in their order."""
    for column, patterns in (("session", filter.sessions), ("room", filter.rooms)):
        if len(patterns) == 1 and "*" not in patterns[0]:
            return column, patterns[0]
    return None


def _reason(error: sqlite3.Error) -> str:
    advice = {
        "SQLITE_FULL": "the disk is full; make room, or lower HUB_RETENTION",
        "SQLITE_BUSY": "another program holds its lock; end that program's transaction",
        "SQLITE_LOCKED": "another program holds its lock; end that program's transaction",
        "SQLITE_READONLY": "it is read-only; give the hub's user the right to write",
        "SQLITE_CANTOPEN": "the file or its folder cannot be opened; see HUB_HISTORY",
        "SQLITE_CORRUPT": "the file is damaged; move it away, or restore it (sqlite3 FILE .recover)",
        "SQLITE_NOTADB": "it is not a SQLite database; name another file in HUB_HISTORY",
        "SQLITE_IOERR": "the disk reports an error; it may be full",
    }
    name = getattr(error, "sqlite_errorname", "")
    for prefix, text in advice.items():
        if name.startswith(prefix):
            return f"{text} ({name}: {error})"
    return f"{error}" + (f" ({name})" if name else "")


def _boot() -> str | None:
    """Which start of this machine it is; None where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
