"""Regular expressions of the operator's own, in linear time: RE2 cannot be made to stall by a pattern or a text."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .prefixes import beginnings
from .spans import CONTEXT, DIGITS, Pause, Scan, Span, no_pause

LONGEST = 256
"""Characters that a match has at most, so that a text that goes on is held back no further."""
_MEMORY = 8 << 20
"""Bytes that RE2 may use for one pattern."""


class Pattern:
    """Replaces what a regular expression matches; with a group in it, only what the first group matched.

    Raises ValueError, as the rest of a sentence, if RE2 cannot run it or if it matches the empty text. RE2 is the package
    `google-re2`.
    """

    def __init__(self, name: str, pattern: str, *, ignore_case: bool = False, needs: str = "") -> None:
        self.name = name
        self.needs = needs
        try:
            re2: Any = import_module("re2")
        except ImportError:
            raise ValueError("needs RE2, which runs any pattern in linear time: pip install google-re2") from None
        options: Any = re2.Options()
        options.case_sensitive = not ignore_case
        options.log_errors = False
        options.max_mem = _MEMORY
        try:
            self._pattern: Any = re2.compile(pattern, options=options)
            self._beginning: Any = re2.compile(f"(?:{beginnings(pattern)})\\z", options=options)
        except re2.error as error:
            detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
            raise ValueError(f"is not a regular expression that RE2 can run: {detail}") from None
        if self._pattern.match("") is not None:
            raise ValueError("matches the empty text, which would be everywhere")
        self._group = 1 if self._pattern.groups else 0

    def scan(self, text: str, start: int, final: bool, pause: Pause = no_pause) -> Scan:
        """Implements `Detector.scan`. Each search sees at most two matches' length, so a text costs linear time."""
        undecided = len(text) if final else self._undecided(text, start)
        spans: list[Span] = []
        place = start
        while place < undecided:
            pause()
            low = max(0, place - CONTEXT)
            found = self._pattern.search(text[low : place + 2 * LONGEST], place - low)
            if found is None or found.start() + low >= place + LONGEST:
                place += LONGEST
                continue
            begin = found.start() + low
            if found.end() - found.start() > LONGEST:
                low = max(0, begin - CONTEXT)
                found = self._pattern.match(text[low : begin + LONGEST], begin - low)
            first, last = found.span(self._group) if found else (0, 0)
            if found is None or last <= first:  # too long, empty, or without the group
                place = begin + 1
                continue
            if begin >= undecided:
                break
            spans.append(Span(first + low, last + low, self.name, begin))
            place = found.end() + low
        return Scan(spans, undecided)

    def _undecided(self, text: str, start: int) -> int:
        """Where the longest beginning of a match at the end of `text` starts."""
        first = max(start, len(text) - LONGEST)
        low = max(0, first - CONTEXT)
        found = self._beginning.search(text[low:], first - low)
        return low + found.start() if found else len(text)


_ACCOUNT = (
    r"(?:\baccount|\bacct|\ba/c|konto(?:nummer|nr)?|\bcompte|\bcuenta|\bconto|\brekening|\brouting|\bsort[ -]?code|\bblz)"
    r"\b[^0-9\n]{0,24}([0-9](?:[ \t.,/_\x{200b}-]{0,3}[0-9]){4,17})"
)


def account_numbers() -> Pattern:
    """Digits that follow a word for a bank account."""
    return Pattern("account", _ACCOUNT.replace(r"\x{200b}", "\u200b"), ignore_case=True, needs=DIGITS)
