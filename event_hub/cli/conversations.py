"""The sessions that a history holds, until it is clear that there is one, whose conversation is wanted. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..events import captions
from .ending import USAGE, Failed
from .options import count
from .plain import plain

_LISTED = 20
_NEEDED = ("type", "timestamp", "participant", "role", "utterance", "text", "final")
_SPOKEN = frozenset({"transcript", "user_speech_started", "agent_speech_started"})

Key = tuple[str | None, str | None]


@dataclass(slots=True)
class _Session:
    room: str | None
    session: str | None
    first: float | None = None
    last: float | None = None
    said: int = 0


class Conversations:
    """Takes all events, keeps those of the one session; of several only what they are called and when they were."""

    def __init__(self) -> None:
        self._sessions: dict[Key, _Session] = {}
        self._events: list[dict[str, Any]] = []
        self._talking = 0
        self.events = 0

    def take(self, event: Mapping[str, Any]) -> None:
        """One event of the history."""
        self.events += 1
        room, session, stamp = event.get("room"), event.get("session"), event.get("timestamp")
        one = self._sessions.setdefault((room if session is None else None, session), _Session(room, session))
        one.room = one.room or room
        if isinstance(stamp, int | float):
            one.first = stamp if one.first is None else min(one.first, stamp)
            one.last = stamp if one.last is None else max(one.last, stamp)
        kind = event.get("type")
        if kind == "transcript" and event.get("final") is not False:
            self._talking += one.said == 0
            one.said += 1
        if self._talking > 1:
            self._events.clear()
        elif kind in _SPOKEN:
            self._events.append({**{name: event.get(name) for name in _NEEDED}, "key": (room, session)})

    def only(self) -> list[dict[str, Any]]:
        """What matters of the one session; raises `Failed` with a list where there are several."""
        talking = [one for one in self._sessions.values() if one.said]
        if len(talking) <= 1:
            wanted = talking[0] if talking else None
            first = [{"timestamp": wanted.first}] if wanted else []
            return first + [one for one in self._events if wanted and _same(one["key"], wanted)]
        lines = [_line(one) for one in sorted(talking, key=lambda one: one.first or 0.0)]
        which = f", the newest {_LISTED} are" if len(lines) > _LISTED else ""
        raise Failed(
            "\n".join([f"there are {len(lines):,} sessions: choose one with --session{which}", *lines[-_LISTED:]]),
            USAGE,
        )


def _same(key: Key, one: _Session) -> bool:
    room, session = key
    return session == one.session and (session is not None or room == one.room)


def _line(one: _Session) -> str:
    name = plain(one.session) if one.session is not None else "(no session; choose it with --room)"
    when = f"{_moment(one.first)} to {_moment(one.last)}"
    return f"  {name}  room {plain(one.room or '(none)')}  {when}  {count(one.said, 'transcript')}"


def _moment(stamp: float | None) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stamp)) if stamp is not None else "?"
    except (OverflowError, ValueError, OSError):
        return "?"


def render(events: list[dict[str, Any]], form: str) -> tuple[str, int]:
    """The conversation as srt, vtt or txt, and how many cues it has."""
    cues = captions.cues(events)
    write = {"srt": captions.srt, "vtt": captions.vtt, "txt": captions.txt}[form]
    return write(cues), len(cues)
