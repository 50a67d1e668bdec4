"""From the events of a POST to the drafts that are stored: validated, encoded once, and within the publisher's grant."""

from __future__ import annotations

from typing import Any

import msgspec

from .. import events as vocabulary
from .. import sse
from .access.principal import Principal
from .errors import RequestError
from .filters import Scope
from .history import Draft
from .history.base import new_tuple

_encoder = msgspec.json.Encoder()


def drafts_of(events: list[Any], now: float, by: Principal, most: int, *, batch: bool) -> list[Draft]:
    """The drafts of all of `events`, published by `by`; raises `RequestError` for the first that is refused.

    Fills in `timestamp` with `now` where it is missing. `most`: the maximum size of an event in bytes. With `batch`, an
    error names the index of the event.
    """
    if len(events) > 1 and by.grant.publish is None:
        drafts = _all_at_once(events, now, most)
        if drafts is not None:
            return drafts
    drafts = []
    for index, event in enumerate(events):
        try:
            drafts.append(_draft(event, now, by, most))
        except RequestError as error:
            if batch:
                error.more["index"] = index
                error.detail = f"event {index} of {len(events)}: {error.detail}"
            raise
    return drafts


def _all_at_once(events: list[Any], now: float, most: int) -> list[Draft] | None:
    """The same for a publisher that may publish everything, in half the time; None if an event is to be refused."""
    for event in events:
        if type(event) is not dict:
            return None
        if event.get("timestamp") is None:
            event["timestamp"] = now
    try:
        lines = sse.one_line(_encoder.encode_lines(events)).split(b"\n")
    except (RecursionError, ValueError):
        return None
    lines.pop()  # after the last line break; there are none within JSON
    if max(map(len, lines)) > most or not vocabulary.all_valid(events):
        return None
    drafts = []
    for event, data in zip(events, lines, strict=True):
        get = event.get
        id = get("event_id")
        if id is not None:
            id = _stored_id(id, None, None)
        drafts.append(new_tuple(Draft, (event["type"], get("room"), get("session"), id, data)))
    return drafts


def _draft(event: Any, now: float, by: Principal, most: int) -> Draft:
    if type(event) is dict and event.get("timestamp") is None:
        event["timestamp"] = now
    try:
        data = sse.one_line(msgspec.json.encode(event))
    except (RecursionError, ValueError) as error:
        raise RequestError("bad_json", f"the event cannot be written as JSON: {error}") from None
    if len(data) > most:
        raise RequestError(
            "event_too_large", f"the event takes {len(data)} bytes as JSON, the limit is {most}", limit=most
        )
    try:
        vocabulary.check(event)  # after the size: describing what is wrong in a large event can take long
    except vocabulary.InvalidEvent as error:
        code = "hub_only_type" if error.hub_only else "bad_event"
        raise RequestError(code, str(error).removeprefix(": "), field=error.field) from None
    room, session, id = event.get("room"), event.get("session"), event.get("event_id")
    scope = by.grant.publish
    if scope is not None and not scope.contains(room, session):
        where = f"to room {room}" if room is not None else "events without a room"
        raise RequestError("forbidden", f"{by.label} may not publish {where}", field="room")
    return Draft(event["type"], room, session, None if id is None else _stored_id(id, room, scope), data)


def _stored_id(id: str, room: str | None, scope: Scope | None) -> str:
    """The id by which an event is known in the history. A publisher that is limited to rooms has ids of its own in each:
    otherwise it could learn of, and pre-empt, those of events in other rooms. No two such ids are equal, whatever
    characters are in them."""
    if scope is not None:
        return "\0" + msgspec.json.encode((room, id)).decode()
    return "\0" + id if id.startswith("\0") else id
