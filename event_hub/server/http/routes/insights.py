"""`/api/series` and `/api/errors`: what many sessions add up to."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from ...errors import RequestError
from ...hub import EventHub
from ...indexed_sessions import IndexedSessions
from ...session_index import problems
from ...session_index.listing import Wanted
from ...session_index.series import Series, step_of
from ...units import seconds
from ..queries import filter_of, parse
from ..responses import json_response
from ..session_queries import ProblemsQuery, SeriesQuery
from .sessions import cursor, indexing


def series(hub: EventHub) -> Response:
    """Figures over time."""
    query = parse(SeriesQuery, request.args)
    filter_of(query.room, [], [])
    until = hub.clock() if query.until is None else query.until
    with indexing(hub) as (index, through):
        wish = 0.0 if query.since == "all" else _moment(hub, query.since)
        since = min(until, max(wish, _earliest(index.db)))
        step = step_of(since, until, query.step)
        wanted = Wanted(
            rooms=_some(query.room), agents=_some(query.agent), versions=_some(query.version), started=(since, until)
        )
        answer = Series(index.db, wanted, query.by, step, _cost(hub))
        groups, more = IndexedSessions.run(answer.groups)
    return json_response(
        {
            "since": since, "until": until, "step": step, "by": query.by, "groups": groups, "more": more,
            "cursor": cursor(hub, through),
        }
    )  # fmt: skip


def errors(hub: EventHub) -> Response:
    """Errors by source and message, and the tools that fail."""
    query = parse(ProblemsQuery, request.args)
    filter_of(query.room, [], [])
    since = 0.0 if query.since == "all" else _moment(hub, query.since)
    wanted = Wanted(
        rooms=_some(query.room), agents=_some(query.agent), versions=_some(query.version), limit=query.limit
    )

    def ask() -> dict[str, Any]:
        found, more = problems.errors(index.db, wanted, since)
        return {"errors": found, "tools": problems.tools(index.db, wanted, since), "more": more}

    with indexing(hub) as (index, through):
        answer = IndexedSessions.run(ask)
    return json_response({**answer, "cursor": cursor(hub, through)})


def _some(patterns: list[str]) -> list[str]:
    return [each for each in patterns if each]


def _earliest(db: Any) -> float:
    (found,) = db.execute("SELECT min(started) FROM sessions").fetchone()
    return float(found or 0.0)


def _moment(hub: EventHub, text: str) -> float:
    """Epoch seconds, or a duration before now; raises `RequestError`."""
    try:
        value = seconds(text)
    except ValueError as error:
        raise RequestError(
            "bad_parameter", f"since: {text[:40]} {error}, epoch seconds, or all", field="since"
        ) from None
    return value if text.replace(".", "", 1).isdigit() else hub.clock() - value


def _cost(hub: EventHub) -> Any:
    prices = hub.insight.prices
    if prices is None:
        return None
    return lambda usages: prices.total(prices.cost(usage) for usage in usages)
