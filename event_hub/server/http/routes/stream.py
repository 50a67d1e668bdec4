"""`GET /api/stream`: every event, live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from flask import Response, request

from ....browser_policy import COMMON_HEADERS
from ...access.principal import principal_of
from ...hub import EventHub
from ...streaming.start import StartRequest
from ..queries import StreamQuery, parse

PATH = "/api/stream"
HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),
    *COMMON_HEADERS,
)


def stream(hub: EventHub, cors: Iterable[tuple[str, str]]) -> Response:
    """Open a stream for the current request; raises `RequestError`."""
    if request.method == "HEAD":
        return Response(headers=list(HEADERS))
    query = parse(StreamQuery, request.args)
    last_id = request.headers.get("Last-Event-ID") or query.last_event_id
    start = StartRequest(last_id, query.since, query.replay or 0).check()
    principal = principal_of(request.environ)
    filter = principal.visible(query.filter())
    frames = hub.streams.open(request.environ, filter, start, [*HEADERS, *cors], principal)
    if frames is None:
        return _TakenOver()
    return Response(frames, headers=list(HEADERS), direct_passthrough=True)


class _TakenOver(Response):
    """The response is already written. gunicorn reads a StopIteration as "do nothing more with this connection"."""

    def __call__(self, environ: Any, start_response: Any) -> NoReturn:
        raise StopIteration
