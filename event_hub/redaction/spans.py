"""What a detector finds, and the contract of a detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

CONTEXT = 8
"""Characters before a position that a detector may look at: enough for `\\b` and for a word such as `IBAN`."""

DIGITS = "0123456789"


Pause = Callable[[], None]
"""Called while a text is scanned, between steps of some microseconds: a server can do other work there."""


def no_pause() -> None:
    """Scan without a pause."""


class Span(NamedTuple):
    """Part of a text that is to be replaced: from `start` to before `end`, by `[name]`.

    `begin`: where the evidence for it begins, at or before `start`, such as the word *account* before a number.
    """

    start: int
    end: int
    name: str
    begin: int


class Scan(NamedTuple):
    """The spans found, and the first position whose verdict depends on text that is still to come."""

    spans: list[Span]
    undecided: int


class Detector(Protocol):
    """Finds one kind of secret. Whether a match starts at a position, and where it ends, depends only on the `CONTEXT`
    characters before it and on a bounded number of characters after it: so a text may be cut anywhere."""

    name: str
    needs: str
    """Characters, one of which every match contains; empty if that is not known."""

    def scan(self, text: str, start: int, final: bool, pause: Pause = no_pause) -> Scan:
        """Find matches in the folded `text` at or after `start`; they may overlap.

        Unless the text is `final`, more of it follows; `undecided` is then the first position where a match may start
        that the visible text neither proves nor excludes. Every span starts before it. If `final`, it is `len(text)`.
        Calls `pause` at every place that it examines.
        """
        ...
