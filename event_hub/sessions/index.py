"""Which session each event belongs to. Pure.

A session is what its events call it: a room and a name. Where they name only a room, it is the newest session of that
room; where only a session, the first that had the name. The page's `state.js` goes by the same rules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from ..events import KNOWN
from .session import NOWHERE, ROOM, Session
from .values import Event

LIMIT = 10_000
"""Sessions that are known at once: those with the newest events."""

_Key = tuple[str | None, str | None]
_PROCESS = frozenset({"agent_process_started", "agent_process_exited", "events_dropped"})


def _name(event: Event, field: str) -> str | None:
    value = event.get(field)
    return value if isinstance(value, str) and value else None


class Sessions:
    """All sessions of a history, as summaries; its events are given to `take` in their order."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.forgotten = 0
        """Sessions that had to be given up, beyond the limit."""
        self._limit = limit
        self._sessions: OrderedDict[_Key, Session] = OrderedDict()
        self._latest: dict[str, Session] = {}
        self._named: dict[str, list[Session]] = {}
        self._run_by: dict[str, dict[Session, None]] = {}
        """By the id of an agent's process, the sessions that it runs."""
        self._awake: dict[str, dict[_Key, Session]] = {}
        """Of each room the sessions that have had an event since LiveKit closed it: those that its next end concerns."""

    def __len__(self) -> int:
        return len(self._sessions)

    def newest(self) -> Iterator[Session]:
        """The one with the newest event first."""
        return reversed(self._sessions.values())

    def find(self, id: str, room: str | None = None) -> list[Session]:
        """Those with this id (of this room), the one with the newest event first."""
        found = list(self._named.get(id, ()))
        if id == NOWHERE or id.startswith(ROOM):
            nameless = self._sessions.get((None if id == NOWHERE else id.removeprefix(ROOM), None))
            found += [nameless] if nameless else []
        found = [one for one in found if room is None or one.room == room]
        return sorted(found, key=lambda one: -one.last)

    def forget_before(self, floor: int) -> None:
        """Give up the sessions none of whose events are after offset `floor`."""
        for session in [one for one in self._sessions.values() if one.last <= floor]:
            self._forget(session)

    def take(self, event: Event, offset: int) -> Session | None:
        """The event at `offset`; returns its session, None where it belongs to none."""
        session = self._of(event, offset)
        if session is not None:
            self._give(session, event, offset)
        if event["type"] == "agent_process_exited":
            for one in self._run_by.pop(_name(event, "agent") or "", {}):
                one.process_exited(event)
                one.exits.append((offset, event))
                one.touched = offset
        return session

    def _give(self, session: Session, event: Event, offset: int) -> None:
        before = session.process
        session.take(event, offset)
        if session.process != before:
            self._leave(before, session)
            if session.process is not None:
                self._run_by.setdefault(session.process, {})[session] = None
        room = session.room
        if room is not None:
            if event["type"] == "livekit_room_finished" and event.get("room") == room:
                for other in self._awake.pop(room, {}).values():
                    if other is not session:
                        other.room_finished(event)
                        other.touched, other.nameless = offset, True
            else:
                self._awake.setdefault(room, {})[room, session.session] = session

    def _of(self, event: Event, offset: int) -> Session | None:
        room, name = _name(event, "room"), _name(event, "session")
        if room is None and name is None:
            kind: Any = event["type"]
            # What an agent's process says of itself belongs to no conversation.
            if kind in _PROCESS or "agent_id" in event or not (kind in KNOWN or kind.startswith("livekit_")):
                return None
        session = self._find(room, name, offset) or self._begin(room, name, offset)
        self._sessions.move_to_end((session.room, session.session))
        return session

    def _find(self, room: str | None, name: str | None, offset: int) -> Session | None:
        if name is None:
            return self._sessions.get((None, None)) if room is None else self._latest.get(room)
        if room is None:
            return next(iter(self._named.get(name, ())), None)
        found = self._sessions.get((room, name))
        if found is not None:
            return found
        roomless = self._sessions.get((None, name))
        if roomless is not None:
            roomless.since = offset
            return self._rename(roomless, room, name, offset)
        # What came of a room before its session was known belongs to that session, unless somebody spoke in it. (If it is
        # the room's newest no more, another session has come to the room meanwhile.)
        nameless = self._latest.get(room)
        if nameless is None or nameless.session is not None or nameless.spoke:
            return None
        return self._rename(nameless, room, name, offset)

    def _rename(self, session: Session, room: str, name: str, offset: int) -> Session:
        del self._sessions[session.room, session.session]
        self._sleep(session)
        if session.session is not None:
            self._named[session.session].remove(session)
        session.room, session.session = room, name
        self._file(session, offset)
        return session

    def _begin(self, room: str | None, name: str | None, offset: int) -> Session:
        session = Session(room, name)
        if len(self._sessions) >= self._limit:
            self._forget_some()
        session.since = offset
        self._file(session, offset)
        return session

    def _file(self, session: Session, offset: int) -> None:
        room, name = session.room, session.session
        self._sessions[room, name] = session
        if room is not None:
            before = self._latest.get(room)
            if before is not None and before is not session and before.until is None:
                before.until = offset
            self._latest[room] = session
        if name is not None:
            namesakes = self._named.setdefault(name, [])
            session.first_name = not namesakes
            namesakes.append(session)

    def _forget_some(self) -> None:
        """A hundredth at a time, so that it is seldom: those that have been quiet longest, ended ones first."""
        count = max(1, self._limit // 100)
        everybody = list(self._sessions.values())
        ended = [one for one in everybody if one.ended][:count]
        for session in ended or everybody[:count]:
            self._forget(session)
            self.forgotten += 1

    def _leave(self, process: str | None, session: Session) -> None:
        of_process = self._run_by.get(process or "", {})
        of_process.pop(session, None)
        if process is not None and not of_process:
            self._run_by.pop(process, None)

    def _forget(self, session: Session) -> None:
        self._leave(session.process, session)
        del self._sessions[session.room, session.session]
        self._sleep(session)
        if session.room is not None and self._latest.get(session.room) is session:
            del self._latest[session.room]
        if session.session is not None:
            namesakes = self._named[session.session]
            namesakes.remove(session)
            if not namesakes:
                del self._named[session.session]

    def _sleep(self, session: Session) -> None:
        of_room = self._awake.get(session.room or "", {})
        if of_room.pop((session.room, session.session), None) is not None and not of_room:
            del self._awake[session.room or ""]


def retell(session: Session, event: Event, offset: int, whole: Session) -> bool:
    """Give `whole` the event at `offset` if it is one of those that made up `session`, as a `Sessions` has it; returns
    whether it is the session's own."""
    own = belongs(event, offset, session)
    if own:
        whole.take(event, offset)
    if event["type"] == "agent_process_exited" and whole.process == (_name(event, "agent") or ""):
        whole.process_exited(event)
    if own:
        return True
    ends_all = event["type"] == "livekit_room_finished" and _name(event, "room") == (session.room or "")
    if ends_all and whole.first and offset > session.since:
        whole.room_finished(event)
    return False


def belongs(event: Event, offset: int, session: Session) -> bool:
    """Whether the event at `offset` is one of those that made up `session`, as a `Sessions` has it."""
    room, name = _name(event, "room"), _name(event, "session")
    if name is not None:
        return name == session.session and (room == session.room if room is not None else session.first_name)
    if room is not None:
        return room == session.room and session.since <= offset < (session.until or offset + 1)
    if session.room is not None or session.session is not None:
        return False
    kind = event["type"]
    return kind not in _PROCESS and "agent_id" not in event and (kind in KNOWN or kind.startswith("livekit_"))
