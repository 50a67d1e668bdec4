"""`POST /api/forget`: erase events on request."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from ....sse import Cursor
from ...access.origins import Origins
from ...access.principal import principal_of
from ...erasure.selector import Selector
from ...errors import RequestError
from ...hub import EventHub
from ...streaming.start import StartRequest
from .. import body
from ..access_bodies import ForgetBody
from ..queries import check
from ..responses import json_response

_LIMIT = 16 << 10
"""Maximum size of a body in bytes."""


class ForgetRoute:
    """The route. `origins` decides which pages may use it."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def __call__(self, hub: EventHub) -> Response:
        """200 with what was erased, or with `dry_run` what would be."""
        self._origins.control(request.environ, principal_of(request.environ))
        asked = check(ForgetBody, body.read_json(request.environ, _LIMIT, hub.settings.body_timeout))
        before = _moment(asked.before, hub) if asked.before is not None else None
        selector = Selector(asked.session, asked.room, asked.participant, before)
        if selector == Selector():
            text = "name a session, a room, a participant or a time: without one, everything would be erased"
            raise RequestError("bad_field", text, field="session")
        erased: dict[str, Any] = hub.forget(selector, dry_run=asked.dry_run)._asdict()
        return json_response(erased)


def _moment(text: str, hub: EventHub) -> float:
    """Epoch seconds, or a duration before now."""
    moment = None if Cursor.parse(text) else StartRequest(since=text).moment(hub.clock())
    if moment is None:
        raise RequestError("bad_field", "before: is a duration (7d) or epoch seconds", field="before")
    return moment
