"""`GET /api/events`: the history, a page at a time, or all of it as NDJSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Response, request

from ...sse import Cursor
from ..breath import Breath
from ..errors import HubError
from ..filters import Filter
from ..history import History, HistoryError, Page, Record
from ..hub import Hub
from ..queries import EventsQuery, parse
from ..replay import PAGE, Start, resume

_SCANS = 20
"""Looks into the history for one page: with a filter that matches little, a page may come back short, with `more`."""


def events(hub: Hub) -> Response:
    """The events that the request at hand asks for."""
    query = parse(EventsQuery, request.args)
    if query.past and (query.after or query.before):
        text = "past: goes with the newest page alone, without after and before"
        raise HubError("bad_parameter", text, field="past")
    filter = query.filter()
    history = hub.history
    start = _place("after", query.after, filter, history)
    until = history.head
    if query.before:
        until = _until(query.before, history)
    wants = request.accept_mimetypes.best_match(["application/json", "application/x-ndjson"])
    try:
        if wants == "application/x-ndjson":
            return Response(
                _export(hub, start, until, filter),
                mimetype="application/x-ndjson",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        if query.past:
            body = hub.pasts.answer(query.model_dump_json(), lambda: _with_past(hub, query, filter))
        else:
            body = msgspec.json.encode(_page(history, query, filter, start, until))
        return Response(body + b"\n", mimetype="application/json", headers={"Cache-Control": "no-store"})
    except HistoryError as error:
        hub.history_failed(error)
        raise HubError("history_unavailable", str(error)) from error


def _until(text: str, history: History) -> int:
    """The offset of the last event before the cursor that `text` writes."""
    cursor = Cursor.parse(text)
    place = history.epochs.survived(cursor) if cursor else None
    if place is None:
        raise HubError("bad_cursor", "before is the id of an event of this history", field="before")
    offset, whole = place
    return max(history.floor, min(history.head, offset - whole))


def _place(name: str, text: str, filter: Filter, history: History) -> Start:
    if not text:
        return Start(history.floor)
    if Cursor.parse(text) is None:
        raise HubError(
            "bad_cursor", f"{name} is the id of an event, such as {history.epochs.cursor(history.head)}", field=name
        )
    return resume(text, filter, history)


_STEP = 500
"""A page with its past begins at a multiple of so many events, at `limit` or more from the head: so one past goes with
many pages, and is read once for all of them."""


def _with_past(hub: Hub, query: EventsQuery, filter: Filter) -> bytes:
    """The newest page, and what is left of the past that it follows on."""
    history = hub.history
    head, floor = history.head, history.floor
    records, through, _ = _backwards(history, head, filter, query.limit)
    more: list[Record] = []
    begin = through  # as far as was looked: what is before it is past
    if len(records) >= query.limit:
        end = records[0].offset - 1
        begin = max(floor, end // _STEP * _STEP)
        more, _, _ = _backwards(history, end, filter, _STEP, begin)
    past = hub.pasts.past(filter, begin, query.past)
    cursor = history.epochs.cursor
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


def _items(history: History, records: list[Record]) -> list[dict[str, Any]]:
    cursor = history.epochs.cursor
    return [{"id": str(cursor(r.offset)), "event": msgspec.Raw(r.data)} for r in records]


def _page(history: History, query: EventsQuery, filter: Filter, start: Start, until: int) -> dict[str, Any]:
    if query.after:
        records, through, more = _forwards(history, start.offset, until, filter, query.limit)
    else:
        records, through, more = _backwards(history, until, filter, query.limit)
    cursor = history.epochs.cursor
    page: dict[str, Any] = {
        "events": _items(history, records),
        "more": more,
        "after": str(cursor(through if query.after else until)),
        "before": str(cursor(records[0].offset if query.after and records else through + 1)),
        "cursor": str(cursor(history.head)),
    }
    if start.gap:
        missed, from_, reason = start.gap
        page["gap"] = {"missed": missed, "from": from_, "to": str(cursor(start.offset)), "reason": reason}
    return page


def _forwards(history: History, after: int, until: int, filter: Filter, limit: int) -> tuple[list[Record], int, bool]:
    records: list[Record] = []
    breath = Breath()
    for _ in range(_SCANS):
        page = history.after(after, until, filter, limit - len(records))
        records += page.records
        after = page.through
        if len(records) >= limit or after >= until:
            break
        breath.take()
    return records, after, after < until


def _backwards(
    history: History, offset: int, filter: Filter, limit: int, least: int | None = None
) -> tuple[list[Record], int, bool]:
    """The newest `limit` events that match, up to `offset`, and how far was looked. Down to `least`, where that is given,
    and it is to be near, there are all of them; otherwise so many looks into the history have to do."""
    records: list[Record] = []
    breath = Breath()
    looks = 0
    bounded = least is None
    least = least or 0
    while offset > least and not (bounded and looks >= _SCANS):
        looks += 1
        page: Page = history.before(offset, filter, limit - len(records))
        records += page.records
        offset = page.through
        if len(records) >= limit or offset <= max(history.floor, least):
            break
        breath.take()
    if not bounded:
        records = [record for record in records if record.offset > least]
    return records[::-1], max(offset, history.floor), offset > history.floor


def _export(hub: Hub, start: Start, until: int, filter: Filter) -> Iterator[bytes]:
    """Events as they were posted, one a line, so that the export can be posted again (but for a line that tells
    of a gap). A page at a time in memory."""
    history, after = hub.history, start.offset
    breath = Breath()
    if start.gap:
        missed, from_, reason = start.gap
        yield _gap_line(history, missed, from_, start.offset, reason)
    while after < until:
        floor = history.floor
        if floor > after:
            missed = floor - after if filter.everything else None
            yield _gap_line(history, missed, str(history.epochs.cursor(after)), floor, "retention")
            after = floor
            continue
        page = history.after(after, until, filter, PAGE)
        after = page.through
        if page.records:
            yield b"\n".join([*(record.data for record in page.records), b""])
        breath.take()


def _gap_line(history: History, missed: int | None, from_: str | None, to: int, reason: str) -> bytes:
    gap = {
        "type": "stream_gap",
        "missed": missed,
        "from": from_,
        "to": str(history.epochs.cursor(to)),
        "reason": reason,
    }
    return msgspec.json.encode(gap) + b"\n"
