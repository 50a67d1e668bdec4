"""What SQLite alone takes: `executemany` of the rows that the hub stores for the load `batch`, into the same tables.

`python -m bench.bare_sqlite FILE SECONDS` prints rows per second, the upper bound of what a hub with SQLite can accept.
"""

import sqlite3
import sys
import time
from pathlib import Path

from event_hub.server.history import Retention
from event_hub.server.history.sqlite import _INSERT, SQLiteHistory

BATCH = 500
SIZE = 180
"""Bytes of an event, as in the load generator."""


def rate(file: Path, seconds: float) -> float:
    """Insert batches for this long; returns rows per second."""
    SQLiteHistory(file, Retention(None, None)).close()  # makes the tables and sets the journal mode
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("PRAGMA synchronous=NORMAL")
    fields = '{"type":"transcript","participant":"agent_123","room":"room-0","text":"'
    data = fields + "x" * (SIZE - len(fields) - 2) + '"}'
    offset, spent = 0, 0.0
    while spent < seconds:
        rows = [
            (n, time.time(), "transcript", "room-0", None, None, data) for n in range(offset + 1, offset + BATCH + 1)
        ]
        began = time.perf_counter()
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_INSERT, rows)
        database.execute("COMMIT")
        spent += time.perf_counter() - began
        offset += BATCH
    return offset / spent


if __name__ == "__main__":
    print(rate(Path(sys.argv[1]), float(sys.argv[2])))
