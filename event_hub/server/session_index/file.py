"""The SQLite file of a session index: opening, checking, starting again."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ... import __version__
from ..history.boot import boot_id
from ..private_files import create_private

logger = logging.getLogger(__name__)

LAYOUT = f"1 {__version__}"
"""Of the tables, and of the rules by which events become sessions."""
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE sessions (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, touched INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER,
    room TEXT, session TEXT, agent TEXT, version TEXT, process TEXT, job TEXT,
    told INTEGER NOT NULL, began INTEGER NOT NULL, ended INTEGER NOT NULL, ended_by INTEGER, awake INTEGER NOT NULL,
    first_name INTEGER NOT NULL, nameless INTEGER NOT NULL, roomless INTEGER NOT NULL,
    started REAL, updated REAL, duration REAL, turns INTEGER NOT NULL, slowest REAL,
    errors INTEGER NOT NULL, tool_errors INTEGER NOT NULL, interruptions INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, notes INTEGER NOT NULL, recorded INTEGER NOT NULL
);
CREATE INDEX sessions_by_last ON sessions (last);
CREATE INDEX sessions_by_names ON sessions (room, session);
CREATE INDEX sessions_by_name ON sessions (session) WHERE session IS NOT NULL;
CREATE INDEX sessions_by_process ON sessions (process) WHERE process IS NOT NULL;
CREATE INDEX sessions_by_job ON sessions (job) WHERE job IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (ended_by) WHERE ended_by IS NOT NULL;
CREATE INDEX sessions_by_start ON sessions (started);
CREATE TABLE documents (first INTEGER PRIMARY KEY, summary BLOB NOT NULL, points BLOB NOT NULL, exits BLOB);
CREATE TABLE tags (tag TEXT, session INTEGER, PRIMARY KEY (tag, session)) WITHOUT ROWID;
CREATE INDEX tags_by_session ON tags (session);
CREATE TABLE words (
    "offset" INTEGER PRIMARY KEY, session INTEGER NOT NULL, utterance INTEGER NOT NULL, turn INTEGER, at REAL,
    role TEXT NOT NULL, speaker TEXT NOT NULL, text TEXT NOT NULL
);
CREATE UNIQUE INDEX words_by_utterance ON words (session, utterance);
CREATE VIRTUAL TABLE found USING fts5 (
    text, speaker, content='words', content_rowid='offset', tokenize='unicode61 remove_diacritics 2'
);
CREATE TABLE errors (
    "offset" INTEGER PRIMARY KEY, session INTEGER NOT NULL, turn INTEGER, at REAL,
    source TEXT NOT NULL, message TEXT NOT NULL, kind TEXT NOT NULL, recoverable INTEGER
);
CREATE INDEX errors_by_session ON errors (session);
CREATE TABLE tools (
    "offset" INTEGER PRIMARY KEY, session INTEGER NOT NULL, turn INTEGER, at REAL,
    name TEXT NOT NULL, is_error INTEGER NOT NULL, duration REAL, message TEXT
);
CREATE INDEX tools_by_session ON tools (session);
CREATE TABLE buckets (
    size INTEGER, slot INTEGER, agent TEXT, version TEXT, figure INTEGER, counts BLOB NOT NULL,
    PRIMARY KEY (size, slot, agent, version, figure)
) WITHOUT ROWID;
"""
_PRAGMAS = (
    "journal_mode=WAL",
    # The index can be rebuilt, so nothing waits for the disk. `open` tells whether the machine crashed.
    "synchronous=OFF",
    "temp_store=MEMORY",
    "cache_size=-32768",
    "secure_delete=FAST",
)


def index_path(history: str, folder: Path) -> Path | None:
    """Where the index of a history is, by the address in HUB_HISTORY: beside it; of one on a server, in `folder`; of one
    in memory, in memory."""
    if history == "memory:":
        return None
    if history.startswith("sqlite:///"):
        return Path(f"{history.removeprefix('sqlite:///')}-sessions")
    return folder / f"sessions-{hashlib.sha256(history.encode()).hexdigest()[:12]}.db"


class IndexFile:
    """One file, for one process at a time; in memory where `path` is None, or where the file cannot be used."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock: FileLock | None = None
        if path is not None and not self._acquire(path):
            self.path = None
        try:
            self._connect()
            usable = self.path is None or self._usable()
        except sqlite3.Error:
            usable = False
        if not usable:
            self.reset()

    def _acquire(self, path: Path) -> bool:
        try:
            create_private(path)
            lock = FileLock(f"{path}.lock", thread_local=False, mode=0o600)
            lock.acquire(timeout=0)
        except Timeout:
            return False  # another worker of this hub has it
        except OSError as error:
            logger.warning("the session index %s cannot be used, it is kept in memory: %s", path, error.strerror)
            return False
        self._lock = lock
        return True

    def _connect(self) -> None:
        self.db = sqlite3.connect(self.path or ":memory:", timeout=0.05, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self.db.execute(f"PRAGMA {pragma}")
        if not self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self.db.executescript(f"BEGIN; {_TABLES} COMMIT")
            self.set_meta(layout=LAYOUT, through=0, floor=0)

    def _usable(self) -> bool:
        opened = self.meta("open")
        self.set_meta(open=boot_id() or "")
        return self.meta("layout") == LAYOUT and opened in (None, boot_id())

    def reset(self) -> None:
        """Delete everything. If the file cannot be made again, the index is in memory from now on."""
        self._disconnect()
        try:
            if self.path is not None:
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
                create_private(self.path)
            self._connect()
            self.set_meta(open=boot_id() or "")
        except (OSError, sqlite3.Error) as error:
            if self.path is None:
                raise
            logger.warning("the session index %s cannot be used, it is kept in memory: %s", self.path, error)
            self.into_memory()

    def into_memory(self) -> None:
        """Go on without the file, empty."""
        self._disconnect()
        self._release()
        self.path = None
        self._connect()

    def _disconnect(self) -> None:
        with suppress(AttributeError, sqlite3.Error):  # it may not have been opened
            self.db.close()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def meta(self, name: str) -> Any:
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_meta(self, **values: Any) -> None:
        self.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, rolled back on any exception."""
        self.db.execute("BEGIN")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def size(self) -> int:
        """Bytes that it takes."""
        (pages,) = self.db.execute("PRAGMA page_count").fetchone()
        (size,) = self.db.execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def close(self) -> None:
        """Record that nothing was lost; idempotent."""
        with suppress(sqlite3.Error):
            if self.path is not None:
                self.db.execute("DELETE FROM meta WHERE name = 'open'")
        self._disconnect()
        self._release()
