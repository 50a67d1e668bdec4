"""Which session each event belongs to. Pure.

Events name a session by its room and its name. An event that names only a room belongs to the newest session of that room;
one that names only a session, to the first session of that name. The page's `state.js` has the same rules.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from ..events import KNOWN
from .fields import Event, name
from .session import NOWHERE, ROOM, Session
from .shelf import Shelf

LIMIT = 10_000
"""Sessions that are in memory: those with the newest events."""
NAMESAKES = 100
"""Sessions of one name that are found: people have to choose among them."""

_Key = tuple[str | None, str | None]
_PROCESS = frozenset({"agent_process_started", "agent_process_exited", "events_dropped"})


class Sessions:
    """All sessions of a history, as summaries. Give its events to `take` in their order.

    Without a shelf, it knows the `limit` of sessions with the newest events. With one, it knows all of them: the owner of
    the shelf puts away what `changed`, and calls `unload`.
    """

    def __init__(self, limit: int = LIMIT, shelf: Shelf | None = None) -> None:
        self.forgotten = 0
        """Sessions that were forgotten because there were too many."""
        self.changed: dict[int, Session] = {}
        """With a shelf: the sessions that have changed, by the offsets of their first events."""
        self._limit = limit
        self._shelf = shelf
        self._loaded: dict[int, Session] = {}
        """With a shelf: the sessions in memory, likewise."""
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
        """Those in memory, newest events first."""
        return reversed(self._sessions.values())

    def find(self, id: str, room: str | None = None) -> list[Session]:
        """Those with this id (in this room), newest events first."""
        if self._shelf is not None:
            self._fetch(self._shelf.of_name(id, NAMESAKES) if room is None else self._shelf.of_names(room, id))
        found = list(self._named.get(id, ()))
        if id == NOWHERE or id.startswith(ROOM):
            nameless = self._get(None if id == NOWHERE else id.removeprefix(ROOM), None)
            found += [nameless] if nameless else []
        found = [session for session in found if room is None or session.room == room]
        return sorted(found, key=lambda session: -session.last)

    def ended_by(self, offset: int) -> list[Session]:
        """Those that the event at `offset` ended."""
        if self._shelf is not None:
            self._fetch(self._shelf.ended_by(offset))
        return [session for session in self._sessions.values() if session.ended_by == offset]

    def of_job(self, job: str) -> Session | None:
        """The session of LiveKit's job."""
        if self._shelf is not None and job not in self._of_job:
            self._fetch(self._shelf.of_job(job)[:1])
        return self._of_job.get(job)

    def forget_before(self, floor: int) -> None:
        """Forget the sessions that have no event after offset `floor`."""
        for session in [session for session in self._sessions.values() if session.last <= floor]:
            self._forget(session)

    def unload(self) -> None:
        """With a shelf: those that are too many for the memory are only on the shelf from now on."""
        while len(self._sessions) > self._limit:
            self._forget(next(iter(self._sessions.values())))

    def drop(self, first: int) -> None:
        """With a shelf: this session is only on the shelf from now on."""
        if (session := self._loaded.get(first)) is not None:
            self._forget(session)

    def awake(self, session: Session) -> bool:
        """Whether it ends when LiveKit closes its room."""
        return (session.room, session.session) in self._awake.get(session.room or "", ())

    def take(self, event: Event, offset: int) -> Session | None:
        """Take the event at `offset`. Returns its session, or None if it belongs to none."""
        session = self._of(event, offset)
        if session is not None:
            self._give(session, event, offset)
        if event["type"] == "agent_process_exited":
            process = name(event, "agent") or ""
            if self._shelf is not None:
                self._fetch(self._shelf.of_process(process))
            for running in self._run_by.pop(process, {}):
                running.process_exited(event, offset)
                running.exits.append((offset, event))
                running.touched = offset
                self._note(running)
        return session

    def _note(self, session: Session) -> None:
        """It has changed."""
        if self._shelf is not None:
            self.changed[session.first] = self._loaded[session.first] = session

    def _fetch(self, firsts: Sequence[int]) -> None:
        """Load the sessions that begin at these offsets, unless they are in memory."""
        assert self._shelf is not None
        for first in firsts:
            if first in self._loaded:
                continue
            session, awake = self._shelf.load(first)
            key = session.room, session.session
            self._sessions[key] = self._loaded[first] = session
            if session.room is not None and session.until is None:
                self._latest.setdefault(session.room, session)
            if session.session is not None:
                self._named.setdefault(session.session, []).append(session)
            if session.process is not None:
                self._run_by.setdefault(session.process, {})[session] = None
            if session.job is not None:
                self._of_job.setdefault(session.job, session)
            if awake:
                self._awake.setdefault(session.room or "", {})[key] = session

    def _get(self, room: str | None, label: str | None) -> Session | None:
        """The session of these names."""
        found = self._sessions.get((room, label))
        if found is None and self._shelf is not None:
            self._fetch(self._shelf.of_names(room, label))
            found = self._sessions.get((room, label))
        return found

    def _newest_of_room(self, room: str) -> Session | None:
        """The session to which events belong that name only this room."""
        found = self._latest.get(room)
        if found is None and self._shelf is not None:
            self._fetch(self._shelf.newest_of_room(room))
            found = self._latest.get(room)
        return found

    def _first_of_name(self, label: str) -> Session | None:
        """The session to which events belong that name only it, and no room."""
        if self._shelf is None:
            return next(iter(self._named.get(label, ())), None)
        self._fetch(self._shelf.of_name(label, 1))
        return min(self._named.get(label, ()), key=lambda one: (not one.first_name, one.since), default=None)

    def _give(self, session: Session, event: Event, offset: int) -> None:
        before = session.process
        session.take(event, offset)
        self._note(session)
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
                if self._shelf is not None:
                    self._fetch(self._shelf.awake_in(room))
                for other in self._awake.pop(room, {}).values():
                    if other is not session:
                        other.room_finished(event, offset)
                        other.touched, other.nameless = offset, True
                        self._note(other)
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
            return self._get(None, None) if room is None else self._newest_of_room(room)
        if room is None:
            return self._first_of_name(label)
        found = self._get(room, label)
        if found is not None:
            return found
        roomless = self._get(None, label)
        if roomless is not None:
            roomless.since = offset
            return self._rename(roomless, room, label, offset)
        # Events of a room before its session had a name belong to that session, unless something was said before. (If they
        # are not the room's newest session, another session has come to the room since.)
        nameless = self._newest_of_room(room)
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
        session = Session(room, label, timed=self._shelf is not None)
        if self._shelf is None and len(self._sessions) >= self._limit:
            self._forget_some()
        session.since = offset
        self._file(session, offset)
        return session

    def _file(self, session: Session, offset: int) -> None:
        room, label = session.room, session.session
        self._sessions[room, label] = session
        if room is not None:
            before = self._newest_of_room(room)
            if before is not None and before is not session and before.until is None:
                before.until = offset
                self._note(before)
            self._latest[room] = session
        if label is not None:
            namesakes = self._named.setdefault(label, [])
            shelved = self._shelf.of_name(label, 2) if self._shelf is not None else ()
            session.first_name = not namesakes and all(first == session.first for first in shelved)
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
        self._loaded.pop(session.first, None)
        self.changed.pop(session.first, None)
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
