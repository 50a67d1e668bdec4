"""`POST /api/token`: what LiveKit's clients need to join a room."""

from __future__ import annotations

from flask import Response, request

from .. import body, livekit
from ..access import Origins
from ..hub import Hub
from ..queries import TokenBody, check
from .agent import answer

_LIMIT = 128 << 10
"""Bytes of a body."""


class TokenRoute:
    """The route. `origins` says which pages may use it."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def __call__(self, hub: Hub) -> Response:
        """201 with the token, under the names of `TokenSource` and of LiveKit's starters."""
        self._origins.control(request.environ)
        settings = hub.settings
        livekit.configured(settings)  # before a body is found wrong that nobody could use
        asked = check(TokenBody, body.one(request.environ, min(_LIMIT, settings.max_body), settings.body_timeout))
        return answer(livekit.token(settings, asked), 201)
