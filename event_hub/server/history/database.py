"""The SQLite file of a history: locking, opening, checking, closing, and errors as one sentence.

If the file cannot be written when it is opened (full disk, read-only), it is opened for reading (`degraded`), and
`complete_opening` opens it for writing once that is possible.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..private_files import create_private
from .base import Epochs, HistoryError
from .boot import boot_id

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

ZEROES = "secure_delete=FAST"
"""Zeroes what is deleted wherever that costs no write of its own. Copies that SQLite leaves in a page when it moves rows to
another are not zeroed."""
_BUSY = 0.005
"""Seconds that a commit waits for another program's lock: no request is served meanwhile."""
_UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT})


class Database:
    """One database file, for one hub process at a time. Raises `HistoryError` if it cannot be opened at all."""

    def __init__(self, path: Path, wait: float) -> None:
        """`wait`: seconds to wait for another hub that has locked the file."""
        self.path = path
        self.degraded: str | None = None
        """The reason, if it can only be read."""
        self.head = 0
        self.floor = 0
        self.last_at = 0.0
        """When the newest event was received, in epoch seconds."""
        self.epochs: list[tuple[str, int]] = []
        """Name and first offset of each epoch."""
        self._closed = False
        self._mutex = threading.RLock()
        self._lost = False
        """Whether the file was deleted or replaced: new events would be missing after a restart."""
        self._identity: tuple[int, int] | None = None
        self._checkpointer: sqlite3.Connection | None = None
        self._lock: FileLock | None = None
        try:
            create_private(path)
            self._acquire_lock(wait)
        except OSError as error:
            if error.errno not in _UNWRITABLE or not _has_content(path):
                raise HistoryError(f"{path} cannot be opened: {error.strerror}; see HUB_HISTORY") from None
        try:
            with self.failing("opened"):
                self._open_as_far_as_possible()
        except BaseException:
            self._release_lock()
            raise

    def _acquire_lock(self, wait: float) -> None:
        """Raises OSError if the lock file cannot be created, `HistoryError` if another hub holds it."""
        lock = FileLock(f"{self.path}.lock", thread_local=False, mode=0o600)
        try:
            try:
                lock.acquire(timeout=min(1.0, wait))
            except Timeout:
                if wait < 1:
                    raise
                logger.warning("%s is in use; waiting up to %g s for the other hub to end", self.path, wait)
                lock.acquire(timeout=wait)
        except Timeout:
            raise HistoryError(
                f"{self.path} is in use by another hub: stop that hub, or set another file in HUB_HISTORY"
            ) from None
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # -- opening -----------------------------------------------------------------------------------------------------

    def _open_as_far_as_possible(self) -> None:
        """Open for writing. If that is impossible for now and the file has content, open for reading."""
        if self._lock is None:
            self._open_for_reading()
            self.degraded = f"{self.path} cannot be written: its folder is full or read-only"
            return
        try:
            self._open()
        except sqlite3.Error as error:
            if not (_unwritable(error) and _has_content(self.path)):
                raise
            self._open_for_reading()
            self.degraded = f"{self.path} cannot be written: {_reason(error)}"

    def _open(self) -> None:
        db = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            for pragma in (
                "synchronous=NORMAL",
                "wal_autocheckpoint=0",
                "cache_size=-65536",
                "temp_store=MEMORY",
                ZEROES,
            ):
                db.execute(f"PRAGMA {pragma}")
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT")
            self.db = db
            self._read_state()
            self._begin_epoch()
            checkpointer = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        except BaseException:
            db.close()
            raise
        self._checkpointer = checkpointer
        self._identity = _identity(self.path)

    def _open_for_reading(self) -> None:
        """A write-ahead log needs a shared-memory file, which a full or read-only disk may not allow. If the log is empty,
        the database is opened without one."""
        options = ["mode=rw", "mode=ro"]
        if self.wal_size() == 0:
            options.append("mode=ro&immutable=1")
        for option in options:
            uri = f"{self.path.absolute().as_uri()}?{option}"
            db = sqlite3.connect(uri, uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=False)
            try:
                self.db = db
                self._identity = _identity(self.path)
                self._read_state()
                return
            except BaseException as error:
                db.close()
                if option is options[-1] or not isinstance(error, sqlite3.Error):
                    raise

    def _read_state(self) -> None:
        db = self.db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA:
            raise HistoryError(
                f"{self.path} was written by another version of the hub (layout {version}, this hub uses {SCHEMA}): "
                "set another file in HUB_HISTORY"
            )
        newest = 'SELECT "offset", at FROM events ORDER BY "offset" DESC LIMIT 1'
        (self.head, self.last_at) = db.execute(newest).fetchone() or (0, 0.0)
        self.floor = self._meta("floor") or 0
        self.head = max(self.head, self.floor)
        # Read the newest events once, so that a damaged file is reported now and not to the first subscriber.
        db.execute('SELECT count(*), max(length(data)) FROM events WHERE "offset" > ?', (self.head - 1000,)).fetchone()
        self._read_epochs()

    def _read_epochs(self) -> None:
        rows = self.db.execute("SELECT first, name FROM epochs ORDER BY first")
        self.epochs = [(name, first) for first, name in rows]

    def _begin_epoch(self) -> None:
        """Continue the last epoch, unless a crash of the machine may have lost the end of it."""
        boot, clean = self._meta("boot"), self._meta("clean")
        now = boot_id()
        lost = clean != 1 and boot is not None and now is not None and boot != now
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            (epochs,) = db.execute("SELECT count(*) FROM epochs").fetchone()
            if lost or not epochs:
                epoch = (self.head + 1, Epochs.new_name())
                db.execute("INSERT OR REPLACE INTO epochs (first, name) VALUES (?, ?)", epoch)
            db.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?), ('clean', 0)", (now,))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        # Synced: otherwise the mark of a clean shutdown, removed above, could be back after a power failure.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._read_epochs()

    # -- in use ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `HistoryError` unless events written now would be present after a restart."""
        if not self.degraded:
            self._lost = _identity(self.path) != self._identity
        self.check_writable()

    def check_writable(self) -> None:
        """Raise `HistoryError` if it is degraded, or was lost at the last `check`."""
        if self.degraded:
            raise HistoryError(self.degraded)
        if self._lost:
            raise HistoryError(
                f"{self.path} was deleted or replaced while the hub was running, so nothing is stored: "
                "put it back, or restart the hub to start a new history"
            )

    def complete_opening(self) -> None:
        """Leave degraded mode: open for writing; raises `HistoryError` if that is still impossible."""
        with self.failing("written"):
            if self._lock is None:
                try:
                    self._acquire_lock(0)
                except OSError as error:
                    raise HistoryError(f"{self.path} cannot be written: {error.strerror}") from None
            reading, seen = self.db, (self._identity, self.head, self.epochs)
            try:
                if _identity(self.path) != self._identity:
                    raise HistoryError(f"{self.path} was deleted or replaced: restart the hub")
                self._read_state()
                if (self._identity, self.head, self.epochs) != seen:
                    raise HistoryError(f"{self.path} was written by another hub meanwhile: restart this one")
                self._open()
            except BaseException:
                self.db = reading
                raise
            reading.close()
            self.degraded = None

    def checkpoint(self) -> None:
        """Checkpoint the write-ahead log, fsyncs included, without blocking writers: on a separate connection, which stays
        open so that it works even when no file descriptor is left."""
        if self._checkpointer is not None and not self._closed and self.wal_size() >= 1 << 20:
            try:
                self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path} cannot be checkpointed: {_reason(error)}") from error

    def close(self) -> None:
        """Record the clean shutdown, checkpoint, close; idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._checkpointer is not None:
                self._checkpointer.close()
            if not self.degraded:
                with self.failing("closed"):
                    self.db.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
                    self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.db.close()
            self._release_lock()

    def _meta(self, name: str) -> Any:
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def wal_size(self) -> int:
        """Size of the write-ahead log in bytes."""
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except OSError:
            return 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Roll back the transaction, if there is one, on any exception."""
        with self.failing("written"):
            try:
                yield
            except BaseException:
                # On a full disk, SQLite has rolled back already, and no transaction is left.
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextmanager
    def failing(self, operation: str) -> Iterator[None]:
        """One thread at a time. SQLite's errors become one sentence for the operator."""
        with self._mutex:
            try:
                yield
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path} cannot be {operation}: {_reason(error)}") from error


def _reason(error: sqlite3.Error) -> str:
    advice = {
        "SQLITE_FULL": "the disk is full; make room, or lower HUB_RETENTION",
        "SQLITE_BUSY": "another program holds its lock; end that program's transaction",
        "SQLITE_LOCKED": "another program holds its lock; end that program's transaction",
        "SQLITE_READONLY": "it is read-only; give the hub's user write access",
        "SQLITE_CANTOPEN": "the file or its folder cannot be opened; see HUB_HISTORY",
        "SQLITE_CORRUPT": "the file is damaged; move it away, or restore it (sqlite3 FILE .recover)",
        "SQLITE_NOTADB": "it is not a SQLite database; set another file in HUB_HISTORY",
        "SQLITE_IOERR": "the disk reports an error; it may be full",
    }
    name = getattr(error, "sqlite_errorname", "")
    for prefix, text in advice.items():
        if name.startswith(prefix):
            return f"{text} ({name}: {error})"
    return f"{error}" + (f" ({name})" if name else "")


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at `path`; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unwritable(error: sqlite3.Error) -> bool:
    """Whether the error may be temporary: the disk is full or read-only."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR"))
