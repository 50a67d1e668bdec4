"""`POST /api/agent/data`: where publishers send their events.

Served as plain WSGI in front of Flask's dispatch, which would cost as much again as all the rest of a POST.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from ....browser_policy import COMMON_HEADERS
from ...access.needs import authorise, need_of
from ...access.origins import Origins
from ...access.principal import principal_of
from ...errors import RequestError
from ...hub import MAX_BATCH, EventHub, Published
from .. import body
from ..problems import refuse

PATH = "/api/agent/data"
Start = Callable[..., Any]

logger = logging.getLogger(__name__)


class DataRoute:
    """The route as a WSGI application. `hub`: gives the hub of this process."""

    def __init__(self, hub: Callable[[], EventHub], origins: Origins) -> None:
        self._hub = hub
        self._origins = origins

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        hub = self._hub()
        with hub.counters.requests:
            try:
                answer = self._publish(hub, environ)
            except RequestError as error:
                return self._refuse(hub, error, environ, start_response)
            except Exception:
                logger.exception("a POST failed")
                return self._refuse(
                    hub,
                    RequestError("internal", "the request failed inside the hub; see its log"),
                    environ,
                    start_response,
                )
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(answer))),
            *self._origins.headers(environ.get("HTTP_ORIGIN")),
            *COMMON_HEADERS,
        ]
        start_response("200 OK", headers)
        return [answer]

    def _publish(self, hub: EventHub, environ: dict[str, Any]) -> bytes:
        principal = principal_of(environ)
        authorise(principal, need_of("POST", PATH))
        self._origins.publish(environ, principal)
        settings = hub.settings
        raw = body.read(environ, settings.max_body, settings.body_timeout)
        events, batch = body.decode(raw, environ.get("CONTENT_TYPE", ""), MAX_BATCH)
        return _answer(hub.publish(events, batch=batch, by=principal), batch)

    def _refuse(
        self, hub: EventHub, error: RequestError, environ: dict[str, Any], start_response: Start
    ) -> Iterable[bytes]:
        time.sleep(0)  # as `commit` does for the others: pipelined requests let everything else run in between
        hub.counters.refused[error.kind.code] += 1
        return refuse(error, environ, start_response, self._origins)


def _answer(published: Published, batch: bool) -> bytes:
    first, last = published.first, published.last
    notified = b"null" if published.notified is None else b"%d" % published.notified
    if not batch:
        duplicate = b"true" if published.duplicates else b"false"
        return b'{"status":"ok","clients_notified":%b,"id":"%s","duplicate":%s}\n' % (
            notified,
            (first or "").encode(),
            duplicate,
        )
    first_id, last_id = (b'"%s"' % id.encode() if id else b"null" for id in (first, last))
    return b'{"status":"ok","accepted":%d,"duplicates":%d,"clients_notified":%b,"first_id":%s,"last_id":%s}\n' % (
        published.accepted,
        published.duplicates,
        notified,
        first_id,
        last_id,
    )
