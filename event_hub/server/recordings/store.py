"""What is kept of each job, in one SQLite file beside the recordings: spans, log lines, chat history, and what is known of
its audio.

All worker processes of a hub share the file. A commit is written before the upload is answered and survives kill -9 of the
hub. Spans are keyed by their ids and log records by their content, because exporters repeat a request that was not answered.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..cooperate import TimeSlice
from .jobs import Audio, Job, job_of
from .log_lines import line_of
from .otlp import JobIds, LogRecord
from .spans import Span
from .store_file import StoreError, connect, patiently

_T = TypeVar("_T")
_ROWS = 200
"""Rows written, or read, between two pauses."""
MOST_SPANS = 50_000
"""Spans of one job that are kept, the first: a day's call has about as many."""
MOST_LOGS = 50_000


_COLUMNS = ", ".join(Job._fields)
_encode = msgspec.json.encode


class Store:
    """The file `recordings.db` in `folder`. Opened when it is first needed; raises `StoreError`."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.path = folder / "recordings.db"
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether anything was ever stored."""
        return self._db is not None or self.path.exists()

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    # -- writing -------------------------------------------------------------------------------------------------------

    def add_spans(self, spans: Iterable[tuple[Span, JobIds]]) -> set[str]:
        """Keep these; returns the jobs that they belong to."""
        rows, jobs, traces, over = [], {}, {}, set()
        time_slice = TimeSlice()
        for span, ids in spans:
            rows.append((span.trace, span.id, span.start, _encode(span).decode()))
            if ids.job is not None:
                jobs[ids.job] = ids
                traces[span.trace] = ids.job
                if span.name == "job_entrypoint":
                    over.add(ids.job)
            time_slice.pause_if_due()

        kept: dict[str, int] = {}
        """How many spans of each trace there are."""

        def begin(db: sqlite3.Connection) -> None:
            self._know(db, jobs)
            db.executemany("INSERT OR IGNORE INTO traces VALUES (?, ?)", traces.items())
            for trace in {row[0] for row in rows}:
                kept[trace] = db.execute("SELECT count(*) FROM spans WHERE trace = ?", (trace,)).fetchone()[0]

        def write(db: sqlite3.Connection, some: list[tuple[str, str, float, str]]) -> None:
            fitting = []
            for row in some:
                if kept[row[0]] < MOST_SPANS:
                    kept[row[0]] += 1
                    fitting.append(row)
            db.executemany("INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?)", fitting)

        def end(db: sqlite3.Connection) -> set[str]:
            self._know(db, jobs)
            db.executemany("UPDATE jobs SET over = 1 WHERE job = ?", [(job,) for job in over])
            named = [db.execute("SELECT job FROM traces WHERE trace = ?", (trace,)).fetchone() for trace in kept]
            return {job for found in named if found for job in found} | set(jobs)

        self._write(begin)
        for first in range(0, len(rows), _ROWS):  # in steps: a request that is repeated repeats nothing
            self._write(lambda db, first=first: write(db, rows[first : first + _ROWS]))  # type: ignore[misc]
            time_slice.pause_if_due()
        return self._write(end)

    def add_logs(self, records: Iterable[tuple[LogRecord, JobIds]], *, content: bool) -> set[str]:
        """Keep these; returns the jobs that they belong to. A record of no job is not kept."""
        rows, jobs = [], {}
        time_slice = TimeSlice()
        for record, ids in records:
            time_slice.pause_if_due()
            if ids.job is None:
                continue
            jobs[ids.job] = ids
            if not record.scope:  # it says only that there is a job
                continue
            line = line_of(record, content)
            digest = blake2b(
                _encode([record.at, record.level, record.scope, str(record.body)]), digest_size=12
            ).digest()
            rows.append((ids.job, digest, record.at, record.level, _encode(line).decode()))

        def write(db: sqlite3.Connection) -> None:
            self._know(db, jobs)
            room = {
                job: MOST_LOGS - db.execute("SELECT count(*) FROM logs WHERE job = ?", (job,)).fetchone()[0]
                for job in jobs
            }
            fitting = []
            for row in rows:
                room[row[0]] -= 1
                if room[row[0]] >= 0:
                    fitting.append(row)
            db.executemany("INSERT OR IGNORE INTO logs (job, digest, at, level, data) VALUES (?, ?, ?, ?, ?)", fitting)

        if jobs:
            self._write(write)
        return set(jobs)

    def add_chat_items(self, job: str, items: Iterable[dict[str, Any]]) -> None:
        """Keep items of a chat history that came as log records, unless the recording brought the whole history."""

        def write(db: sqlite3.Connection) -> None:
            row = db.execute("SELECT chat, report FROM jobs WHERE job = ?", (job,)).fetchone()
            if row is None or (row[0] is not None and row[1] is not None):
                return
            known = {item.get("id"): item for item in (msgspec.json.decode(row[0]) if row[0] else ())}
            for item in items:
                known.setdefault(item.get("id"), item)
            db.execute("UPDATE jobs SET chat = ? WHERE job = ?", (_encode(list(known.values())).decode(), job))

        self._write(write)

    def add_recording(
        self,
        ids: JobIds,
        room: str | None,
        report: dict[str, Any],
        chat: list[Any] | None,
        audio: Audio | None,
    ) -> bool:
        """Keep what came with a recording; returns whether it is new. One that is complete already is not replaced."""
        assert ids.job is not None
        job = ids.job

        def write(db: sqlite3.Connection) -> bool:
            before = db.execute("SELECT report, audio FROM jobs WHERE job = ?", (job,)).fetchone()
            if before is not None and before[0] is not None and (before[1] is not None or audio is None):
                return False
            self._know(db, {job: ids})
            db.execute(
                "UPDATE jobs SET room = coalesce(room, ?), report = ?, chat = coalesce(?, chat), audio = ?, over = 1, "
                "pending = 1 WHERE job = ?",
                (
                    room,
                    _encode(report).decode(),
                    None if chat is None else _encode(chat).decode(),
                    None if audio is None else _encode(audio).decode(),
                    job,
                ),
            )
            return True

        return self._write(write)

    def mark(self, job: str, **columns: Any) -> None:
        """Set columns of a job: room, session, told, pending."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._write(lambda db: db.execute(f"UPDATE jobs SET {names} WHERE job = ?", (*columns.values(), job)))

    def settle(self, job: Job) -> None:
        """Everything of `job` has been told, unless something has come since it was read. What was said is in events."""
        settled = "UPDATE jobs SET pending = 0, chat = NULL WHERE job = ? AND changed = ?"
        self._write(lambda db: db.execute(settled, (job.job, job.changed)))

    def erase(self, jobs: Sequence[str]) -> int:
        """Erase all that is kept of these, but for their audio files; returns how many there were."""

        def write(db: sqlite3.Connection) -> int:
            erased = 0
            for job in jobs:
                traces = [trace for (trace,) in db.execute("SELECT trace FROM traces WHERE job = ?", (job,))]
                db.executemany("DELETE FROM spans WHERE trace = ?", [(trace,) for trace in traces])
                db.execute("DELETE FROM traces WHERE job = ?", (job,))
                db.execute("DELETE FROM logs WHERE job = ?", (job,))
                erased += db.execute("DELETE FROM jobs WHERE job = ?", (job,)).rowcount
            return erased

        return self._write(write)

    def erase_orphans(self, before: float) -> None:
        """Erase spans that belong to no job and are older than `before`."""
        self._write(
            lambda db: db.execute(
                "DELETE FROM spans WHERE at < ? AND trace NOT IN (SELECT trace FROM traces)", (before,)
            )
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    def job(self, job: str) -> Job | None:
        """What is kept of one job."""
        return next(iter(self._jobs("job = ?", job)), None)

    def names(self) -> list[str]:
        """All jobs of which something is kept."""
        if not self.exists:
            return []
        return [job for (job,) in self._read(lambda db: db.execute("SELECT job FROM jobs").fetchall())]

    def pending(self) -> list[Job]:
        """The jobs with something that has not been told yet."""
        return self._jobs("pending")

    def oldest(self, limit: int) -> list[Job]:
        """The jobs that changed least recently."""
        return self._jobs("1 ORDER BY changed LIMIT ?", limit)

    def changed_before(self, moment: float) -> list[Job]:
        """The jobs without an upload since `moment`."""
        return self._jobs("changed < ?", moment)

    def told_as(self, session: str | None, room: str | None) -> list[Job]:
        """The jobs of the session of this name, in this room; None: of any."""
        return self._jobs("(?1 IS NULL OR session = ?1) AND (?2 IS NULL OR room = ?2)", session, room)

    def size(self) -> int:
        """Bytes that all of it takes, recordings included."""
        if not self.exists:
            return 0
        select = "SELECT sum(json_extract(audio, '$.bytes')) FROM jobs WHERE audio IS NOT NULL"

        def read(db: sqlite3.Connection) -> int:
            pages, free, size = (
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size + (db.execute(select).fetchone()[0] or 0))

        return self._read(read)

    def spans(self, job: str) -> Iterator[bytes]:
        """The spans of a job as JSON, earliest first."""
        select = (
            "SELECT at, id, data FROM spans WHERE trace IN (SELECT trace FROM traces WHERE job = ?) ORDER BY at, id "
            "LIMIT ? OFFSET ?"
        )
        offset = 0
        while True:
            place = offset
            rows = self._read(lambda db, place=place: db.execute(select, (job, _ROWS * 10, place)).fetchall())  # type: ignore[misc]
            yield from (data.encode() for _, _, data in rows)
            if len(rows) < _ROWS * 10:
                return
            offset += len(rows)

    def logs(self, job: str, level: int, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` log lines of a job with at least this level, after line `after`: number and JSON."""
        select = "SELECT number, data FROM logs WHERE job = ? AND level >= ? AND number > ? ORDER BY number LIMIT ?"
        rows = self._read(lambda db: db.execute(select, (job, level, after, limit)).fetchall())
        return [(number, data.encode()) for number, data in rows]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _know(self, db: sqlite3.Connection, jobs: dict[str, JobIds]) -> None:
        now = self._clock()
        for job, ids in jobs.items():
            db.execute(
                "INSERT INTO jobs (job, room_sid, agent_name, began, changed) VALUES (?, ?, ?, ?, ?) ON CONFLICT (job) DO "
                "UPDATE SET room_sid = coalesce(room_sid, excluded.room_sid), "
                "agent_name = coalesce(agent_name, excluded.agent_name), changed = excluded.changed, pending = 1",
                (job, ids.room_sid, ids.agent_name, now, now),
            )

    def _jobs(self, where: str, *values: Any) -> list[Job]:
        if not self.exists:
            return []
        rows = self._read(lambda db: db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {where}", values).fetchall())
        return [job_of(row) for row in rows]

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._open() as db:
            return patiently(lambda: read(db))

    def _write(self, write: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._open() as db:
            patiently(lambda: db.execute("BEGIN IMMEDIATE"))
            try:
                result = write(db)
                db.execute("COMMIT")
                return result
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, for one thread at a time."""
        with self._lock:
            try:
                if self._db is None:
                    self._db = connect(self.path)
                yield self._db
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"{self.path} cannot be used: {error}") from error
