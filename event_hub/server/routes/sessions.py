"""`/api/sessions…` and `/api/rooms`: what the events add up to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Response, request

from ...events import captions
from ...sessions import Samples, Session, Sessions
from ...sessions.transcripts import entries, markdown
from ...sse import Cursor
from ..breath import rested
from ..errors import HubError
from ..filters import Filter
from ..history import HistoryError
from ..hub import Hub
from ..queries import RoomsQuery, SessionQuery, SessionsQuery, parse
from ..replay import Wish, resume

FORMS = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
"""The forms of a transcript, and their media types."""
_CAPTIONS: dict[str, Callable[[Iterable[captions.Cue]], str]] = {
    "txt": captions.txt,
    "srt": captions.srt,
    "vtt": captions.vtt,
}


def sessions(hub: Hub) -> Response:
    """The sessions, those with the newest events first, without their conversations."""
    query = parse(SessionsQuery, request.args)
    with _sessions(hub) as (known, through):
        end = _before(hub, query.before)
        listed: list[dict[str, Any]] = []
        more = False
        for session in rested(_matching(hub, known, query)):
            if session.last >= end:
                continue
            if len(listed) == query.limit:
                more = True
                break
            listed.append(_summary(hub, session))
        answer = {"sessions": listed, "more": more, "forgotten": known.forgotten, "cursor": _cursor(hub, through)}
        return _json(msgspec.json.encode(answer))


def rooms(hub: Hub) -> Response:
    """Each room with what its sessions add up to, the one with the newest event first."""
    query = parse(RoomsQuery, request.args)
    with _sessions(hub) as (known, through):
        groups: dict[str | None, list[Session]] = {}
        more = False
        for session in rested(_matching(hub, known, query)):
            if session.room not in groups and len(groups) == query.limit:
                more = True
                continue
            groups.setdefault(session.room, []).append(session)
        listed = [_room(room, of_room) for room, of_room in groups.items()]
        return _json(msgspec.json.encode({"rooms": listed, "more": more, "cursor": _cursor(hub, through)}))


def session(hub: Hub, id: str) -> Response:
    """One session: states, turns, conversation, and the place in the stream from which to go on."""
    with _found(hub, id) as (one, through):
        _, inside = hub.sessions.whole(one)
        return _json(_about(hub, one, through)[:-1] + b"," + inside[1:])


def transcript(hub: Hub, id: str, form: str) -> Response:
    """What was said in one session, in one of the `FORMS`."""
    if form not in FORMS:
        raise HubError("not_found", f"a transcript is to be had as {', '.join(FORMS)}, not as {form[:20]}")
    with _found(hub, id) as (one, through):
        if form in _CAPTIONS:
            text = _CAPTIONS[form](rested(captions.cues(hub.sessions.spoken(one))))
            return _file(text.encode(), form)
        whole, _ = hub.sessions.whole(one)
        document = whole.parts()
        document["conversation"] = list(rested(document["conversation"]))
    if form == "md":
        return _file("".join(rested(markdown(document))).encode("utf-8", "replace"), form)
    about = {
        key: document[key] for key in ("id", "room", "session", "agent", "status", "started", "updated", "duration")
    }
    about["transcript"] = entries(document)
    about["forgotten"] = document["forgotten"]["items"]
    return _file(msgspec.json.encode({**about, "cursor": _cursor(hub, through)}) + b"\n", form)


@contextmanager
def _sessions(hub: Hub) -> Iterator[tuple[Sessions, int]]:
    try:
        with hub.sessions.sessions() as (known, through):
            yield known, through
    except HistoryError as error:
        hub.history_failed(error)
        raise HubError("history_unavailable", str(error)) from error


@contextmanager
def _found(hub: Hub, id: str) -> Iterator[tuple[Session, int]]:
    query = parse(SessionQuery, request.args)
    with _sessions(hub) as (known, through):
        found = known.find(id, query.room or None)
        if not found:
            where = f" in room {query.room[:256]}" if query.room else ""
            raise HubError("unknown_session", f"no event of the history is of a session {id[:256]}{where}")
        if len(found) > 1:
            rooms = [one.room for one in found]
            raise HubError("ambiguous_session", f"{len(found)} sessions are called {id[:256]}", rooms=rooms)
        yield found[0], through


def _matching(hub: Hub, known: Sessions, query: RoomsQuery) -> Iterator[Session]:
    filter = query.filter()
    since = _since(hub, query.since)
    for session in known.newest():
        if session.last <= since:
            break
        if query.status is not None and session.ended != (query.status == "ended"):
            continue
        if filter.matches("", session.room, session.session):
            yield session


def _since(hub: Hub, text: str) -> int:
    """The offset after which a session must have an event."""
    wish = Wish(since=text).check()
    if not text:
        return 0
    if Cursor.parse(text):
        return resume(text, Filter(), hub.history).offset
    moment = wish.moment(time.time())
    return 0 if moment is None else hub.history.offset_at(moment)


def _before(hub: Hub, text: str) -> float:
    if not text:
        return float("inf")
    cursor = Cursor.parse(text)
    place = hub.history.epochs.survived(cursor) if cursor else None
    if place is None:
        raise HubError("bad_cursor", "before is the `last` of a session in this list", field="before")
    return place[0]


def _cursor(hub: Hub, offset: int) -> str:
    return str(hub.history.epochs.cursor(offset))


def _places(hub: Hub, session: Session) -> dict[str, Any]:
    """Where in the history it is; `partial`: its beginning is there no more, or may not be."""
    return {
        "first": _cursor(hub, session.first),
        "last": _cursor(hub, session.last),
        "partial": hub.sessions.incomplete and not session.began,
    }


def _summary(hub: Hub, session: Session) -> dict[str, Any]:
    return {**session.summary(), **_places(hub, session)}


def _about(hub: Hub, session: Session, through: int) -> bytes:
    """What belongs to the answer and not to the session: where its events are, and where the stream goes on.

    The stream is that of its room, for what names the room alone belongs to it, too (LiveKit's webhooks); where some of
    its events name no room, all events.
    """
    cursor = _cursor(hub, through)
    wanted = {}
    if session.room is None and session.session is not None:
        wanted["session"] = session.session
    elif session.room is not None and not session.roomless:
        wanted["room"] = session.room
    stream = "/api/stream?" + urlencode({**wanted, "last_event_id": cursor})
    return msgspec.json.encode({"cursor": cursor, "stream": stream, **_places(hub, session)})


def _room(room: str | None, sessions: list[Session]) -> dict[str, Any]:
    samples = Samples()
    counts: dict[str, int] = {}
    speech = {"user": 0.0, "agent": 0.0}
    duration, updated = 0.0, None
    for session in rested(sessions):
        samples.add_all(session.samples)
        summary = session.summary()
        for name, count in summary["counts"].items():
            counts[name] = counts.get(name, 0) + count
        for who, seconds in summary["speech"].items():
            speech[who] += seconds
        duration += summary["duration"] or 0.0
        updated = max(updated or 0.0, summary["updated"]) if summary["updated"] is not None else updated
    return {
        "room": room,
        "sessions": len(sessions),
        "live": sum(not session.ended for session in sessions),
        "updated": updated,
        "duration": duration,
        "counts": counts,
        "speech": speech,
        "latency": samples.summary(),
    }


def _json(body: bytes) -> Response:
    return Response(body + b"\n", 200, {"Cache-Control": "no-store"}, mimetype="application/json")


def _file(body: bytes, form: str) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, 200, headers, content_type=FORMS[form])
