"""`POST /api/token`: a token with which a LiveKit client joins a room."""

from __future__ import annotations

from flask import Response, request

from ... import livekit_tokens
from ...access.origins import Origins
from ...access.principal import principal_of
from ...hub import EventHub
from .. import body
from ..queries import TokenBody, check
from ..responses import json_response

_LIMIT = 128 << 10
"""Maximum size of a body in bytes."""


class TokenRoute:
    """The route. `origins` decides which pages may use it."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def __call__(self, hub: EventHub) -> Response:
        """201 with the token, in the spellings of `TokenSource` and of LiveKit's starter apps."""
        self._origins.control(request.environ, principal_of(request.environ))
        settings = hub.settings
        livekit_tokens.configured(settings)  # first: without LiveKit, errors in the body are irrelevant
        asked = check(TokenBody, body.read_json(request.environ, min(_LIMIT, settings.max_body), settings.body_timeout))
        return json_response(livekit_tokens.token(settings, asked), 201)
