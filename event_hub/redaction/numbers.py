"""Card and phone numbers: digits in groups, however they are separated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from stdnum import luhn

from .spans import Scan, Span

_GAP = "[ \t\n\r().,/_\u200b-]"
"""What people and speech recognizers write between the digits of a number; at most three in a row."""
_RUN = re.compile(f"[0-9](?:{_GAP}{{0,3}}[0-9])*")
_TAIL = re.compile(f"{_GAP}{{0,3}}\\Z")
_DIGIT = re.compile("[0-9]")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?![0-9]|\.[0-9])")
_DATE = re.compile(r"(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2(?:\d{4}|\d\d))(?![0-9]|[-./][0-9])")


class _Numbers:
    """Scans runs of digits and separators. A subclass says what a number is."""

    name: str
    most: int
    """Digits that a number has at most."""

    def number(self, text: str, start: int, at: list[int]) -> Span | None:
        """The longest number at `start`; `at`: the positions of its digits, up to one more than `most`."""
        raise NotImplementedError

    def possible(self, text: str, start: int, digits: str) -> bool:  # noqa: ARG002
        """Whether more digits could make a number of `digits`, which are at the end of a text that goes on."""
        return True

    def opening(self, text: str, digit: int) -> int:  # noqa: ARG002
        """Where a number begins whose first digit is at `digit`: before it, if a sign belongs to it."""
        return digit

    def scan(self, text: str, start: int, final: bool) -> Scan:
        """Implements `Detector.scan`."""
        spans: list[Span] = []
        taken = start
        for run in _RUN.finditer(text, max(0, start - 2)):
            open_ended = not final and _TAIL.match(text, run.end()) is not None
            at = [found.start() for found in _DIGIT.finditer(text, run.start(), run.end())]
            for index, digit in enumerate(at):
                if digit < taken or (digit and text[digit - 1] in "0123456789"):
                    continue
                if digit > 1 and text[digit - 1] in ".," and text[digit - 2] in "0123456789":
                    continue  # the fraction of a decimal number
                begin = self.opening(text, digit)
                if begin < taken:
                    begin = digit
                digits = at[index : index + self.most + 1]
                if open_ended and len(digits) <= self.most:
                    if self.possible(text, begin, "".join([text[place] for place in digits])):
                        return Scan(spans, begin)
                    continue
                span = self.number(text, begin, digits)
                if span is not None:
                    spans.append(span)
                    taken = span.end
        return Scan(spans, len(text))


class CardNumbers(_Numbers):
    """Payment card numbers: issuer's range, length and check digit."""

    name = "card"
    most = 19

    def possible(self, text: str, start: int, digits: str) -> bool:  # noqa: ARG002
        return digits[0] in "3456" or ((digits + "2999")[:4] >= "2221" and digits[:4] <= "2720")

    def number(self, text: str, start: int, at: list[int]) -> Span | None:
        digits = "".join([text[place] for place in at])
        if digits[0] not in "23456":
            return None
        for count in range(min(len(at), self.most), 11, -1):
            end = at[count - 1] + 1
            if end < len(text) and text[end] in "0123456789":
                continue
            if is_card(digits[:count]) and not _decimal(text[start:end]):
                return Span(start, end, self.name, start)
        return None


def _decimal(text: str) -> bool:
    """Whether `text` is most likely a decimal number, such as 4.532015112830366."""
    whole, point, fraction = text.partition(".")
    return bool(point) and whole.isdigit() and fraction.isdigit() and len(fraction) > 8


def is_card(digits: str) -> bool:
    """Whether `digits` are a card number of a known issuer, with its check digit."""
    length, two, four = len(digits), digits[:2], digits[:4]
    if digits[0] == "4":
        fits = length in (13, 16, 19)
    elif two in ("34", "37"):
        fits = length == 15
    elif digits[0] == "3":
        fits = length >= 14 and (two in ("30", "36", "38", "39") or ("3528" <= four <= "3589" and length >= 16))
    elif digits[0] == "2":
        fits = length == 16 and "2221" <= four <= "2720"
    elif digits[0] == "5":
        fits = length == 16 if "51" <= two <= "55" else length >= 12 and two != "59"
    else:
        fits = digits[0] == "6" and length >= 12
    return fits and bool(luhn.is_valid(digits))


class PhoneNumbers(_Numbers):
    """Phone numbers: international ones, and those that are dialled within one of `regions`."""

    name = "phone"
    most = 17

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = tuple(regions)

    def opening(self, text: str, digit: int) -> int:
        sign = _SIGN.search(text, max(0, digit - 4), digit)
        return sign.start() if sign else digit

    def number(self, text: str, start: int, at: list[int]) -> Span | None:
        international = "+" in text[start : at[0]]
        if start and (text[start - 1].isalnum() or text[start - 1] in "+_"):
            return None
        if start > 1 and text[start - 1] == "-" and text[start - 2].isalpha():
            return None  # part of an identifier
        if not international and (_DATE.match(text, start) or _ADDRESS.match(text, start)):
            return None
        digits = "".join([text[place] for place in at])
        if not international and digits.startswith("00") and len(digits) > 2 and digits[2] != "0":
            international, digits, at = True, digits[2:], at[2:]
        longest = 0
        for count in range(min(len(at), 15), 6, -1):
            end = at[count - 1] + 1
            if end < len(text) and (text[end].isalnum() or text[end] == "_"):
                continue
            if is_international(digits[:count]) if international else is_national(digits[:count], self._regions):
                return Span(start, end, self.name, start)
            if international and not longest and count >= 10:
                longest = end  # a number of no known range, but nobody writes + before anything else this long
        return Span(start, longest, self.name, start) if longest else None

    def scan(self, text: str, start: int, final: bool) -> Scan:
        found = super().scan(text, start, final)
        if not final and found.undecided == len(text):
            taken = found.spans[-1].end if found.spans else start
            sign = _SIGN.search(text, max(taken, len(text) - 4))
            return Scan(found.spans, sign.start()) if sign else found
        return found


_SIGN = re.compile("[(]?[+][(\u200b]{0,2}\\Z|[(]\\Z")
"""What belongs to a phone number before its first digit."""


def is_international(digits: str) -> bool:
    """Whether `digits`, after a +, are a valid phone number."""
    for length in (1, 2, 3):
        code = int(digits[:length])
        if code in COUNTRY_CODE_TO_REGION_CODE:
            rest = digits[length:]
            return _valid(code).fullmatch(rest) is not None or (
                rest[:1] == "0" and _valid(code).fullmatch(rest[1:]) is not None  # +49 (0)30 …
            )
    return False


def is_national(digits: str, regions: Sequence[str]) -> bool:
    """Whether `digits` are a valid number as it is dialled within one of `regions`, with the national prefix."""
    for region in regions:
        code, prefix = _dialling(region)
        if prefix and digits.startswith(prefix):
            if _valid(code).fullmatch(digits, len(prefix)):
                return True
        elif (not prefix or code == 1) and _valid(code).fullmatch(digits):
            return True
    return False


@lru_cache(maxsize=300)
def _dialling(region: str) -> tuple[int, str]:
    """The country code and the national prefix of `region`."""
    return phonenumbers.country_code_for_region(region), phonenumbers.ndd_prefix_for_region(region, True) or ""


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
