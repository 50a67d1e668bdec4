"""Card and phone numbers: digits in groups, however they are separated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from stdnum import luhn

from .spans import DIGITS, Pause, Scan, Span, no_pause

_GAP = "[ \t\n\r().,/_\u200b-]"
"""What people and speech recognizers write between the digits of a number; at most three in a row."""
_RUN = re.compile(f"[0-9](?:{_GAP}{{0,3}}[0-9])*")
_TAIL = re.compile(f"{_GAP}{{0,3}}\\Z")
_DIGIT = re.compile("[0-9]")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?![0-9]|\.[0-9])")
_DATE = re.compile(r"(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2(?:\d{4}|\d\d))(?![0-9]|[-./][0-9])")


_STEP = 2_000
"""Characters of a run in which digits are looked for between two pauses."""
_BLOCK = 1_000
"""Digits whose sums are computed together."""
_DOUBLED = str.maketrans("0123456789", "0246813579")
"""The sum of the digits of twice a digit."""


class _Run:
    """A run of digits and separators."""

    def __init__(self, text: str, low: int, high: int, pause: Pause) -> None:
        self.text = text
        self.places: list[int] = []
        for begin in range(low, high, _STEP):
            self.places += [found.start() for found in _DIGIT.finditer(text, begin, min(begin + _STEP, high))]
            pause()
        self.digits = "".join(map(text.__getitem__, self.places))
        self._block = -1
        self._sums: tuple[list[int], list[int]] = [], []

    def end(self, last: int) -> int:
        """The position after the digit `last`."""
        return self.places[last] + 1

    def splits(self, last: int) -> bool:
        """Whether another digit follows the digit `last` directly."""
        return last + 1 < len(self.places) and self.places[last + 1] == self.places[last] + 1

    def has_check_digit(self, index: int, count: int) -> bool:
        """Whether the `count` digits from `index` end with the check digit of the others (Luhn's), as each card number does.

        At most 20 digits. From sums over a block of digits, every second one doubled: so it costs the same for any number.
        """
        block = index - index % _BLOCK
        if block != self._block:
            digits = self.digits[block : block + _BLOCK + 20]
            even, odd = list(map(int, digits)), list(map(int, digits))
            doubled = list(map(int, digits.translate(_DOUBLED)))
            even[1::2], odd[::2] = doubled[1::2], doubled[::2]
            self._sums = [0, *accumulate(even)], [0, *accumulate(odd)]
            self._block = block
        first = index - block
        last = first + count
        sums = self._sums[(last - 1) % 2]  # the last digit is not doubled
        return (sums[last] - sums[first]) % 10 == 0


class _Numbers:
    """Scans runs of digits and separators. A subclass says what a number is."""

    name: str
    needs = DIGITS
    most: int
    """Digits that a number has at most."""
    overlapping = False
    """Whether a number is looked for within another: the first one may be a coincidence of check digits."""

    def number(self, run: _Run, index: int, begin: int) -> Span | None:
        """The longest number whose first digit is the digit `index` of the run, and which begins at `begin`."""
        raise NotImplementedError

    def possible(self, run: _Run, index: int) -> bool:  # noqa: ARG002
        """Whether more digits could make a number of those from `index`, at the end of a text that goes on."""
        return True

    def opening(self, text: str, digit: int) -> int:  # noqa: ARG002
        """Where a number begins whose first digit is at `digit`: before it, if a sign belongs to it."""
        return digit

    def scan(self, text: str, start: int, final: bool, pause: Pause = no_pause) -> Scan:
        """Implements `Detector.scan`."""
        spans: list[Span] = []
        taken = start
        for found in _RUN.finditer(text, max(0, start - 2)):
            open_ended = not final and _TAIL.match(text, found.end()) is not None
            run = _Run(text, found.start(), found.end(), pause)
            for index, digit in enumerate(run.places):
                if not index % 256:
                    pause()
                if digit < taken or (index and run.splits(index - 1)):
                    continue
                pause()
                before = text[digit - 1 : digit]
                if (before and before in DIGITS) or (digit > 1 and before in (".", ",") and text[digit - 2] in DIGITS):
                    continue  # within a number, or its fraction
                begin = max(taken, self.opening(text, digit))
                if open_ended and len(run.places) - index <= self.most:
                    if self.possible(run, index):
                        return Scan(spans, begin)
                    continue
                span = self.number(run, index, begin)
                if span is not None:
                    spans.append(span)
                    taken = taken if self.overlapping else span.end
        return Scan(spans, len(text))


class CardNumbers(_Numbers):
    """Payment card numbers: issuer's range, length and check digit."""

    name = "card"
    most = 19
    overlapping = True

    def possible(self, run: _Run, index: int) -> bool:
        digits = run.digits[index : index + 4]
        return digits[0] in "3456" or ((digits + "2999")[:4] >= "2221" and digits <= "2720")

    def number(self, run: _Run, index: int, begin: int) -> Span | None:
        if run.digits[index] not in "23456":
            return None
        available = len(run.places) - index
        for count in _lengths(run.digits[index : index + 4]):
            if count > available or run.splits(index + count - 1) or not run.has_check_digit(index, count):
                continue
            if not luhn.is_valid(run.digits[index : index + count]):
                continue
            end = run.end(index + count - 1)
            if not _decimal(run.text[begin:end]):
                return Span(begin, end, self.name, begin)
        return None


def _decimal(text: str) -> bool:
    """Whether `text` is most likely a decimal number, such as 4.532015112830366."""
    whole, point, fraction = text.partition(".")
    return bool(point) and whole.isdigit() and fraction.isdigit() and len(fraction) > 8


@lru_cache(maxsize=10_000)
def _lengths(four: str) -> tuple[int, ...]:
    """How many digits a card number has that begins with these four, longest first; empty if no issuer has such."""
    two = four[:2]
    if len(four) < 4:
        return ()
    if four[0] == "4":
        return (19, 16, 13)
    if two in ("34", "37"):
        return (15,)
    if four[0] == "3":
        lengths = range(19, 13, -1) if two in ("30", "36", "38", "39") else range(19, 15, -1)
        return tuple(lengths) if two in ("30", "36", "38", "39") or "3528" <= four <= "3589" else ()
    if four[0] == "2":
        return (16,) if "2221" <= four <= "2720" else ()
    if "51" <= two <= "55":
        return (16,)
    return tuple(range(19, 11, -1)) if four[0] == "6" or (four[0] == "5" and two != "59") else ()


class PhoneNumbers(_Numbers):
    """Phone numbers: international ones, and those that are dialled within one of `regions`."""

    name = "phone"
    most = 17

    def __init__(self, regions: Sequence[str]) -> None:
        self._national = _national(regions)

    def opening(self, text: str, digit: int) -> int:
        sign = _SIGN.search(text, max(0, digit - 4), digit)
        return sign.start() if sign else digit

    def number(self, run: _Run, index: int, begin: int) -> Span | None:
        text = run.text
        if begin and (text[begin - 1].isalnum() or text[begin - 1] in "+_"):
            return None
        if begin > 1 and text[begin - 1] == "-" and text[begin - 2].isalpha():
            return None  # part of an identifier
        if "+" in text[begin : run.places[index]]:
            return self._international(run, index, begin)
        digits = run.digits[index : index + self.most]
        if digits[:2] == "00":
            found = self._international(run, index + 2, begin) if digits[2:3] not in ("", "0") else None
            if found is not None:
                return found
        for length, skipped, pattern in self._national.get(digits[0], ()):
            if len(digits) < length or not self._ends(run, index + length - 1):
                continue
            if pattern.fullmatch(digits, skipped, length) and not (
                _DATE.match(text, begin) or _ADDRESS.match(text, begin)
            ):
                return Span(begin, run.end(index + length - 1), self.name, begin)
        return None

    def _international(self, run: _Run, index: int, begin: int) -> Span | None:
        """The number whose country code begins with the digit `index`."""
        digits = run.digits[index : index + 15]
        valid = _country(digits)
        if valid is None:
            return None
        size, pattern = valid
        longest = 0
        for count in range(len(digits), 6, -1):
            if not self._ends(run, index + count - 1):
                continue
            skipped = size + (digits[size : size + 1] == "0")  # +49 (0)30 …
            if pattern.fullmatch(digits, size, count) or (skipped > size and pattern.fullmatch(digits, skipped, count)):
                return Span(begin, run.end(index + count - 1), self.name, begin)
            if not longest and count >= 10:
                longest = run.end(index + count - 1)  # of no known range, but what else has a + before so many digits?
        return Span(begin, longest, self.name, begin) if longest else None

    @staticmethod
    def _ends(run: _Run, last: int) -> bool:
        following = run.text[run.end(last) : run.end(last) + 1]
        return not (following.isalnum() or following == "_")

    def scan(self, text: str, start: int, final: bool, pause: Pause = no_pause) -> Scan:
        found = super().scan(text, start, final, pause)
        if not final and found.undecided == len(text):
            taken = found.spans[-1].end if found.spans else start
            sign = _SIGN.search(text, max(taken, len(text) - 4))
            return Scan(found.spans, sign.start()) if sign else found
        return found


_SIGN = re.compile("[(]?[+][(\u200b]{0,2}\\Z|[(]\\Z")
"""What belongs to a phone number before its first digit."""


def _country(digits: str) -> tuple[int, re.Pattern[str]] | None:
    """The size of the country code that `digits` begin with, and what matches its national numbers."""
    for size in (1, 2, 3):
        if int(digits[:size] or 0) in COUNTRY_CODE_TO_REGION_CODE:
            return size, _valid(int(digits[:size]))
    return None


def _national(regions: Sequence[str]) -> dict[str, list[tuple[int, int, re.Pattern[str]]]]:
    """How numbers are dialled within `regions`, by their first digit: the number of digits, how many of them are the
    national prefix, and what matches the rest. Longest first."""
    ways: dict[str, set[tuple[int, int, re.Pattern[str]]]] = {}
    for region in regions:
        code = phonenumbers.country_code_for_region(region)
        prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""
        known = PhoneMetadata.metadata_for_region(region, None)
        for length in known.general_desc.possible_length if known and known.general_desc else ():
            if prefix:
                ways.setdefault(prefix[0], set()).add((len(prefix) + length, len(prefix), _valid(code)))
            if not prefix or code == 1:
                for first in "0123456789":
                    ways.setdefault(first, set()).add((length, 0, _valid(code)))
    return {first: sorted(several, key=lambda way: way[:2], reverse=True) for first, several in ways.items()}


@lru_cache(maxsize=300)
def _valid(code: int) -> re.Pattern[str]:
    """Matches the national numbers of a country code, without the national prefix."""
    patterns = {pattern for region in COUNTRY_CODE_TO_REGION_CODE[code] for pattern in _patterns(region, code)}
    return re.compile("|".join(f"(?:{pattern})" for pattern in sorted(patterns)))


_KINDS = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan")


def _patterns(region: str, code: int) -> Iterator[str]:
    known = (
        PhoneMetadata.metadata_for_nongeo_region(code)
        if region == "001"
        else PhoneMetadata.metadata_for_region(region, None)
    )
    for kind in _KINDS:
        described = getattr(known, kind, None)
        pattern = described.national_number_pattern if described else None
        if pattern and pattern != "NA":
            yield pattern
