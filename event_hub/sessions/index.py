"""Which session each event belongs to. Pure.

Events name a session by its room and its name. An event that names only a room belongs to the newest session of that room;
one that names only a session, to the first session of that name. The page's `state.js` has the same rules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from ..events import KNOWN
from .fields import Event, name
from .session import NOWHERE, ROOM, Session

LIMIT = 10_000
"""Sessions that are known: those with the newest events."""

_Key = tuple[str | None, str | None]
_PROCESS = frozenset({"agent_process_started", "agent_process_exited", "events_dropped"})


class Sessions:
    """All sessions of a history, as summaries. Give its events to `take` in their order."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.forgotten = 0
        """Sessions that were forgotten because there were too many."""
        self._limit = limit
        self._sessions: OrderedDict[_Key, Session] = OrderedDict()
        self._latest: dict[str, Session] = {}
        self._named: dict[str, list[Session]] = {}
        self._run_by: dict[str, dict[Session, None]] = {}
        """The sessions that an agent process runs, by its id."""
        self._of_job: dict[str, Session] = {}
        """The session of each job: the one that its agent told, if it told any."""
        self._awake: dict[str, dict[_Key, Session]] = {}
        """By room, the sessions with an event since LiveKit last closed it: when it is closed again, these end."""

    def __len__(self) -> int:
        return len(self._sessions)

    def newest(self) -> Iterator[Session]:
        """All of them, newest events first."""
        return reversed(self._sessions.values())

    def find(self, id: str, room: str | None = None) -> list[Session]:
        """Those with this id (in this room), newest events first."""
        found = list(self._named.get(id, ()))
        if id == NOWHERE or id.startswith(ROOM):
            nameless = self._sessions.get((None if id == NOWHERE else id.removeprefix(ROOM), None))
            found += [nameless] if nameless else []
        found = [session for session in found if room is None or session.room == room]
        return sorted(found, key=lambda session: -session.last)

    def ended_by(self, offset: int) -> list[Session]:
        """Those that the event at `offset` ended."""
        return [session for session in self._sessions.values() if session.ended_by == offset]

    def of_job(self, job: str) -> Session | None:
        """The session of LiveKit's job."""
        return self._of_job.get(job)

    def forget_before(self, floor: int) -> None:
        """Forget the sessions that have no event after offset `floor`."""
        for session in [session for session in self._sessions.values() if session.last <= floor]:
            self._forget(session)

    def take(self, event: Event, offset: int) -> Session | None:
        """Take the event at `offset`. Returns its session, or None if it belongs to none."""
        session = self._of(event, offset)
        if session is not None:
            self._give(session, event, offset)
        if event["type"] == "agent_process_exited":
            for running in self._run_by.pop(name(event, "agent") or "", {}):
                running.process_exited(event, offset)
                running.exits.append((offset, event))
                running.touched = offset
        return session

    def _give(self, session: Session, event: Event, offset: int) -> None:
        before = session.process
        session.take(event, offset)
        if session.job is not None and event["type"] == "session_started":
            known = self._of_job.get(session.job)
            if known is None or known.told:
                self._of_job[session.job] = session
        if session.process != before:
            self._leave(before, session)
            if session.process is not None:
                self._run_by.setdefault(session.process, {})[session] = None
        room = session.room
        if room is not None:
            if event["type"] == "livekit_room_finished" and event.get("room") == room:
                for other in self._awake.pop(room, {}).values():
                    if other is not session:
                        other.room_finished(event, offset)
                        other.touched, other.nameless = offset, True
            else:
                self._awake.setdefault(room, {})[room, session.session] = session

    def _of(self, event: Event, offset: int) -> Session | None:
        room, label = name(event, "room"), name(event, "session")
        if room is None and label is None:
            kind: Any = event["type"]
            # Events of an agent's process belong to no conversation.
            if kind in _PROCESS or "agent_id" in event or not (kind in KNOWN or kind.startswith("livekit_")):
                return None
        session = self._find(room, label, offset) or self._begin(room, label, offset)
        self._sessions.move_to_end((session.room, session.session))
        return session

    def _find(self, room: str | None, label: str | None, offset: int) -> Session | None:
        if label is None:
            return self._sessions.get((None, None)) if room is None else self._latest.get(room)
        if room is None:
            return next(iter(self._named.get(label, ())), None)
        found = self._sessions.get((room, label))
        if found is not None:
            return found
        roomless = self._sessions.get((None, label))
        if roomless is not None:
            roomless.since = offset
            return self._rename(roomless, room, label, offset)
        # Events of a room before its session had a name belong to that session, unless something was said before. (If they
        # are not the room's newest session, another session has come to the room since.)
        nameless = self._latest.get(room)
        if nameless is None or nameless.session is not None or nameless.spoke:
            return None
        return self._rename(nameless, room, label, offset)

    def _rename(self, session: Session, room: str, label: str, offset: int) -> Session:
        del self._sessions[session.room, session.session]
        self._sleep(session)
        if session.session is not None:
            self._named[session.session].remove(session)
        session.room, session.session = room, label
        self._file(session, offset)
        return session

    def _begin(self, room: str | None, label: str | None, offset: int) -> Session:
        session = Session(room, label)
        if len(self._sessions) >= self._limit:
            self._forget_some()
        session.since = offset
        self._file(session, offset)
        return session

    def _file(self, session: Session, offset: int) -> None:
        room, label = session.room, session.session
        self._sessions[room, label] = session
        if room is not None:
            before = self._latest.get(room)
            if before is not None and before is not session and before.until is None:
                before.until = offset
            self._latest[room] = session
        if label is not None:
            namesakes = self._named.setdefault(label, [])
            session.first_name = not namesakes
            namesakes.append(session)

    def _forget_some(self) -> None:
        """Forget the least recently active, ended ones first; a hundredth at a time, so that this is rare."""
        count = max(1, self._limit // 100)
        oldest_first = list(self._sessions.values())
        ended = [session for session in oldest_first if session.ended][:count]
        for session in ended or oldest_first[:count]:
            self._forget(session)
            self.forgotten += 1

    def _leave(self, process: str | None, session: Session) -> None:
        of_process = self._run_by.get(process or "", {})
        of_process.pop(session, None)
        if process is not None and not of_process:
            self._run_by.pop(process, None)

    def _forget(self, session: Session) -> None:
        self._leave(session.process, session)
        if session.job is not None and self._of_job.get(session.job) is session:
            del self._of_job[session.job]
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


def replay_into(session: Session, event: Event, offset: int, whole: Session) -> bool:
    """Give `whole` the event at `offset` if it concerns `session`, a summary of the same session. Returns whether the event
    belongs to it."""
    own = belongs(event, offset, session)
    if own:
        whole.take(event, offset)
    if event["type"] == "agent_process_exited" and whole.process == (name(event, "agent") or ""):
        whole.process_exited(event, offset)
    if own:
        return True
    ends_all = event["type"] == "livekit_room_finished" and name(event, "room") == (session.room or "")
    if ends_all and whole.first and offset > session.since:
        whole.room_finished(event, offset)
    return False


def belongs(event: Event, offset: int, session: Session) -> bool:
    """Whether the event at `offset` belongs to `session`, a summary from `Sessions`."""
    room, label = name(event, "room"), name(event, "session")
    if label is not None:
        return label == session.session and (room == session.room if room is not None else session.first_name)
    if room is not None:
        return room == session.room and session.since <= offset < (session.until or offset + 1)
    if session.room is not None or session.session is not None:
        return False
    kind = event["type"]
    return kind not in _PROCESS and "agent_id" not in event and (kind in KNOWN or kind.startswith("livekit_"))
