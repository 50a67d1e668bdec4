"""E-mail addresses, as RFC 5321 allows them without quotes, in any script."""

from __future__ import annotations

import re

from .spans import Pause, Scan, Span, no_pause

_LOCAL = r"[\w.!#$%&'*+/=?^`{|}~\u200b-]"
_LABEL = r"[\w\u200b-]{1,63}"
_DOMAIN = re.compile(rf"@\u200b?{_LABEL}(?:[.。]{_LABEL}){{0,4}}[.。](?:[^\W\d_]|\u200b){{2,24}}(?:-[\w-]{{1,40}})?")
_BEFORE = re.compile(rf"{_LOCAL}{{0,64}}")
"""The part before the @, backwards."""
_RUN = re.compile(r"[\w.!#$%&'*+/=?^`{|}~\u200b@。-]*")
"""The characters of an address, backwards."""
_LONGEST = 500
"""Characters that an address has at most: more than `_BEFORE` and `_DOMAIN` match together."""


def _run_before(pattern: re.Pattern[str], text: str, low: int, end: int) -> int:
    """Where the characters that `pattern` matches begin, right before `end` and not before `low`."""
    found = pattern.match(text[low:end][::-1])
    return end - (found.end() if found else 0)


class EmailAddresses:
    """Finds `name@host.tld`."""

    name = "email"
    needs = "@"

    def scan(self, text: str, start: int, final: bool, pause: Pause = no_pause) -> Scan:
        """Implements `Detector.scan`."""
        # Every word at the end of a text that goes on may become an address.
        undecided = len(text) if final else _run_before(_RUN, text, max(start, len(text) - _LONGEST), len(text))
        spans: list[Span] = []
        taken = start
        place = text.find("@", start)
        while place >= 0:
            pause()
            domain = _DOMAIN.match(text, place)
            begin = _run_before(_BEFORE, text, max(taken, place - 64), place) if domain else place
            if domain is None or begin == place:
                place = text.find("@", place + 1)
                continue
            if begin >= undecided:
                break
            spans.append(Span(begin, domain.end(), self.name, begin))
            taken = domain.end()
            place = text.find("@", taken)
        return Scan(spans, undecided)
