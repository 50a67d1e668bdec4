"""`GET /api/events`: the history, a page at a time, or all of it as NDJSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Response, request

from ...sse import Cursor
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
        return _page(history, query, filter, start, until)
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


def _page(history: History, query: EventsQuery, filter: Filter, start: Start, until: int) -> Response:
    if query.after:
        records, through, more = _forwards(history, start.offset, until, filter, query.limit)
    else:
        records, through, more = _backwards(history, until, filter, query.limit)
    cursor = history.epochs.cursor
    page: dict[str, Any] = {
        "events": [{"id": str(cursor(r.offset)), "event": msgspec.Raw(r.data)} for r in records],
        "more": more,
        "after": str(cursor(through if query.after else until)),
        "before": str(cursor(records[0].offset if query.after and records else through + 1)),
        "cursor": str(cursor(history.head)),
    }
    if start.gap:
        missed, from_, reason = start.gap
        page["gap"] = {"missed": missed, "from": from_, "to": str(cursor(start.offset)), "reason": reason}
    return Response(
        msgspec.json.encode(page) + b"\n", mimetype="application/json", headers={"Cache-Control": "no-store"}
    )


def _forwards(history: History, after: int, until: int, filter: Filter, limit: int) -> tuple[list[Record], int, bool]:
    records: list[Record] = []
    for _ in range(_SCANS):
        page = history.after(after, until, filter, limit - len(records))
        records += page.records
        after = page.through
        if len(records) >= limit or after >= until:
            break
        time.sleep(0)
    return records, after, after < until


def _backwards(history: History, offset: int, filter: Filter, limit: int) -> tuple[list[Record], int, bool]:
    records: list[Record] = []
    for _ in range(_SCANS):
        page: Page = history.before(offset, filter, limit - len(records))
        records += page.records
        offset = page.through
        if len(records) >= limit or offset <= history.floor:
            break
        time.sleep(0)
    return records[::-1], max(offset, history.floor), offset > history.floor


def _export(hub: Hub, start: Start, until: int, filter: Filter) -> Iterator[bytes]:
    """Events as they were posted, one a line, so that the export can be posted again (but for a line that tells
    of a gap). A page at a time in memory."""
    history, after = hub.history, start.offset
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
        time.sleep(0)


def _gap_line(history: History, missed: int | None, from_: str | None, to: int, reason: str) -> bytes:
    gap = {
        "type": "stream_gap",
        "missed": missed,
        "from": from_,
        "to": str(history.epochs.cursor(to)),
        "reason": reason,
    }
    return msgspec.json.encode(gap) + b"\n"
