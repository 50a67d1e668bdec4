"""International bank account numbers: country, length and check digits."""

from __future__ import annotations

import re

from stdnum import iban, numdb

from .spans import DIGITS, Pause, Scan, Span, no_pause

_GAP = "[ \t\n\r./_\u200b-]{0,3}"


def _lengths() -> dict[str, int]:
    """The length of an IBAN in each country."""
    known = numdb.get("iban")
    lengths = {}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for country in (first + second for first in letters for second in letters):
        structure = known.info(country)[0][1].get("bban")
        if structure:
            lengths[country] = 4 + sum(int(size) for size in re.findall(r"\d+", structure))
    return lengths


_LENGTHS = _lengths()
_COUNTRY = "|".join(f"{country[0]}\u200b?{country[1]}" for country in sorted(_LENGTHS))
_LEFT = "(?:(?<![0-9A-Za-z])|(?<=iban))"
_HEAD = re.compile(f"{_LEFT}(?:{_COUNTRY}){_GAP}[0-9]{_GAP}[0-9]", re.I)
_LOOSE = re.compile(
    f"{_LEFT}(?:[{''.join(sorted({country[0] for country in _LENGTHS}))}]\u200b?"
    f"|(?:{_COUNTRY}){_GAP}(?:[0-9]{_GAP})?)\\Z",
    re.I,
)
"""The beginning of an IBAN at the end of a text that goes on, before its second digit."""
_NEXT = re.compile(f"{_GAP}([0-9A-Za-z])")
_TAIL = re.compile(f"{_GAP}\\Z")
_LONGEST_HEAD = 16
_STEP = 2_000
"""Characters in which a head is searched between two pauses."""


class Ibans:
    """Finds IBANs in any grouping."""

    name = "iban"
    needs = DIGITS

    def scan(self, text: str, start: int, final: bool, pause: Pause = no_pause) -> Scan:
        """Implements `Detector.scan`."""
        spans: list[Span] = []
        place = taken = start
        while place < len(text):
            pause()
            head = _HEAD.search(text, place, place + _STEP + _LONGEST_HEAD)
            if head is None or head.start() >= place + _STEP:  # which may have been cut off
                place += _STEP
                continue
            compact = re.sub("[^0-9A-Za-z]", "", head.group()).upper()
            length, end = _LENGTHS[compact[:2]], head.end()
            while len(compact) < length and (following := _NEXT.match(text, end)):
                compact += following[1].upper()
                end = following.end()
            if len(compact) < length:
                if not final and _TAIL.match(text, end):
                    return Scan(spans, head.start())
                place = head.start() + 1
            elif iban.is_valid(compact):
                spans.append(Span(head.start(), end, self.name, head.start()))
                place = taken = end
            else:
                place = head.start() + 1
        if final:
            return Scan(spans, len(text))
        loose = _LOOSE.search(text, max(taken, len(text) - _LONGEST_HEAD))
        return Scan(spans, loose.start() if loose else len(text))
