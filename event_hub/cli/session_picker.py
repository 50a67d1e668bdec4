"""Picks the conversation to export from a history: that of its one session, or of one room. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..sessions import captions
from .exits import USAGE_ERROR, CommandFailed
from .options import plural
from .terminal_text import escape

_MAX_LISTED = 20

Key = tuple[str | None, str | None]


@dataclass(slots=True)
class _SessionSummary:
    room: str | None
    session: str | None
    first: float | None = None
    last: float | None = None
    transcripts: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)


class SessionPicker:
    """Takes all events of a history. Keeps those that captions need, or once there are too many sessions, only a summary of
    each.

    room: several sessions are exported together if they are all of one room.
    """

    def __init__(self, room: bool = False) -> None:
        self._room = room
        self._sessions: dict[Key, _SessionSummary] = {}
        self._with_transcripts: list[_SessionSummary] = []
        self.events = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Take the next event."""
        self.events += 1
        room, session, timestamp = event.get("room"), event.get("session"), event.get("timestamp")
        key = (room if session is None else None, session)
        summary = self._sessions.get(key)
        if summary is None:
            summary = self._sessions[key] = _SessionSummary(room, session)
        summary.room = summary.room or room
        if isinstance(timestamp, int | float):
            summary.first = timestamp if summary.first is None else min(summary.first, timestamp)
            summary.last = timestamp if summary.last is None else max(summary.last, timestamp)
        kind = event.get("type")
        if kind == "transcript" and event.get("final") is not False:
            if summary.transcripts == 0:
                self._with_transcripts.append(summary)
            summary.transcripts += 1
            if self._too_many():
                for other in self._sessions.values():
                    other.events.clear()
        if kind in captions.TYPES and not self._too_many():
            summary.events.append({name: event[name] for name in captions.FIELDS if event.get(name) is not None})

    def _too_many(self) -> bool:
        if len(self._with_transcripts) <= 1:
            return False
        return not self._room or len({summary.room for summary in self._with_transcripts}) > 1

    def render(self, form: str) -> tuple[str, int]:
        """The conversation as srt, vtt or txt, and its number of captions. Raises `CommandFailed` with a list of the
        sessions if there are too many."""
        if self._too_many():
            by_time = sorted(self._with_transcripts, key=lambda summary: summary.first or 0.0)
            lines = [_line(summary) for summary in by_time]
            newest = f"; the newest {_MAX_LISTED} are" if len(lines) > _MAX_LISTED else ""
            text = f"there are {len(lines):,} sessions: choose one with --session{newest}"
            raise CommandFailed("\n".join([text, *lines[-_MAX_LISTED:]]), USAGE_ERROR)
        found = [
            captions.captions([{"type": "", "timestamp": summary.first}, *summary.events])
            for summary in self._with_transcripts
        ]
        cues = found[0].cues if len(found) == 1 else captions.together(found)
        return captions.FORMS[form](cues), len(cues)


def _line(summary: _SessionSummary) -> str:
    name = escape(summary.session) if summary.session is not None else "(no session; choose it with --room)"
    period = f"{_moment(summary.first)} to {_moment(summary.last)}"
    return f"  {name}  room {escape(summary.room or '(none)')}  {period}  {plural(summary.transcripts, 'transcript')}"


def _moment(timestamp: float | None) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp)) if timestamp is not None else "?"
    except (OverflowError, ValueError, OSError):
        return "?"
