"""What a process tells the others about itself, once a second, if it has changed."""

from __future__ import annotations

from typing import Any

import msgspec

from ..filters import Filter, Scope


class Watched(msgspec.Struct, array_like=True):
    """A filter and how many subscribers have it."""

    rooms: tuple[str, ...]
    types: tuple[str, ...]
    sessions: tuple[str, ...]
    within: tuple[tuple[str, ...], tuple[str, ...], str | None] | None
    count: int

    @classmethod
    def of(cls, filter: Filter, count: int) -> Watched:
        scope = filter.within
        within = None if scope is None else (scope.rooms, scope.globs, scope.session)
        return cls(filter.rooms, filter.types, filter.sessions, within, count)

    @property
    def filter(self) -> Filter:
        return Filter(self.rooms, self.types, self.sessions, None if self.within is None else Scope(*self.within))


class Facts(msgspec.Struct, omit_defaults=True):
    """Facts about one process. `instance`: the same for all worker processes of one hub."""

    instance: str = ""
    pid: int = 0
    version: str = ""
    subscribers: int = 0
    watched: list[Watched] = []
    credential_streams: dict[str, int] = {}
    address_streams: dict[str, int] = {}
    launches: bool = False
    """It is the process of its hub that starts and watches agents."""
    closed: bool = False
    """It takes no more events, because its hub ends."""
    agents: list[dict[str, Any]] = []
    """Its agents that are live, in brief."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Facts).decode
