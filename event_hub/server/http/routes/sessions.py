"""`/api/sessions…` and `/api/rooms`: sessions, derived from events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Response, g, request

from ....sessions import Samples, Session, Sessions, captions
from ....sessions.transcripts import entries, markdown
from ....sse import Cursor
from ...access.principal import principal_of
from ...cooperate import cooperatively
from ...errors import RequestError
from ...filters import Filter
from ...hub import EventHub
from ...indexed_sessions import IndexedSessions
from ...session_index import by_room, listing
from ...session_index.buckets import TIMED, unpack_points
from ...session_index.file import IndexFile
from ...session_reader import SessionReader
from ...streaming.start import StartRequest, resume
from ...units import seconds
from ..queries import parse
from ..session_queries import RoomsQuery, SessionQuery, SessionsQuery, TranscriptQuery

FORMS = {
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
"""The formats of a transcript, and their media types."""


def sessions(hub: EventHub) -> Response:
    """The sessions, those with the newest events first unless another order is asked for, without their conversations."""
    query = parse(SessionsQuery, request.args)
    wanted = replace(_wanted(hub, query), **_page_of(hub, query))
    with indexing(hub) as (index, through):
        page = IndexedSessions.run(lambda: listing.page(index.db, wanted, hub.clock()))
        listed = [_listed(hub, each) for each in cooperatively(page.sessions)]
    end = page.sessions[-1] if page.more else None
    answer = {
        "sessions": listed,
        "more": page.more,
        "next": None if end is None else listing.place_text(end.place, end.first),
        "searched": page.searched,
        "forgotten": 0,
        "cursor": cursor(hub, through),
    }
    return _json(msgspec.json.encode(answer))


def rooms(hub: EventHub) -> Response:
    """The rooms, those with the newest events first, with the totals of their sessions."""
    query = parse(RoomsQuery, request.args)
    wanted = _wanted(hub, query)
    with indexing(hub) as (index, through):
        groups, more = IndexedSessions.run(lambda: by_room.rooms(index.db, wanted, hub.clock()))
        listed = [_room(hub, room, of_room) for room, of_room in groups]
        return _json(msgspec.json.encode({"rooms": listed, "more": more, "cursor": cursor(hub, through)}))


def session(hub: EventHub, id: str) -> Response:
    """One session: states, turns, conversation, and the cursor after which to resume the stream."""
    with found(hub, id, parse(SessionQuery, request.args)) as (chosen, through):
        _, inside = reader(hub).whole(chosen, hub.insight.prices)
        return _json(_about(hub, chosen, through)[:-1] + b"," + inside[1:])


def transcript(hub: EventHub, id: str, form: str) -> Response:
    """The transcript of one session, in one of the `FORMS`."""
    check_form(form)
    query = parse(TranscriptQuery, request.args)
    names = query.names()
    with found(hub, id, query) as (chosen, through):
        if form in captions.FORMS:
            text = captions.FORMS[form](cooperatively(captions.cues(reader(hub).spoken(chosen), names)))
            return file(text.encode(), form)
        whole, _ = reader(hub).whole(chosen)
        document = whole.parts()
        document["conversation"] = list(cooperatively(document["conversation"]))
    if form == "md":
        return file("".join(cooperatively(markdown(document, names))).encode("utf-8", "replace"), form)
    about = {
        key: document[key] for key in ("id", "room", "session", "agent", "status", "started", "updated", "duration")
    }
    about["transcript"] = entries(document, names)
    about["forgotten"] = document["forgotten"]["items"]
    return file(msgspec.json.encode({**about, "cursor": cursor(hub, through)}) + b"\n", form)


def check_form(form: str) -> None:
    """Raise `RequestError` unless `form` is one of the `FORMS`."""
    if form not in FORMS:
        raise RequestError("not_found", f"transcripts are available as {', '.join(FORMS)}, not as {form[:20]}")


def reader(hub: EventHub) -> SessionReader:
    """The sessions that the current request may see: the same reader throughout the request, even if it is not kept."""
    if "session_reader" not in g:
        g.session_reader = hub.sessions.of(principal_of(request.environ).grant.subscribe)
    kept: SessionReader = g.session_reader
    return kept


@contextmanager
def reading(hub: EventHub) -> Iterator[tuple[Sessions, int]]:
    """The sessions that the current request may see, and the offset up to which events are included; raises `RequestError`
    if the history fails."""
    with hub.history_health.reading(), reader(hub).sessions() as (known, through):
        yield known, through


@contextmanager
def found(hub: EventHub, id: str, query: SessionQuery) -> Iterator[tuple[Session, int]]:
    """The session of this id that the current request may see, and the offset up to which its events are included; raises
    `RequestError`."""
    with reading(hub) as (known, through):
        namesakes = known.find(id, query.room or None)
        if not namesakes:
            where = f" in room {query.room[:256]}" if query.room else ""
            raise RequestError("unknown_session", f"the history has no events of session {id[:256]}{where}")
        if len(namesakes) > 1:
            rooms = [session.room for session in namesakes]
            raise RequestError("ambiguous_session", f"{len(namesakes)} sessions have the name {id[:256]}", rooms=rooms)
        yield namesakes[0], through


@contextmanager
def indexing(hub: EventHub) -> Iterator[tuple[IndexFile, int]]:
    """The index of the sessions that the current request may see, and the offset up to which events are included; raises
    `RequestError` if the history fails."""
    with hub.history_health.reading(), _indexed(hub).querying() as (index, through):
        yield index, through


def _indexed(hub: EventHub) -> IndexedSessions:
    return hub.sessions.indexed(principal_of(request.environ).grant.subscribe)


def _wanted(hub: EventHub, query: RoomsQuery) -> listing.Wanted:
    query.filter()
    return listing.Wanted(
        rooms=[each for each in query.room if each],
        sessions=[each for each in query.session if each],
        status=query.status,
        after=_since(hub, query.since),
        limit=query.limit,
    )


def _page_of(hub: EventHub, query: SessionsQuery) -> dict[str, Any]:
    """What only a list of sessions can be asked for."""
    before: tuple[float, int] | None = None
    if query.before:
        if "!" not in query.before and query.sort == "updated":
            before = _before(hub, query.before), 0
        else:
            try:
                before = listing.place_of(query.before)
            except listing.BadPlace:
                raise RequestError(
                    "bad_cursor", "before must be the `next` of a page in this order", field="before"
                ) from None
    return {
        "agents": [each for each in query.agent if each],
        "versions": [each for each in query.version if each],
        "tags": [each for each in query.tag if each],
        "has": query.has,
        "started": None if query.until is None else (0.0, query.until),
        "slow": seconds(query.slow) if query.slow else None,
        "words": query.q,
        "sort": query.sort,
        "before": before,
    }


def _since(hub: EventHub, text: str) -> int:
    """The offset after which a session must have an event."""
    wish = StartRequest(since=text).check()
    if not text:
        return 0
    if Cursor.parse(text):
        return resume(text, Filter(), hub.history).offset
    moment = wish.moment(hub.clock())
    return 0 if moment is None else hub.history.offset_at(moment)


def _before(hub: EventHub, text: str) -> float:
    if not text:
        return float("inf")
    parsed = Cursor.parse(text)
    survived = hub.history.survived(parsed) if parsed else None
    if survived is None:
        raise RequestError("bad_cursor", "before must be the `last` of a session in this list", field="before")
    return survived[0]


def cursor(hub: EventHub, offset: int) -> str:
    return str(hub.history.cursor(offset))


def _places(hub: EventHub, session: Session) -> dict[str, Any]:
    """Its first and last event in the history. `partial`: its beginning may be missing."""
    return {
        "first": cursor(hub, session.first),
        "last": cursor(hub, session.last),
        "partial": reader(hub).incomplete and not session.began,
    }


def _cost(hub: EventHub, usages: list[list[Any]]) -> dict[str, Any]:
    """What the sessions with these usages cost, if there are prices."""
    prices = hub.insight.prices
    return {} if prices is None else {"cost": prices.total(prices.cost(usage) for usage in usages)}


def _listed(hub: EventHub, listed: listing.Listed) -> dict[str, Any]:
    places = {
        "first": cursor(hub, listed.first),
        "last": cursor(hub, listed.last),
        "partial": _indexed(hub).incomplete and not listed.began,
    }
    return {**listed.summary, **places, **_cost(hub, [listed.summary["usage"]])}


def _about(hub: EventHub, session: Session, through: int) -> bytes:
    """The fields that depend on the hub: the cursors of its events, and the stream that continues it.

    The stream covers its room, because events that name only the room (LiveKit's webhooks) belong to it too. If some of
    its events name no room, it covers all events.
    """
    place = cursor(hub, through)
    wanted = {}
    if session.room is None and session.session is not None:
        wanted["session"] = session.session
    elif session.room is not None and not session.roomless:
        wanted["room"] = session.room
    stream = "/api/stream?" + urlencode({**wanted, "last_event_id": place})
    return msgspec.json.encode(
        {"cursor": place, "stream": stream, **_places(hub, session), **_cost(hub, [session.usage])}
    )


def _room(hub: EventHub, room: str | None, summaries: list[tuple[dict[str, Any], bytes]]) -> dict[str, Any]:
    samples = Samples()
    counts: dict[str, int] = {}
    speech = {"user": 0.0, "agent": 0.0}
    duration, updated = 0.0, None
    for summary, points in cooperatively(summaries):
        for figure, pairs in unpack_points(points):
            for value in pairs[1::2]:
                samples.add(TIMED[figure], value)
        for name, count in summary["counts"].items():
            counts[name] = counts.get(name, 0) + count
        for who, spoken in summary["speech"].items():
            speech[who] += spoken
        duration += summary["duration"] or 0.0
        updated = max(updated or 0.0, summary["updated"]) if summary["updated"] is not None else updated
    return {
        "room": room,
        "sessions": len(summaries),
        "live": sum(summary["status"] != "ended" for summary, _ in summaries),
        "updated": updated,
        "duration": duration,
        "counts": counts,
        "speech": speech,
        "latency": samples.summary(),
        **_cost(hub, [summary["usage"] for summary, _ in summaries]),
    }


def _json(body: bytes) -> Response:
    return Response(body + b"\n", 200, {"Cache-Control": "no-store"}, mimetype="application/json")


def file(body: bytes, form: str) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, 200, headers, content_type=FORMS[form])
