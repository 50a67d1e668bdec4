"""The rooms, and their sessions."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from .listing import Wanted, conditions


def rooms(
    db: sqlite3.Connection, wanted: Wanted, now: float
) -> tuple[list[tuple[str | None, list[tuple[dict[str, Any], bytes]]]], bool]:
    """The rooms with the newest events, each with the summaries and the points of its sessions, the newest first; and
    whether there are more rooms."""
    where, values = conditions(wanted, now)
    query = f"SELECT room, max(last) AS newest FROM sessions WHERE {where} GROUP BY room ORDER BY newest DESC LIMIT ?"
    names = [name for name, _ in db.execute(query, (*values, wanted.limit + 1))]
    query = (
        "SELECT summary, points FROM sessions JOIN documents USING (first) "
        f"WHERE {where} AND room IS ? ORDER BY last DESC"
    )
    found = []
    for name in names[: wanted.limit]:
        rows = db.execute(query, (*values, name)).fetchall()
        found.append((name, [(msgspec.json.decode(summary), points) for summary, points in rows]))
    return found, len(names) > wanted.limit
