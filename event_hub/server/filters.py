"""Filters: which events a reader gets, by room, type and session, as exact names and `*` globs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

MAX_PATTERNS = 100
"""Patterns in one filter: a client that needs more should use a glob."""
MAX_PATTERN_LENGTH = 256
"""Characters in one pattern: the maximum length of a name."""
MAX_STARS = 8
"""Stars in one pattern: each can multiply the cost of a match."""


class BadFilter(ValueError):
    """A filter that the hub refuses; the text says why."""


def is_glob(pattern: str) -> bool:
    return "*" in pattern


def _nothing(_: str) -> bool:
    return False


def _dimension(patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    """A test of one name; None if every name passes."""
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
    """A glob as a regular expression that matches in linear time: each part between stars matches where it first occurs
    and is never tried elsewhere (atomic groups), which suffices because a star matches anything."""
    first, *rest = map(re.escape, glob.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + f".*{last}"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a principal is limited to: the events of some rooms, or of one session in them.

    `rooms` are exact names, even where one contains `*`: a name that LiveKit has signed is never read as a pattern. Names
    are compared as they are, without regard to Unicode normalization or case, so no two names are confused. Events
    without a room are outside every scope, except that of a session without a room.
    """

    rooms: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    session: str | None = None
    contains: Callable[[str | None, str | None], bool] = field(
        init=False, repr=False, compare=False, default=lambda _room, _session: False
    )
    """(room, session) of an event → whether it is inside."""

    def __post_init__(self) -> None:
        names, session = frozenset(self.rooms), self.session
        matches = _dimension(self.globs) or _nothing
        object.__setattr__(self, "rooms", tuple(sorted(names)))
        object.__setattr__(self, "globs", tuple(sorted(set(self.globs))))
        if session is None:
            object.__setattr__(self, "contains", lambda r, _s: r is not None and (r in names or bool(matches(r))))
        elif names:
            object.__setattr__(self, "contains", lambda r, s: s == session and r in names)
        else:
            object.__setattr__(self, "contains", lambda r, s: s == session and r is None)

    def __bool__(self) -> bool:
        """Whether anything can be inside."""
        return bool(self.rooms or self.globs or self.session is not None)

    def to_json(self) -> list[str]:
        """Its rooms, exact names first."""
        return [*self.rooms, *self.globs]


NOTHING = Scope()
"""The scope of a principal that may not do something at all."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One distinct filter. Any pattern of a dimension may match, and every dimension that is given must match.

    Compared and hashed by its patterns, so that all who ask for the same share one view.
    """

    rooms: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    within: Scope | None = None
    """What the reader may see at all; None: every event, those without a room included."""
    matches: Callable[[str, str | None, str | None], bool] = field(
        init=False, repr=False, compare=False, default=lambda _type, _room, _session: True
    )
    """(type, room, session) of an event → whether it passes."""

    def __post_init__(self) -> None:
        if not self.everything:
            room, type_, session = _dimension(self.rooms), _dimension(self.types), _dimension(self.sessions)
            visible = None if self.within is None else self.within.contains
            object.__setattr__(
                self,
                "matches",
                lambda t, r, s: (
                    (room is None or (r is not None and room(r)))
                    and (type_ is None or type_(t))
                    and (session is None or (s is not None and session(s)))
                    and (visible is None or visible(r, s))
                ),
            )

    def narrowed(self, scope: Scope | None) -> Filter:
        """This filter for a reader that may see only `scope`; None: everything."""
        assert self.within is None, "a filter is narrowed once, for one principal"
        if scope is None:
            return self
        rooms, sessions = self.rooms, self.sessions
        # Redundant, but an index finds it.
        if not rooms and not scope.globs and not any(map(is_glob, scope.rooms)):
            rooms = scope.rooms
        if not sessions and scope.session and not is_glob(scope.session):
            sessions = (scope.session,)
        return replace(self, rooms=rooms, sessions=sessions, within=scope)

    @classmethod
    def of(cls, rooms: Iterable[str] = (), types: Iterable[str] = (), sessions: Iterable[str] = ()) -> Filter:
        """The filter for these patterns, regardless of order and repetition; raises `BadFilter`.

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
        # `*` in rooms means "has a room"; in types it means everything.
        rooms_, types_, sessions_ = dimensions
        return cls(rooms_, () if "*" in types_ else types_, sessions_)

    @property
    def exact(self) -> tuple[str, tuple[str, ...]] | None:
        """The dimension by which an index finds this filter, most selective first; None if it has to be tried."""
        for name, patterns in (("session", self.sessions), ("room", self.rooms), ("type", self.types)):
            if patterns and not any(map(is_glob, patterns)):
                return name, patterns
        return None

    @property
    def globs(self) -> int:
        """How many of its patterns may have to be tried for an event. Those of the scope do not count if an index finds the
        events: they are its principal's, and few."""
        if self.everything:
            return 0
        within = self.within.globs if self.within is not None and self.exact is None else ()
        return sum(is_glob(pattern) for pattern in (*self.rooms, *self.types, *self.sessions)) + len(within)

    @property
    def everything(self) -> bool:
        """Whether every event passes."""
        return not (self.rooms or self.types or self.sessions) and self.within is None

    def to_json(self) -> dict[str, Any]:
        """The dimensions that are given, as `/api/subscribers` reports them."""
        parts = {"room": self.rooms, "type": self.types, "session": self.sessions}
        return {name: list(patterns) for name, patterns in parts.items() if patterns}
