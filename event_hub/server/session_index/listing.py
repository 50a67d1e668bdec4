"""Lists sessions: filtered, sorted, in pages, and by the words that were said in them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from ..filters import is_glob

SORTS = {
    "updated": "last",
    "started": "coalesce(started, 0)",
    "duration": "coalesce(duration, -1)",
    "turns": "turns",
    "slowest": "coalesce(slowest, -1)",
    "errors": "errors + tool_errors",
}
"""What sessions can be sorted by; the largest value first."""
HAS = {
    "error": "sessions.errors > 0",
    "tool_error": "sessions.tool_errors > 0",
    "interruption": "sessions.interruptions > 0",
    "recording": "recorded",
    "note": "sessions.notes > 0",
}
SILENT = 300.0
"""Seconds without an event after which a live session is silent."""
SEARCHED = 20_000
"""Utterances with the words that are looked at, the newest first: more of them are hardly a search."""
MATCHES = 3
"""Utterances of one session that are listed."""
BEGIN, END = "\ue000", "\ue001"
"""Stand around each word that matches: characters for private use."""


class BadPlace(ValueError):
    """`before` is not a place in the list."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions, in which order."""

    rooms: Sequence[str] = ()
    sessions: Sequence[str] = ()
    agents: Sequence[str] = ()
    versions: Sequence[str] = ()
    tags: Sequence[str] = ()
    has: Sequence[str] = ()
    status: str | None = None
    slow: float | None = None
    words: str = ""
    after: int = 0
    """Only sessions with an event after this offset."""
    started: tuple[float, float] | None = None
    """Only sessions that started from one time on and before another, in epoch seconds."""
    sort: str = "updated"
    before: tuple[float, int] | None = None
    """The place after which the page begins: the value it is sorted by, and the session's first offset."""
    limit: int = 50


class Listed(NamedTuple):
    """One session of the list."""

    first: int
    last: int
    began: bool
    place: float
    """The value that the list is sorted by."""
    summary: dict[str, Any]


class Page(NamedTuple):
    """`more`: there are more sessions. `searched`: all utterances with the words were looked at."""

    sessions: list[Listed]
    more: bool
    searched: bool


def conditions(wanted: Wanted, now: float) -> tuple[str, list[Any]]:
    """The SQL condition on `sessions` for everything but the words."""
    parts: list[str] = []
    values: list[Any] = []

    def add(sql: str, *some: Any) -> None:
        parts.append(sql)
        values.extend(some)

    named = (
        ("room", wanted.rooms),
        ("session", wanted.sessions),
        ("agent", wanted.agents),
        ("version", wanted.versions),
    )
    for column, patterns in named:
        if patterns:
            add(f"({' OR '.join(_pattern(f'sessions.{column}', each) for each in patterns)})", *map(_glob, patterns))
    for tag in wanted.tags:
        add("first IN (SELECT session FROM tags WHERE tag = ?)", tag)
    for name in wanted.has:
        add(HAS[name])
    if wanted.status == "silent":
        add("NOT ended AND updated < ?", now - SILENT)
    elif wanted.status is not None:
        add("ended" if wanted.status == "ended" else "NOT ended")
    if wanted.slow is not None:
        add("slowest >= ?", wanted.slow)
    if wanted.after:
        add("last > ?", wanted.after)
    if wanted.started is not None:
        add("started >= ? AND started < ?", *wanted.started)
    return " AND ".join(parts) or "TRUE", values


def page(db: sqlite3.Connection, wanted: Wanted, now: float) -> Page:
    """One page of the list."""
    where, values = conditions(wanted, now)
    matching: dict[int, list[int]] = {}
    searched = True
    if wanted.words.strip():
        matching, searched = _search(db, wanted.words)
        names = f"%{_like(wanted.words.strip())}%"
        db.execute("CREATE TEMP TABLE IF NOT EXISTS matching (first INTEGER PRIMARY KEY)")
        db.execute("DELETE FROM matching")
        db.executemany("INSERT INTO matching VALUES (?)", [(first,) for first in matching])
        named = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in ("room", "session", "agent"))
        where += f" AND (first IN matching OR {named})"
        values += [names] * 3
    order = SORTS[wanted.sort]
    if wanted.before is not None:
        where += f" AND ({order}, first) < (?, ?)"
        values += wanted.before
    query = f"SELECT first, last, began, {order} FROM sessions WHERE {where} ORDER BY {order} DESC, first DESC LIMIT ?"
    rows = db.execute(query, (*values, wanted.limit + 1)).fetchall()
    listed = [
        Listed(first, last, bool(began), place, summary_of(db, first))
        for first, last, began, place in rows[: wanted.limit]
    ]
    if matching:
        for each in listed:
            each.summary["matches"] = _matches(db, matching.get(each.first, ())[:MATCHES], wanted.words)
    return Page(listed, len(rows) > wanted.limit, searched)


def summary_of(db: sqlite3.Connection, first: int) -> dict[str, Any]:
    """The summary of the session that begins at this offset."""
    (data,) = db.execute("SELECT summary FROM documents WHERE first = ?", (first,)).fetchone()
    summary: dict[str, Any] = msgspec.json.decode(data)
    return summary


def place_text(place: float, first: int) -> str:
    """Where a page ended, for the next request."""
    return f"{place!r}!{first}"


def place_of(text: str) -> tuple[float, int]:
    """The same, read; raises `BadPlace`."""
    value, mark, first = text.partition("!")
    try:
        if mark:
            return float(value), int(first)
    except ValueError:
        pass
    raise BadPlace(text)


def _search(db: sqlite3.Connection, words: str) -> tuple[dict[int, list[int]], bool]:
    """The sessions with an utterance that has all of these words, and the offsets of these utterances, newest
    first; and whether all were looked at."""
    if not (terms := _terms(words)):
        return {}, True
    query = (
        'SELECT session, "offset" FROM (SELECT rowid FROM found WHERE found MATCH ? ORDER BY rowid DESC LIMIT ?) '
        'JOIN words ON "offset" = rowid'
    )
    found: dict[int, list[int]] = {}
    rows = db.execute(query, (terms, SEARCHED)).fetchall()
    for session, offset in rows:
        found.setdefault(session, []).append(offset)
    return found, len(rows) < SEARCHED


def _terms(words: str) -> str:
    """An FTS5 query for utterances with all of these words, the last of which may go on."""
    terms = re.findall(r"\w+", words)[:16]
    return " ".join(f'"{term}"' for term in terms) + "*" if terms else ""


def _matches(db: sqlite3.Connection, offsets: Iterable[int], words: str) -> list[dict[str, Any]]:
    found = []
    for offset in offsets:
        query = (
            'SELECT turn, at, role, highlight(found, 0, ?, ?) FROM found JOIN words ON "offset" = found.rowid '
            "WHERE found MATCH ? AND found.rowid = ?"
        )
        row = db.execute(query, (BEGIN, END, _terms(words), offset)).fetchone()
        if row is not None:
            turn, at, role, text = row
            found.append({"turn": turn, "at": at, "role": role, "text": _shortened(text)})
    return found


def _shortened(text: str) -> str:
    """The part of a long text that has the first match."""
    at = max(0, text.find(BEGIN))
    begin = 0 if at < 160 else text.rfind(" ", 0, at - 60) + 1
    end = len(text) if len(text) - begin < 320 else begin + 300
    part = text[begin:end]
    if part.count(BEGIN) > part.count(END):
        part += END
    return ("… " if begin else "") + part + (" …" if end < len(text) else "")


def _pattern(column: str, pattern: str) -> str:
    return f"{column} GLOB ?" if is_glob(pattern) else f"{column} = ?"


def _glob(pattern: str) -> str:
    """SQLite has more wildcards than the hub's `*`."""
    return re.sub(r"[\[?]", r"[\g<0>]", pattern) if is_glob(pattern) else pattern


def _like(text: str) -> str:
    return re.sub(r"[%_\\]", r"\\\g<0>", text)
