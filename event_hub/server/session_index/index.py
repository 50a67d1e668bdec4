"""Keeps the index up with the history: takes events, writes what they changed, finds sessions again, follows retention."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ...sessions import Session, Sessions, replay_into
from ...sessions.fields import Event
from ..cooperate import TimeSlice
from ..history import HistoryReader
from ..session_events import SessionEvents
from .buckets import Counts, counted, pack_counts, pack_points, unpack_counts
from .facts import Fact, Problem, Words, fact
from .file import IndexFile

logger = logging.getLogger(__name__)

_COLUMNS = (
    "first", "last", "touched", "since", "until", "room", "session", "agent", "version", "process", "job", "told",
    "began", "ended", "ended_by", "awake", "first_name", "nameless", "roomless", "started", "updated", "duration", "turns",
    "slowest", "errors", "tool_errors", "interruptions", "input_tokens", "output_tokens", "notes", "recorded",
)  # fmt: skip
_PUT = f"INSERT OR REPLACE INTO sessions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_MOST_TOKENS = 1 << 53
_encode = msgspec.json.Encoder().encode


class SessionIndex:
    """The index of one history, as readers within a scope see it. The caller locks it.

    Give each event to `take`, in order, and call `flush` before its `file` is queried. It is the shelf of its `sessions`.
    """

    def __init__(self, path: Path | None, history: HistoryReader, events: SessionEvents, limit: int) -> None:
        """`path`: None: in memory. `limit`: sessions that are in memory as well."""
        self.file = IndexFile(path)
        self._history = history
        self._events = events
        self._limit = limit
        self._facts: list[tuple[Session, Fact]] = []
        self._slice = TimeSlice()
        self._failed = False
        """Whether the file has failed once."""
        self.through = int(self.file.meta("through"))
        """The offset of the last event that it includes."""
        self.floor = int(self.file.meta("floor"))
        """The offset up to which retention has removed events, as far as it has followed."""
        epoch, head = self.file.meta("epoch"), history.head
        lost = epoch is not None and epoch != str(history.cursor(self.through).epoch)
        if lost or self.through > head or self.through < history.floor:
            self.reset()
        self.sessions = Sessions(limit, self)

    def reset(self) -> None:
        """Drop everything: it is built again from the events after the history's floor."""
        self.file.reset()
        self.through = self.floor = self._history.floor
        self._facts.clear()
        self.sessions = Sessions(self._limit, self)

    @contextmanager
    def surviving(self) -> Iterator[None]:
        """If the file fails, the index is built again: in a new file, or in memory if that fails as well."""
        try:
            yield
        except sqlite3.Error as error:
            if self.file.path is None:
                raise
            logger.warning("the session index %s is built again: %s", self.file.path, error)
            if self._failed:
                self.file.into_memory()
            self._failed = True
            self.reset()

    # -- writing -------------------------------------------------------------------------------------------------------

    def take(self, event: Event, offset: int) -> None:
        """Take the event at `offset`."""
        session = self.sessions.take(event, offset)
        if session is not None and (found := fact(event, offset, session)) is not None:
            self._facts.append((session, found))
        self.through = offset

    def flush(self, time_slice: TimeSlice, through: int) -> None:
        """Write what has changed. `through`: every event up to there was examined."""
        self.through = max(self.through, through)
        self._slice = time_slice
        epoch = str(self._history.cursor(self.through).epoch)
        with self.file.writing():
            self._write(self.sessions.changed.values(), time_slice)
            self.sessions.changed.clear()
            for session, found in self._facts:
                self._put_fact(session.first, found)
                time_slice.pause_if_due()
            self._facts.clear()
            self.file.set_meta(through=self.through, floor=self.floor, epoch=epoch)
        self.sessions.unload()

    def _write(self, sessions: Any, time_slice: TimeSlice) -> None:
        contributed: dict[tuple[str, str], Counts] = {}
        for session in list(sessions):
            self._put(session, contributed)
            time_slice.pause_if_due()
        self._add_counts(contributed, time_slice)

    def _put(self, session: Session, contributed: dict[tuple[str, str], Counts]) -> None:
        self._withdraw(session.first, contributed)
        summary = session.summary()
        counts, slowest = summary["counts"], summary["slowest"]
        points = pack_points(session.samples.points or {})
        exits = _encode(session.exits) if session.exits else None
        row = (
            session.first, session.last, session.touched, session.since, session.until, session.room, session.session,
            session.agent, session.version, session.process, session.job, session.told, session.began, session.ended,
            session.ended_by, self.sessions.awake(session), session.first_name, session.nameless, session.roomless,
            summary["started"], summary["updated"], summary["duration"], counts["turns"],
            slowest["seconds"] if slowest else None, counts["errors"], counts["tool_errors"],
            max(0, counts["interruptions"]), _tokens(session.usage, "input_tokens"),
            _tokens(session.usage, "output_tokens"), session.notes, session.recording is not None,
        )  # fmt: skip
        self.file.db.execute(_PUT, row)
        document = (session.first, _encode(summary), points, exits)
        self.file.db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", document)
        self.file.db.execute("DELETE FROM tags WHERE session = ?", (session.first,))
        if session.tags:
            tags = [(tag, session.first) for tag in session.tags]
            self.file.db.executemany("INSERT INTO tags VALUES (?, ?)", tags)
        contributed.setdefault((session.agent or "", session.version or ""), Counts()).update(counted(points))

    def _withdraw(self, first: int, contributed: dict[tuple[str, str], Counts]) -> None:
        """Take back what a session has contributed to the buckets."""
        query = "SELECT agent, version, points FROM sessions JOIN documents USING (first) WHERE first = ?"
        row = self.file.db.execute(query, (first,)).fetchone()
        if row is not None and row[2]:
            contributed.setdefault((row[0] or "", row[1] or ""), Counts()).subtract(counted(row[2]))

    def _add_counts(self, contributed: dict[tuple[str, str], Counts], time_slice: TimeSlice) -> None:
        changes: dict[tuple[int, int, str, str, int], dict[int, int]] = {}
        for (agent, version), counts in contributed.items():
            for (size, slot, figure, number), difference in counts.items():
                if difference:
                    changes.setdefault((size, slot, agent, version, figure), {})[number] = difference
        where = "size = ? AND slot = ? AND agent = ? AND version = ? AND figure = ?"
        db = self.file.db
        for key, change in changes.items():
            row = db.execute(f"SELECT counts FROM buckets WHERE {where}", key).fetchone()
            counts_now = dict(unpack_counts(row[0])) if row else {}
            for number, count in change.items():
                counts_now[number] = counts_now.get(number, 0) + count
            if packed := pack_counts(counts_now):
                db.execute("INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?, ?)", (*key, packed))
            else:
                db.execute(f"DELETE FROM buckets WHERE {where}", key)
            time_slice.pause_if_due()

    def _put_fact(self, session: int, found: Fact) -> None:
        db = self.file.db
        if isinstance(found, Words):
            query = 'SELECT "offset", text, speaker FROM words WHERE session = ? AND utterance = ?'
            self._unfind(db.execute(query, (session, found.utterance)).fetchall())
            self._insert("words", session, found)
            words = (found.offset, found.text, found.speaker)
            db.execute("INSERT INTO found (rowid, text, speaker) VALUES (?, ?, ?)", words)
        else:
            self._insert("errors" if isinstance(found, Problem) else "tools", session, found)

    def _insert(self, table: str, session: int, found: Fact) -> None:
        offset, *rest = found
        self.file.db.execute(
            f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (offset, session, *rest)
        )

    def _unfind(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Remove words from the full-text index."""
        remove = "INSERT INTO found (found, rowid, text, speaker) VALUES ('delete', ?, ?, ?)"
        self.file.db.executemany(remove, rows)
        self.file.db.executemany('DELETE FROM words WHERE "offset" = ?', [(offset,) for offset, _, _ in rows])

    # -- retention -----------------------------------------------------------------------------------------------------

    def trim(self, floor: int, time_slice: TimeSlice, *, again: bool) -> bool:
        """Forget what retention has removed from the history. Sessions of which it has removed a part are computed again
        from the rest, if `again`; returns whether that was done, or nothing was to be done."""
        self._slice = time_slice
        db = self.file.db
        query = "SELECT first, last FROM sessions WHERE first <= ?"
        begun_before = db.execute(query, (floor,)).fetchall()
        gone = [first for first, last in begun_before if last <= floor]
        partial = [first for first, last in begun_before if last > floor]
        self.sessions.forget_before(floor)
        with self.file.writing():
            for first in gone:
                self._remove(first)
                time_slice.pause_if_due()
            self._remove_words('"offset" <= ?', floor, time_slice)
            for table in ("errors", "tools"):
                db.execute(f'DELETE FROM {table} WHERE "offset" <= ?', (floor,))
            if again or not partial:
                for first in partial:
                    self._compute_again(first, floor, time_slice)
                self.floor = floor
                self.file.set_meta(floor=floor)
        return again or not partial

    def _remove(self, first: int) -> None:
        contributed: dict[tuple[str, str], Counts] = {}
        self._withdraw(first, contributed)
        self._add_counts(contributed, self._slice)
        for table, column in (
            ("sessions", "first"),
            ("documents", "first"),
            ("tags", "session"),
            ("errors", "session"),
            ("tools", "session"),
        ):
            self.file.db.execute(f"DELETE FROM {table} WHERE {column} = ?", (first,))
        self._remove_words("session = ?", first, self._slice)

    def _remove_words(self, where: str, value: int, time_slice: TimeSlice) -> None:
        query = f'SELECT "offset", text, speaker FROM words WHERE {where} LIMIT 500'
        while rows := self.file.db.execute(query, (value,)).fetchall():
            self._unfind(rows)
            time_slice.pause_if_due()

    def _compute_again(self, first: int, floor: int, time_slice: TimeSlice) -> None:
        stub, awake = self._stub(first)
        facts: list[Fact] = []
        session = self._fold(stub, max(first - 1, floor), facts)
        self.sessions.drop(first)
        self._remove(first)
        if not session.first:
            return
        session.since = max(session.since, session.first)
        contributed: dict[tuple[str, str], Counts] = {}
        self._put(session, contributed)
        if awake:
            self.file.db.execute("UPDATE sessions SET awake = 1 WHERE first = ?", (session.first,))
        self._add_counts(contributed, time_slice)
        for found in facts:
            self._put_fact(session.first, found)

    # -- the shelf -----------------------------------------------------------------------------------------------------

    def load(self, first: int) -> tuple[Session, bool]:
        stub, awake = self._stub(first)
        return self._fold(stub, max(first - 1, self._history.floor), None), awake

    def _stub(self, first: int) -> tuple[Session, bool]:
        """What must be known of a session to find its events."""
        query = (
            "SELECT room, session, last, touched, since, until, first_name, nameless, roomless, awake, exits "
            "FROM sessions JOIN documents USING (first) WHERE first = ?"
        )
        room, name, last, touched, since, until, first_name, nameless, roomless, awake, exits = self.file.db.execute(
            query, (first,)
        ).fetchone()
        stub = Session(room, name)
        stub.first, stub.last, stub.touched, stub.since, stub.until = first, last, touched, since, until
        stub.first_name, stub.nameless, stub.roomless = bool(first_name), bool(nameless), bool(roomless)
        if exits:
            stub.exits = [(offset, event) for offset, event in msgspec.json.decode(exits)]
        return stub, bool(awake)

    def _fold(self, stub: Session, after: int, facts: list[Fact] | None) -> Session:
        session = Session(stub.room, stub.session, timed=True)
        session.since, session.until, session.first_name = stub.since, stub.until, stub.first_name
        for offset, event in self._events.of(stub, after, stub.touched, self._slice):
            own = replay_into(stub, event, offset, session)
            if own and facts is not None and (found := fact(event, offset, session)) is not None:
                facts.append(found)
        session.touched = stub.touched
        session.nameless, session.roomless, session.exits = stub.nameless, stub.roomless, stub.exits
        return session

    def of_names(self, room: str | None, session: str | None) -> Sequence[int]:
        return self._firsts("room IS ? AND session IS ?", room, session)

    def newest_of_room(self, room: str) -> Sequence[int]:
        return self._firsts("room = ? AND until IS NULL", room)

    def of_name(self, session: str, limit: int) -> Sequence[int]:
        return self._firsts("session = ? ORDER BY first_name DESC, since LIMIT ?", session, limit)

    def of_process(self, process: str) -> Sequence[int]:
        return self._firsts("process = ?", process)

    def of_job(self, job: str) -> Sequence[int]:
        return self._firsts("job = ? ORDER BY told, first", job)

    def ended_by(self, offset: int) -> Sequence[int]:
        return self._firsts("ended_by = ?", offset)

    def awake_in(self, room: str) -> Sequence[int]:
        return self._firsts("room = ? AND awake", room)

    def _firsts(self, where: str, *values: Any) -> Sequence[int]:
        rows: Iterator[tuple[int]] = self.file.db.execute(f"SELECT first FROM sessions WHERE {where}", values)
        return [first for (first,) in rows]


def _tokens(usage: list[Any], field: str) -> int:
    values = [model.get(field) for model in usage if isinstance(model, dict)]
    return sum(value for value in values if type(value) is int and 0 <= value < _MOST_TOKENS) % _MOST_TOKENS
