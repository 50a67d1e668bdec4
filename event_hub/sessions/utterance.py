"""An utterance, a stretch of the user's speech, and what one event means for them. Pure; `utterances.py` has the rules."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

REMEMBERED = 16
"""Utterances of either side, and tool calls, that later events can still find."""
NEAR = 15.0
"""Seconds after which nothing continues earlier words, or earlier speech."""
WORDS = 200
"""Characters of an interim that are compared with later words."""
_T = TypeVar("_T")


class Audible(Protocol):
    """What a reply needs to know about its session."""

    @property
    def audible(self) -> bool:
        """The agent is heard in this session, not read."""
        ...


class Stretch:
    """The user's speech from its start to its finish, as far as both are known."""

    __slots__ = ("answered", "number", "speaker", "started", "stopped", "worded")

    def __init__(self, number: int, speaker: str, started: float | None) -> None:
        self.number = number
        self.speaker = speaker
        self.started = started
        self.stopped: float | None = None
        self.worded = False
        """Words of an utterance belong to it."""
        self.answered = False
        """The agent was heard after it."""


class Utterance:
    """One utterance. `number` is its key: they are counted from 1 in each session, in the order of their first events."""

    __slots__ = ("began", "finals", "name", "number")
    role = ""

    def __init__(self, number: int, name: str | None, began: float | None) -> None:
        self.number = number
        self.name = name
        self.began = began
        """Where it stands in the conversation, in epoch seconds."""
        self.finals = 0
        """How many final transcripts have come; the newest counts."""

    @property
    def heard(self) -> bool:
        return True


class UserUtterance(Utterance):
    """What a user says, or types."""

    __slots__ = ("absorbed", "newest", "open", "speaker", "stretch", "words")
    role = "user"

    def __init__(self, number: int, name: str | None, began: float | None, speaker: str) -> None:
        super().__init__(number, name, began)
        self.speaker = speaker
        self.stretch: Stretch | None = None
        """The speech that it is part of."""
        self.open = True
        """Its final is still to come."""
        self.absorbed = False
        self.words = ""
        self.newest: float | None = None
        """The timestamp of its newest event."""


class AgentUtterance(Utterance):
    """One reply of the agent."""

    __slots__ = ("_in", "continued", "denied", "length", "never", "read", "silent", "started", "stopped", "whole")
    role = "agent"

    def __init__(self, number: int, name: str | None, began: float | None, session: Audible) -> None:
        super().__init__(number, name, began)
        self._in = session
        self.continued = Resolution(self)
        """The resolution of most of its events, which only continue it."""
        self.length = 0
        """Characters of its text so far, counted by its deltas."""
        self.whole = False
        """Its text is complete."""
        self.started = False
        self.stopped = False
        self.silent = False
        """Its speech ended without a start, or its session did: it was not heard, unless a final transcript comes."""
        self.never = False
        """An event said that it was never said."""
        self.denied = False
        """It was interrupted before it was heard."""
        self.read = False
        """It was written in a session without speech of the agent."""

    @property
    def said(self) -> bool:
        """Its final transcript has come."""
        return self.finals > 0

    @property
    def unsaid(self) -> bool:
        """It was not heard, and will not be."""
        return self.denied or self.never or (self.silent and not self.said)

    @property
    def heard(self) -> bool:
        """It was heard, is being heard, or is text to be read."""
        return not self.unsaid and (self.said or self.started or self.read or not self._in.audible)


class Settled(NamedTuple):
    """An utterance that ended without an event of its own. `fate`: `unconfirmed`, `absorbed` or `unsaid`."""

    utterance: Utterance
    fate: str


class Resolution(NamedTuple):
    """What one event means for which utterance. `opens`: it is its first event; `closes`: no more will come; `drops`: what
    sounded like speech was not speech. `settled`: other utterances that end with this event."""

    utterance: Utterance
    opens: bool = False
    closes: bool = False
    drops: bool = False
    settled: tuple[Settled, ...] = ()


def remember(found: dict[Any, _T], key: Any, value: _T) -> None:
    """Keep a value under its key; the oldest beyond the limit is forgotten."""
    found[key] = value
    if len(found) > REMEMBERED:
        del found[next(iter(found))]


def near(earlier: float | None, later: float | None) -> bool:
    """Whether two times are close together, or one of them is unknown."""
    return earlier is None or later is None or later - earlier <= NEAR


def letters(words: str) -> str:
    """What two recognitions of the same words have in common."""
    return "".join(filter(str.isalnum, words)).lower()


def part_of(interim: str, words: str) -> bool:
    start = letters(interim)
    return start != "" and letters(words[: 2 * WORDS]).startswith(start)


def alike(interim: str, words: str) -> bool:
    one, other = letters(interim), letters(words[: 2 * WORDS])
    return one != "" and other != "" and (one.startswith(other) or other.startswith(one))
