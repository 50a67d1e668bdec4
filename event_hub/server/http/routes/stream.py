"""`GET /api/stream`: every event, live. Served as plain WSGI in front of Flask's dispatch, like `data`: after a restart all
subscribers come back at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from flask import Response
from werkzeug.datastructures import MultiDict

from ....browser_policy import COMMON_HEADERS
from ...access.needs import authorise, need_of
from ...access.origins import Origins
from ...access.principal import principal_of
from ...errors import RequestError
from ...filters import Filter
from ...history import HistoryError
from ...hub import EventHub
from ...streaming.start import StartRequest
from ..problems import refuse
from ..queries import StreamQuery, parse

PATH = "/api/stream"
HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),
    *COMMON_HEADERS,
)

logger = logging.getLogger(__name__)


def head() -> Response:
    """The response to HEAD."""
    return Response(headers=list(HEADERS))


class StreamRoute:
    """The route for GET as a WSGI application. `hub`: gives the hub of this process."""

    def __init__(self, hub: Callable[[], EventHub], origins: Origins) -> None:
        self._hub = hub
        self._origins = origins
        self._need = need_of("GET", PATH)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return self._open(self._hub(), environ, start_response)
        except RequestError as error:
            refusal = error
        except HistoryError as error:
            refusal = RequestError("history_unavailable", str(error))
        except (StopIteration, OSError):
            raise
        except Exception:
            logger.exception("a stream could not be opened")
            refusal = RequestError("internal", "the request failed inside the hub; see its log")
        self._hub().counters.refused[refusal.kind.code] += 1
        return refuse(refusal, environ, start_response, self._origins)

    def _open(self, hub: EventHub, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        principal = principal_of(environ)
        authorise(principal, self._need)
        filter, query = _parse(environ.get("QUERY_STRING", ""))
        start = _start(environ.get("HTTP_LAST_EVENT_ID") or query.last_event_id, query.since, query.replay or 0)
        headers = (*HEADERS, *self._origins.headers(environ.get("HTTP_ORIGIN")))
        frames = hub.streams.open(environ, principal.visible(filter), start, headers, principal)
        if frames is None:
            # The response is already written. gunicorn reads a StopIteration as "do nothing more with this connection".
            raise StopIteration
        start_response("200 OK", list(headers))
        return frames


@lru_cache(maxsize=256)
def _parse(query: str) -> tuple[Filter, StreamQuery]:
    """The parameters in a query string, the same for most subscribers; raises `RequestError`."""
    pairs = parse_qsl(query.encode("latin-1").decode(), keep_blank_values=True)
    parsed = parse(StreamQuery, MultiDict(pairs))
    return parsed.filter(), parsed


@lru_cache(maxsize=256)
def _start(last_id: str, since: str, replay: int) -> StartRequest:
    """Where a subscriber asks to begin; raises `RequestError`."""
    return StartRequest(last_id, since, replay).check()
