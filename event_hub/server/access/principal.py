"""Principals: on whose behalf a request is made, and what it may do. Resolved once per request, in front of every route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import RequestError
from ..filters import NOTHING, Filter, Scope

KEY = "hub.principal"
"""Where the principal of a request lies in its WSGI environ."""

Kind = Literal["local", "anonymous", "key", "livekit", "share", "agent"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal may do. None: in all rooms, and with events without a room as well."""

    publish: Scope | None = NOTHING
    subscribe: Scope | None = NOTHING
    control: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """`kind`: how it identified itself. `label`: its name in logs and `/api/subscribers`, never a secret."""

    kind: Kind
    label: str
    grant: Grant
    expires: float | None = None
    """When its credential expires, in epoch seconds."""
    key: str | None = None
    """The id of the key that it depends on: it ends when that key is removed."""
    cookie: bool = False
    """A browser sent its credential by itself, so the page that made the request matters."""
    refusal: RequestError | None = field(default=None, compare=False, repr=False)
    """Why an anonymous principal is one, if its request had a credential."""

    def visible(self, filter: Filter) -> Filter:
        """`filter` intersected with what this principal may see.

        Views, pages and pasts are shared by the filter that this returns; a session is checked against it.
        """
        return filter.narrowed(self.grant.subscribe)

    @property
    def name(self) -> str:
        """What its requests and streams are counted under: a key by its label, a participant in its room, each link."""
        if self.kind == "key":
            return f"key {self.label}"
        link = f" {self.key} {self.expires}" if self.kind == "share" else ""
        return f"{self.kind} {self.label}{link} {hash(self.grant):x}"

    @property
    def sees_all(self) -> bool:
        """Whether no event is hidden from it."""
        return self.grant.subscribe is None

    def facts(self) -> dict[str, Any]:
        """What it may do, as `/api/config` reports it. Null: in all rooms."""
        publish, subscribe = self.grant.publish, self.grant.subscribe
        return {
            "kind": self.kind,
            "label": self.label,
            "publish": None if publish is None else publish.to_json(),
            "subscribe": None if subscribe is None else subscribe.to_json(),
            "session": None if subscribe is None else subscribe.session,
            "control": self.grant.control,
            "expires_at": self.expires,
        }


LOCAL = Principal("local", "local", Grant(publish=None, subscribe=None, control=True))
"""Every request to an open hub: it may do everything."""
ANONYMOUS = Principal("anonymous", "anonymous", Grant())
"""A request without a credential to a hub that requires one."""


def principal_of(environ: Mapping[str, Any]) -> Principal:
    """The principal of a request that has passed `Access.resolve`."""
    principal: Principal = environ[KEY]
    return principal
