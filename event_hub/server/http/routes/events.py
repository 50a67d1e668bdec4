"""`GET /api/events`: the history, a page at a time, or all of it as NDJSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Response, request

from .... import sse
from ....sse import Cursor
from ...access.principal import principal_of
from ...cooperate import TimeSlice
from ...errors import RequestError
from ...filters import Filter
from ...history import HistoryPage, HistoryReader, Record
from ...history.searched import SearchedHistory
from ...hub import EventHub
from ...streaming.start import PAGE, Start, resume
from ..hang_up import cut
from ..queries import EventsQuery, parse

_SCANS = 20
"""Maximum reads from the history per page. With a filter that matches few events, a page can be short, with `more`."""


def events(hub: EventHub) -> Response:
    """One page of the history, or an export, as the request's query and `Accept` header say."""
    query = parse(EventsQuery, request.args)
    if query.past and (query.after or query.before):
        text = "past: works only for the newest page, without after and before"
        raise RequestError("bad_parameter", text, field="past")
    filter = principal_of(request.environ).visible(query.filter())
    if query.past and query.text:
        raise RequestError("bad_parameter", "past: works only without text", field="past")
    history = SearchedHistory(hub.history, query.text) if query.text else hub.history
    start = _start("after", query.after, filter, history)
    until = _until(query.before, history) if query.before else history.head
    wants = request.accept_mimetypes.best_match(["application/json", "application/x-ndjson"])
    with hub.history_health.reading():
        if wants == "application/x-ndjson":
            return Response(
                _export(hub, history, start, until, filter, request.environ),
                mimetype="application/x-ndjson",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        if query.past:
            key = (filter, query.limit, query.past)
            body = hub.condensed.response(key, lambda time_slice: _with_past(hub, query, filter, time_slice))
        else:
            body = msgspec.json.encode(_page(history, query, filter, start, until))
        return Response(body + b"\n", mimetype="application/json", headers={"Cache-Control": "no-store"})


def _until(text: str, history: HistoryReader) -> int:
    """The offset of the last event before the cursor `text`."""
    cursor = Cursor.parse(text)
    survived = history.survived(cursor) if cursor else None
    if survived is None:
        raise RequestError("bad_cursor", "before must be the id of an event in this history", field="before")
    offset, whole = survived
    return max(history.floor, min(history.head, offset - whole))


def _start(name: str, text: str, filter: Filter, history: HistoryReader) -> Start:
    if not text:
        return Start(history.floor)
    if Cursor.parse(text) is None:
        raise RequestError(
            "bad_cursor", f"{name} must be the id of an event, such as {history.cursor(history.head)}", field=name
        )
    return resume(text, filter, history)


_STEP = 500
"""A page with a past starts at a multiple of this number, at least `limit` events from the head, so that many pages share
one past, which is read only once."""


def _with_past(hub: EventHub, query: EventsQuery, filter: Filter, time_slice: TimeSlice) -> bytes:
    """The newest page, and the condensed past that precedes it."""
    history = hub.history
    head, floor = history.head, history.floor
    records, through, _ = _backwards(history, head, filter, query.limit, time_slice=time_slice)
    more: list[Record] = []
    begin = through  # everything before was not examined: it is the past
    if len(records) >= query.limit:
        end = records[0].offset - 1
        begin = max(floor, end // _STEP * _STEP)
        more, _, _ = _backwards(history, end, filter, _STEP, begin, time_slice=time_slice)
    past = hub.condensed.past(filter, begin, query.past, time_slice)
    cursor = history.cursor
    return msgspec.json.encode(
        {
            "events": _items(history, [*more, *records]),
            "more": begin > floor,
            "after": str(cursor(head)),
            "before": str(cursor(begin + 1)),
            "cursor": str(cursor(history.head)),
            "past": _items(history, past.records),
            "past_more": past.more,
        }
    )


def _items(history: HistoryReader, records: list[Record]) -> list[dict[str, Any]]:
    cursor = history.cursor
    return [{"id": str(cursor(r.offset)), "event": msgspec.Raw(r.data)} for r in records]


def _page(history: HistoryReader, query: EventsQuery, filter: Filter, start: Start, until: int) -> dict[str, Any]:
    if query.after:
        records, through, more = _forwards(history, start.offset, until, filter, query.limit)
    else:
        records, through, more = _backwards(history, until, filter, query.limit, time_slice=TimeSlice())
    cursor = history.cursor
    page: dict[str, Any] = {
        "events": _items(history, records),
        "more": more,
        "after": str(cursor(through if query.after else until)),
        "before": str(cursor(records[0].offset if query.after and records else through + 1)),
        "cursor": str(cursor(history.head)),
    }
    if start.gap:
        page["gap"] = start.gap.fields()
    return page


def _forwards(
    history: HistoryReader, after: int, until: int, filter: Filter, limit: int
) -> tuple[list[Record], int, bool]:
    records: list[Record] = []
    time_slice = TimeSlice()
    for _ in range(_SCANS):
        page = history.after(after, until, filter, limit - len(records))
        if records and history.floor > after:
            break  # retention has removed some of that meanwhile: the next page reports the gap
        records += page.records
        after = page.through
        if len(records) >= limit or after >= until:
            break
        time_slice.pause_if_due()
    return records, after, after < until


def _backwards(
    history: HistoryReader,
    offset: int,
    filter: Filter,
    limit: int,
    least: int | None = None,
    *,
    time_slice: TimeSlice,
) -> tuple[list[Record], int, bool]:
    """The newest `limit` matching events up to `offset`, the offset down to which events were examined, and whether there
    are more. With `least`, which must be near, everything down to it is examined; otherwise at most `_SCANS` reads."""
    records: list[Record] = []
    looks = 0
    bounded = least is None
    least = least or 0
    while offset > least and not (bounded and looks >= _SCANS):
        looks += 1
        page: HistoryPage = history.before(offset, filter, limit - len(records))
        records += page.records
        offset = page.through
        if len(records) >= limit or offset <= max(history.floor, least):
            break
        time_slice.pause_if_due()
    if not bounded:
        records = [record for record in records if record.offset > least]
    return records[::-1], max(offset, history.floor), offset > history.floor


def _export(
    hub: EventHub, history: HistoryReader, start: Start, until: int, filter: Filter, environ: dict[str, Any]
) -> Iterator[bytes]:
    """The events as posted, one per line, so that an export can be posted again, and a line per gap. Holds one page in
    memory. Once the principal's access has ended, so does the export, within a page and before it is complete."""
    after, principal = start.offset, principal_of(environ)
    time_slice = TimeSlice()
    gap = start.gap
    while after < until or gap:
        if gap := gap or history.retention_gap(after, filter):
            yield msgspec.json.encode({"type": "stream_gap", **gap.fields()}) + b"\n"
            after, gap = gap.to.offset, None
            continue
        page = history.after(after, until, filter, PAGE)
        if history.floor > after:
            continue  # retention has removed some of that meanwhile
        if hub.broadcast.why_ended(principal) is not None:
            raise cut(environ)
        after = page.through
        if page.records:
            yield b"\n".join([*(sse.one_line(record.data) for record in page.records), b""])
        time_slice.pause_if_due()
