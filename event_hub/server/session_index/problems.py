"""What went wrong: errors by source and message, and tools with their calls and failures."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

from .listing import Wanted, conditions

EXAMPLES = 5
"""Turns that are named of each group: the newest."""
_CALLS = 100_000
"""Tool calls whose durations are compared: the newest."""


def errors(db: sqlite3.Connection, wanted: Wanted, since: float) -> tuple[list[dict[str, Any]], bool]:
    """Errors since a time, grouped, the most frequent first; and whether there are more groups."""
    where, values = conditions(wanted, 0.0)
    join = f"FROM errors JOIN sessions ON sessions.first = errors.session WHERE at >= ? AND {where}"
    query = (
        "SELECT source, kind, message, count(*) AS times, count(DISTINCT errors.session), min(at), max(at), "
        f"max(recoverable), min(recoverable) {join} GROUP BY source, kind ORDER BY times DESC, source, kind LIMIT ?"
    )
    rows = db.execute(query, (since, *values, wanted.limit + 1)).fetchall()
    groups = []
    for source, kind, message, count, sessions, first, last, most, least in rows[: wanted.limit]:
        examples = _examples(db, f"{join} AND source = ? AND kind = ?", (since, *values, source, kind), "message")
        recoverable = None if most is None or most != least else bool(most)
        groups.append(
            {
                "source": source, "message": message if count == 1 else kind, "count": count, "sessions": sessions,
                "first": first, "last": last, "recoverable": recoverable, "examples": examples,
            }
        )  # fmt: skip
    return groups, len(rows) > wanted.limit


def tools(db: sqlite3.Connection, wanted: Wanted, since: float) -> list[dict[str, Any]]:
    """The tools that were called since a time, those that fail most first."""
    where, values = conditions(wanted, 0.0)
    join = f"FROM tools JOIN sessions ON sessions.first = tools.session WHERE at >= ? AND {where}"
    query = f'SELECT name, is_error, tools.duration {join} ORDER BY "offset" DESC LIMIT ?'
    found: dict[str, dict[str, Any]] = {}
    durations: dict[str, list[float]] = {}
    for name, is_error, duration in db.execute(query, (since, *values, _CALLS)):
        tool = found.setdefault(name, {"name": name, "calls": 0, "errors": 0})
        tool["calls"] += 1
        tool["errors"] += is_error
        if duration is not None:
            durations.setdefault(name, []).append(duration)
    ranked = sorted(found.values(), key=lambda tool: (-tool["errors"], -tool["calls"], tool["name"]))[: wanted.limit]
    for tool in ranked:
        known = sorted(durations.get(tool["name"], ()))
        tool["median"] = known[math.ceil(0.5 * len(known)) - 1] if known else None
        tool["p95"] = known[math.ceil(0.95 * len(known)) - 1] if known else None
        failed = f"{join} AND name = ? AND is_error"
        tool["examples"] = _examples(db, failed, (since, *values, tool["name"]), "message")
    return ranked


def _examples(db: sqlite3.Connection, join: str, values: tuple[Any, ...], message: str) -> list[dict[str, Any]]:
    query = f'SELECT room, sessions.session, turn, at, {message} {join} ORDER BY "offset" DESC LIMIT {EXAMPLES}'
    return [
        {
            "id": session or (f"room:{room}" if room is not None else "none"),
            "room": room,
            "turn": turn,
            "at": at,
            "message": text,
        }
        for room, session, turn, at, text in db.execute(query, values)
    ]
