"""What a subscriber wants to see: by room, type and session, exact names and `*` globs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

MAX_PATTERNS = 100
"""Patterns in one filter: a page that watches a hundred rooms one by one wants a glob."""
MAX_PATTERN_LENGTH = 256
"""Characters in one pattern: as long as a name may be."""
MAX_STARS = 8
"""Stars in one pattern: each can multiply what a match costs."""


class BadFilter(ValueError):
    """A filter that the hub does not take; the text says why."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One distinct filter. Within a dimension any pattern may match, and every dimension that is given must match.

    Compared and hashed by its patterns, so that all who ask for the same share one view.
    """

    rooms: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    matches: Callable[[str, str | None, str | None], bool] = field(
        init=False, repr=False, compare=False, default=lambda _type, _room, _session: True
    )
    """(type, room, session) of an event → whether it is wanted."""

    def __post_init__(self) -> None:
        if self.rooms or self.types or self.sessions:
            room, type_, session = _dimension(self.rooms), _dimension(self.types), _dimension(self.sessions)
            object.__setattr__(
                self,
                "matches",
                lambda t, r, s: (
                    (room is None or (r is not None and room(r)))
                    and (type_ is None or type_(t))
                    and (session is None or (s is not None and session(s)))
                ),
            )

    @classmethod
    def of(cls, rooms: Iterable[str] = (), types: Iterable[str] = (), sessions: Iterable[str] = ()) -> Filter:
        """The filter of these patterns, in whatever order and however often they are named; raises `BadFilter`.

        Empty patterns (`?room=`) count as not given.
        """
        dimensions = [tuple(sorted({p for p in patterns if p})) for patterns in (rooms, types, sessions)]
        if sum(map(len, dimensions)) > MAX_PATTERNS:
            raise BadFilter(f"a filter has at most {MAX_PATTERNS} patterns; use a glob such as room=support-*")
        for pattern in (p for patterns in dimensions for p in patterns):
            if len(pattern) > MAX_PATTERN_LENGTH:
                raise BadFilter(f"a pattern has at most {MAX_PATTERN_LENGTH} characters")
            if pattern.count("*") > MAX_STARS:
                raise BadFilter(f"a pattern has at most {MAX_STARS} stars")
        # `*` alone in rooms still means "has a room"; in types it means everything.
        rooms_, types_, sessions_ = dimensions
        return cls(rooms_, () if "*" in types_ else types_, sessions_)

    @property
    def exact(self) -> tuple[str, tuple[str, ...]] | None:
        """The dimension by which an index finds this filter, most selective first; None if only trying tells."""
        for name, patterns in (("session", self.sessions), ("room", self.rooms), ("type", self.types)):
            if patterns and not any(map(is_glob, patterns)):
                return name, patterns
        return None

    @property
    def globs(self) -> int:
        """How many of its patterns have to be tried, because no index finds what they match."""
        return sum(is_glob(pattern) for pattern in (*self.rooms, *self.types, *self.sessions))

    @property
    def everything(self) -> bool:
        return not (self.rooms or self.types or self.sessions)

    def to_json(self) -> dict[str, Any]:
        """As operators read it: only the dimensions that are given."""
        parts = {"room": self.rooms, "type": self.types, "session": self.sessions}
        return {name: list(patterns) for name, patterns in parts.items() if patterns}


def is_glob(pattern: str) -> bool:
    return "*" in pattern


def _dimension(patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    """A test of one name, or None where every event passes."""
    if not patterns:
        return None
    names = frozenset(p for p in patterns if not is_glob(p))
    globs = [p for p in patterns if is_glob(p)]
    if not globs:
        return names.__contains__
    expression = re.compile("|".join(map(_translate, globs)), re.DOTALL)
    match = expression.fullmatch
    return (lambda name: name in names or match(name)) if names else match


def _translate(glob: str) -> str:
    """A glob as a regular expression whose cost stays linear: each part between stars is taken where it first occurs,
    and never again elsewhere (atomic groups), which is enough since a star takes anything."""
    first, *rest = map(re.escape, glob.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}"
