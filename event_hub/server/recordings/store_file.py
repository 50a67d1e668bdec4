"""The SQLite file of a store: its layout, opening it, and waiting for other processes that use it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..private_files import create_private

_T = TypeVar("_T")
SCHEMA = 1
_TABLES = """
CREATE TABLE jobs (
    job TEXT PRIMARY KEY,
    room_sid TEXT, agent_name TEXT,
    room TEXT, session TEXT,
    began REAL NOT NULL, changed REAL NOT NULL,
    over INTEGER NOT NULL DEFAULT 0,
    told INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 1,
    report TEXT, chat TEXT, audio TEXT
) WITHOUT ROWID;
CREATE INDEX jobs_pending ON jobs (pending) WHERE pending;
CREATE INDEX jobs_by_room ON jobs (room);
CREATE TABLE traces (trace TEXT PRIMARY KEY, job TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX traces_by_job ON traces (job);
CREATE TABLE spans (
    trace TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, data TEXT NOT NULL, PRIMARY KEY (trace, id)
) WITHOUT ROWID;
CREATE INDEX spans_by_time ON spans (at);
CREATE TABLE logs (
    number INTEGER PRIMARY KEY, job TEXT NOT NULL, digest BLOB NOT NULL, at REAL NOT NULL, level INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE UNIQUE INDEX logs_by_digest ON logs (job, digest);
"""
_BUSY = 0.002
"""Seconds that SQLite itself waits for another process: no request is served meanwhile."""
_PATIENCE = 10.0
"""Seconds until a file that another process has locked counts as unavailable."""


class StoreError(RuntimeError):
    """The store cannot be read or written. The text is one sentence for the operator."""


def connect(path: Path) -> sqlite3.Connection:
    """The file at `path`, made if there is none; raises `StoreError`, sqlite3.Error or OSError."""
    create_private(path)
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=NORMAL", "secure_delete=FAST"):
            patiently(lambda pragma=pragma: db.execute(f"PRAGMA {pragma}"))  # type: ignore[misc]
        patiently(lambda: db.execute("BEGIN IMMEDIATE"))
        if db.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in _TABLES.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute("COMMIT")
        if version != SCHEMA:
            raise StoreError(
                f"{path} was written by another version of the hub (layout {version}, this hub uses {SCHEMA}): set another "
                "folder in HUB_RECORDINGS"
            )
    except BaseException:
        db.close()
        raise
    return db


def patiently(do: Callable[[], _T]) -> _T:
    """Wait for a lock of another process without holding up this one."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return do()
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY") or time.monotonic() > end:
                raise
            time.sleep(0.005)
