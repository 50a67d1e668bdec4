"""`POST /api/sign-in`, `/api/sign-out` and `/api/share`: a person's access to the page."""

from __future__ import annotations

from urllib.parse import quote

from flask import Response, request

from ...access.access import COOKIE_SECONDS, LONGEST_SHARE, Access
from ...access.key_entries import scope_of
from ...access.origins import Origins
from ...access.principal import ANONYMOUS, Principal, principal_of
from ...errors import RequestError
from ...filters import Filter, Scope
from ...hub import EventHub
from ...settings import seconds
from .. import body
from ..access_bodies import ShareBody, SignInBody
from ..queries import check
from ..responses import json_response
from .sessions import reading

_LIMIT = 64 << 10
"""Maximum size of a body in bytes."""


class SignInRoutes:
    """The three routes. Only the hub's own page may sign a browser in or out."""

    def __init__(self, access: Access, origins: Origins) -> None:
        self._access = access
        self._origins = origins

    def sign_in(self, hub: EventHub) -> Response:
        """200 with what the key may do, and its cookie; 401 if it is not a key."""
        self._origins.sign_in(request.environ)
        asked = check(SignInBody, body.read_json(request.environ, _LIMIT, hub.settings.body_timeout))
        principal, cookie = self._access.sign_in(asked.key)
        response = self._answer(principal)
        # Without Secure, because the hub itself speaks HTTP; behind TLS it is added.
        response.set_cookie(
            self._access.cookie,
            cookie,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return response

    def sign_out(self) -> Response:
        """200, with the cookie removed."""
        self._origins.sign_in(request.environ)
        response = self._answer(ANONYMOUS)
        response.delete_cookie(self._access.cookie, httponly=True, samesite="Strict", secure=request.is_secure)
        return response

    def share(self, hub: EventHub) -> Response:
        """200 with a read-only link to some rooms, or to one session."""
        principal = principal_of(request.environ)
        self._origins.control(request.environ, principal)
        asked = check(ShareBody, body.read_json(request.environ, _LIMIT, hub.settings.body_timeout))
        length = seconds(asked.duration)
        if not 0 < length <= LONGEST_SHARE:
            raise RequestError(
                "bad_field", f"for: must be more than 0 and at most {LONGEST_SHARE // 86400}d", field="for"
            )
        token, expires = self._access.share(principal, _scope(hub, asked), length)
        place = (
            f"session={quote(asked.session, safe='')}" if asked.session else f"room={quote(asked.rooms[0], safe='')}"
        )
        return json_response({"token": token, "url": f"/?access_token={token}#{place}", "expires_at": expires})

    def _answer(self, principal: Principal) -> Response:
        return json_response({"auth": "required" if self._access.required else "open", **principal.facts()})


def _scope(hub: EventHub, asked: ShareBody) -> Scope:
    if asked.session is None:
        if not asked.rooms:
            raise RequestError("bad_field", "rooms: is missing; name the rooms, or a session, to share", field="rooms")
        scope = scope_of(asked.rooms)
        Filter().narrowed(scope)
        return scope
    with reading(hub) as (known, _):
        room = asked.rooms[0] if asked.rooms else None
        found = known.find(asked.session, room)
    if not found:
        raise RequestError("unknown_session", f"the history has no events of session {asked.session}")
    if len(found) > 1:
        raise RequestError(
            "ambiguous_session", f"{len(found)} sessions have the name {asked.session}", rooms=[s.room for s in found]
        )
    return Scope((found[0].room,) if found[0].room is not None else (), (), found[0].session)
