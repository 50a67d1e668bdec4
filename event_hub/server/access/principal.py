"""Principals: on whose behalf a request is made, and what it may do. Resolved once per request, in front of every route."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from ..filters import Filter

_KEY = "hub.principal"
"""Where the principal of a request lies in its WSGI environ."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal may do. Rooms are patterns with `*`; None means all rooms, and events without a room as well."""

    publish: tuple[str, ...] | None = ()
    subscribe: tuple[str, ...] | None = ()
    control: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """`kind`: how it identified itself. `label`: its name in logs and `/api/subscribers`, never a secret."""

    kind: str
    label: str
    grant: Grant

    def visible(self, filter: Filter) -> Filter:
        """`filter` intersected with what this principal may see.

        Views, pages and pasts are shared by the filter that this returns; a session is checked against it.
        """
        return filter.narrowed(self.grant.subscribe)


LOCAL = Principal("local", "local", Grant(publish=None, subscribe=None, control=True))
"""The only principal so far: a hub on loopback, or one that is declared open, lets every request do everything."""


def resolve(environ: MutableMapping[str, Any]) -> Principal:
    """The principal of the request, now in `environ` for `principal_of`."""
    environ[_KEY] = LOCAL
    return LOCAL


def principal_of(environ: Mapping[str, Any]) -> Principal:
    """The principal of a request that has passed `resolve`."""
    principal: Principal = environ[_KEY]
    return principal
