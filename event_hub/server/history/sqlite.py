"""A history in one SQLite file: `sqlite:///path`.

Write-ahead log with `synchronous=NORMAL`: a commit is a write without an fsync, so it survives the end of the process by
any means (kill -9 included), at 14 µs inline. After a crash of the whole *machine* the newest commits may be missing: that
is recognized at the next start (another boot, no orderly end) and begins a new epoch, so that no old cursor silently
matches another event. The fsyncs belong to the checkpoint, which runs in a thread of its own.

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cooperate import TimeSlice
from ..filters import Filter
from .base import (
    PAGE_BYTES,
    SCAN,
    TOMBSTONE,
    Appended,
    Draft,
    Epochs,
    History,
    HistoryError,
    HistoryPage,
    Record,
    Retention,
    new_tuple,
)
from .database import ZEROES, Database

_INSERT = 'INSERT INTO events ("offset", at, type, room, session, event_id, data) VALUES (?, ?, ?, ?, ?, ?, ?)'
_COLUMNS = 7
_INSERTS = tuple((rows, _INSERT + ", (?, ?, ?, ?, ?, ?, ?)" * (rows - 1)) for rows in (50, 10, 1))
"""Statements that insert so many rows: fifty at once take two thirds of the time of `executemany`."""

_IDS = (1, 10, 100)
"""How many ids one query asks for: few sizes, so that SQLite parses few statements."""
_TRIM = 1_000
_TRIM_BYTES = 2 << 20
"""Events, and approximately bytes, removed in one step of retention: two to three milliseconds."""
_VACUUM = 100
"""Free pages returned to the file system in one step: one to two milliseconds."""
_WAL_LIMIT = 64 << 20
"""From this size on the write-ahead log is checkpointed on the event loop: under a load that never pauses, the thread's
checkpoint never reaches the end of the log, and the file would grow without bound."""
_SCRUB_WAIT = 5.0
"""Seconds that emptying the write-ahead log waits for readers."""
_LOCK_WAIT = 15.0
"""Seconds that a new hub waits for the previous one to drain."""


class SQLiteHistory(History):
    """Events in a table of one SQLite database, for one hub process at a time."""

    kind = "sqlite"

    def __init__(self, path: Path, retention: Retention, *, wait: float = _LOCK_WAIT) -> None:
        self._retention = retention
        self._database = Database(path, wait)
        self.epochs = Epochs(self._database.epochs)
        self._read_state()

    def _read_state(self) -> None:
        database = self._database
        self.degraded = database.degraded
        self.head, self.floor, self._last_at = database.head, database.floor, database.last_at
        self.epochs.update(database.epochs)

    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        appended: list[Appended] = []
        values: list[Any] = []
        self._database.check_writable()
        with self._database.writing():
            at = max(at, self._last_at)
            head = self.head
            known = self._known([draft.event_id for draft in drafts if draft.event_id is not None])
            for type, room, session, event_id, data in drafts:
                if event_id is not None:
                    before = known.get(event_id)
                    if before is not None:
                        appended.append(Appended(before, True))
                        continue
                    known[event_id] = head + 1
                head += 1
                values += (head, at, type, room, session, event_id, data.decode())
                appended.append(new_tuple(Appended, (head, False)))
            if len(values) == _COLUMNS:
                self._db.execute(_INSERT, values)
            elif values:
                self._insert(values)
            self.head, self._last_at = head, at
        return appended

    def _known(self, ids: list[str]) -> dict[str, int]:
        """The offsets of those of `ids` that are stored."""
        known: dict[str, int] = {}
        for begin in range(0, len(ids), _IDS[-1]):
            asked = ids[begin : begin + _IDS[-1]]
            size = next(size for size in _IDS if size >= len(asked))
            asked += asked[-1:] * (size - len(asked))
            marks = ",".join("?" * size)
            known.update(self._db.execute(f'SELECT event_id, "offset" FROM events WHERE event_id IN ({marks})', asked))
        return known

    def _insert(self, values: list[Any]) -> None:
        """Insert the rows whose columns are `values`, one row after the other."""
        self._db.execute("BEGIN IMMEDIATE")
        begin = 0
        for rows, statement in _INSERTS:
            size = rows * _COLUMNS
            while len(values) - begin >= size:
                self._db.execute(statement, values[begin : begin + size])
                begin += size
        self._db.execute("COMMIT")

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        offset = max(offset, self.floor)
        until = min(until, self.head)
        indexed = _indexed(filter)
        end = until if indexed or filter.everything else min(until, offset + SCAN)
        records, last = self._select(indexed, filter, limit, (offset, end), "ASC")
        return HistoryPage(records, max(end, offset) if last is None else last)

    def before(self, offset: int, filter: Filter, limit: int) -> HistoryPage:
        offset = min(offset, self.head)
        indexed = _indexed(filter)
        end = self.floor if indexed or filter.everything else max(self.floor, offset - SCAN)
        records, last = self._select(indexed, filter, limit, (end, offset), "DESC")
        return HistoryPage(records, end if last is None else last - 1)

    def _select(
        self, indexed: tuple[str, str] | None, filter: Filter, limit: int, ends: tuple[int, int], order: str
    ) -> tuple[list[Record], int | None]:
        """The matching rows between two offsets, and the offset at which the scan stopped early, if it did."""
        where, values = (f"{indexed[0]} = ? AND ", [indexed[1]]) if indexed else ("", [])
        records: list[Record] = []
        size = 0
        with self._database.failing("read"):
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
        with self._database.failing("read"):
            low, high = self.floor, self.head
            while low < high:  # `at` never decreases with the offset
                middle = (low + high + 1) // 2
                (found,) = self._db.execute('SELECT at FROM events WHERE "offset" = ?', (middle,)).fetchone()
                low, high = (middle, high) if found < at else (low, middle - 1)
        return low

    def trim(self, now: float) -> bool:
        retention = self._retention
        if self.degraded:
            return False
        with self._database.writing():
            self._checkpoint_if_large()
            through = self.floor
            kept = self.head - self.floor
            size = self.size()
            step = min(kept, _TRIM, math.ceil(_TRIM_BYTES * kept / max(size, 1)))
            if retention.size is not None and kept and size > retention.size:
                through += min(step, math.ceil((size - retention.size) * kept / size))
            elif retention.age is not None and kept:
                through = min(self.offset_at(now - retention.age), self.floor + step)
            if through == self.floor:
                self._vacuum()
                return False
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute('DELETE FROM events WHERE "offset" <= ?', (through,))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (through,))
            self._db.execute("COMMIT")
            self.floor = through
            self._vacuum()
        return True

    def _vacuum(self) -> int:
        """Return free pages to the file system; returns how many are left."""
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        if free:
            # `execute` takes a single step of the statement, which is one page, and `fetchall` adds none to it.
            self._db.executescript(f"PRAGMA incremental_vacuum({_VACUUM})")
        return max(0, int(free) - _VACUUM)

    def erase(self, tombstones: Mapping[int, bytes]) -> None:
        self._database.check_writable()
        rows = [(TOMBSTONE, data.decode(), offset) for offset, data in tombstones.items()]
        with self._database.writing():
            self._db.execute("PRAGMA secure_delete=ON").fetchall()  # overwrites what it frees with zeros
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(
                    'UPDATE events SET type = ?, room = NULL, session = NULL, data = ? WHERE "offset" = ?', rows
                )
                self._db.execute("COMMIT")
            finally:
                if not self._db.in_transaction:
                    self._db.execute(f"PRAGMA {ZEROES}").fetchall()

    def scrub(self) -> None:
        """Old pages are in the write-ahead log until it is emptied, and pages freed earlier still have their content."""
        free, time_slice = 1, TimeSlice()
        while free:
            with self._database.writing():
                free = self._vacuum()
            time_slice.pause_if_due()
        until = time.monotonic() + _SCRUB_WAIT
        while True:
            with self._database.writing():
                busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            if time.monotonic() > until:
                path = self._database.path
                raise HistoryError(f"{path} is being read by another program: its log keeps what was erased")
            time.sleep(0.05)

    def _checkpoint_if_large(self) -> None:
        """Checkpoint inline if the write-ahead log has outgrown its limit."""
        if self._database.wal_size() > _WAL_LIMIT:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def size(self) -> int:
        with self._database.failing("read"):
            (pages,) = self._db.execute("PRAGMA page_count").fetchone()
            (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
            (page,) = self._db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * page)

    def check(self) -> None:
        self._database.check()

    def probe(self) -> None:
        if self._database.degraded:
            self._database.complete_opening()
            self._read_state()
        self._database.check()
        with self._database.writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('probed', ?)", (self.head,))

    def maintain(self) -> None:
        self._database.checkpoint()

    def close(self) -> None:
        self._database.close()

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.db


def _indexed(filter: Filter) -> tuple[str, str] | None:
    """The single room or session by which an index finds the rows in order."""
    for column, patterns in (("session", filter.sessions), ("room", filter.rooms)):
        if len(patterns) == 1 and "*" not in patterns[0]:
            return column, patterns[0]
    return None
