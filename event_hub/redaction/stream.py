"""Redaction of texts that arrive in pieces, many at a time: which text a piece belongs to, and what is held back of it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, NamedTuple

from .fold import fold
from .spans import CONTEXT
from .text import START, Held, TextRedactor

MOST_TEXTS = 10_000
"""Texts in progress. Beyond it the one that has been idle longest is forgotten; its pieces lack what was held back."""
MOST_IDS = 50_000
"""Ids of pieces that are remembered, so that a piece that is sent again is not taken for more text."""

_REST = re.compile("[0-9 \t\n\r().,/_\u200b-]*")
_DIGIT = re.compile("[0-9]")


class Piece(NamedTuple):
    """What is shown in place of a piece, and how many characters of the text were shown before it."""

    text: str
    offset: int


class _Text(NamedTuple):
    """A text in progress. A tuple: `Undo` restores an earlier one."""

    held: Held
    taken: int
    """Characters of the original text so far."""
    units: int
    """The same in UTF-16, as JavaScript counts."""
    shown: int
    """Characters of the redacted text so far."""
    torn: bool = False
    """What came right before is unknown, so digits that follow may be the rest of a number."""


class Undo:
    """The changes of one request, to be reversed if its events could not be stored."""

    def __init__(self) -> None:
        self.texts: list[tuple[Hashable, _Text | None, _Text | None]] = []
        self.ids: list[tuple[Hashable, str]] = []


class StreamRedactor:
    """Redacts texts in progress piece by piece. What could be the start of a match moves to the next piece of its text."""

    def __init__(self, redactor: TextRedactor) -> None:
        self._redactor = redactor
        self._texts: OrderedDict[Hashable, _Text] = OrderedDict()
        self._ids: OrderedDict[tuple[Hashable, str], None] = OrderedDict()
        """Two publishers may have the same id in different rooms, so the text belongs to it."""

    def feed(self, key: Hashable, text: str, offset: Any, event_id: Any, undo: Undo) -> Piece | None:
        """Take the next piece of the text `key`; `offset`: the characters before it, if the publisher counts them.

        Returns None for a piece that was taken before.
        """
        if isinstance(event_id, str):
            id = (key, event_id)
            if id in self._ids:
                return None
            self._ids[id] = None
            undo.ids.append(id)
            if len(self._ids) > MOST_IDS:
                self._ids.popitem(last=False)
        before = self._texts.get(key)
        state = before
        if type(offset) is int and offset >= 0:
            if state is None or offset == 0:
                state = _Text(START, offset, offset, offset, torn=offset > 0)
            elif offset < state.taken:
                text = text[state.taken - offset :]  # the rest was taken before
            elif offset not in (state.taken, state.units):
                # Pieces are missing. What was held back may be half of a secret, so it counts as missing too.
                lost = offset - state.taken + len(state.held.text)
                state = _Text(START, offset, offset, state.shown + lost, torn=True)
        elif state is None:
            state = _Text(START, 0, 0, 0)
        skipped, torn = _rest_of_number(text) if state.torn else (0, False)
        start = state.shown + skipped
        before_text = Held(text[max(0, skipped - CONTEXT) : skipped]) if skipped else state.held
        shown, held = self._redactor.feed(before_text, text[skipped:])
        units = len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
        after = _Text(held, state.taken + len(text), state.units + units, start + len(shown), torn)
        self._put(key, after)
        undo.texts.append((key, before, after))
        return Piece(shown, start)

    def end(self, key: Hashable, undo: Undo) -> Piece | None:
        """Forget the text `key`. Returns what was held back, redacted; None if it was nothing."""
        before = self._texts.pop(key, None)
        if before is None:
            return None
        undo.texts.append((key, before, None))
        rest = self._redactor.feed(before.held, "", final=True)[0]
        return Piece(rest, before.shown) if rest else None

    def keys(self) -> list[Any]:
        """The keys of all texts in progress."""
        return list(self._texts)

    def undo(self, undo: Undo) -> None:
        """Reverse the changes in `undo`, except where a later request has gone on."""
        for key, before, after in reversed(undo.texts):
            if self._texts.get(key) is after:
                if before is None:
                    self._texts.pop(key, None)
                else:
                    self._put(key, before)
        for id in undo.ids:
            self._ids.pop(id, None)

    def _put(self, key: Hashable, text: _Text) -> None:
        self._texts[key] = text
        self._texts.move_to_end(key)
        if len(self._texts) > MOST_TEXTS:
            self._texts.popitem(last=False)


def _rest_of_number(text: str) -> tuple[int, bool]:
    """How many characters at the beginning of `text` are digits and separators, and whether that is all of it."""
    folded = fold(text)
    found = _REST.match(folded)
    size = found.end() if found else 0
    return (size if _DIGIT.search(folded, 0, size) else 0), size == len(text)
