"""The value of HUB_REDACT: what is to be redacted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .spans import Detector

NAMES = ("email", "phone", "card", "iban", "account", "dtmf")
"""What can be named. `account` includes `iban`; `dtmf` means the keys that a caller presses, see `event_fields`."""
REGIONS = ("US", "GB", "DE", "FR")
"""Where phone numbers without a country code are recognized, unless the setting names regions."""
_MOST_PATTERNS = 100
_ITEM = re.compile(
    r"\s*(?:(?:(?P<name>[\w-]{1,32})=)?/(?P<regex>(?:\\.|[^\\/])+)/(?P<case>i?)|(?P<word>@[^,]+|[^,/=@]*))\s*(?:,|\Z)"
)
_LINE = re.compile(r"\s*(?P<name>[\w-]{1,32})=(?P<regex>.+)")


@dataclass(frozen=True)
class Rules:
    """What is redacted. `names`: of everything that is, for `/api/config`; `dtmf`: the keys that a caller presses too."""

    names: tuple[str, ...]
    dtmf: bool
    detectors: tuple[Detector, ...] = field(repr=False)


def parse(text: str) -> Rules:
    """Read a value such as `email,phone:DE|US,card,ticket=/T-[0-9]+/,@/etc/hub/redact.txt`.

    Raises ValueError, whose text is a sentence for the operator, without the patterns themselves.
    """
    named: dict[str, Detector] = {}
    own: list[Detector] = []
    dtmf = False
    for word, name, pattern, ignore_case in _items(text):
        if word == "dtmf":
            dtmf = True
        elif word is not None:
            for detector in _named(word):
                named[detector.name] = detector
        else:
            if len(own) == _MOST_PATTERNS:
                raise ValueError(f"there are more than {_MOST_PATTERNS} patterns")
            own.append(_own(name, pattern, ignore_case))
    detectors = (*named.values(), *own)
    if not detectors and not dtmf:
        raise ValueError(f"names nothing to redact: write {', '.join(NAMES)}, /a pattern/ or @a-file")
    names = sorted({detector.name for detector in detectors} | ({"dtmf"} if dtmf else set()))
    return Rules(tuple(names), dtmf, detectors)


def _items(text: str) -> Iterator[tuple[str | None, str, str, bool]]:
    """Each item: a word, or None and the name, the pattern, and whether case is ignored."""
    place = 0
    while place < len(text):
        item = _ITEM.match(text, place)
        if item is None:
            raise ValueError(
                f"cannot be read from character {place + 1}: write names, /patterns/ (a / in one as \\/) and @files, "
                "separated by commas"
            )
        place = item.end()
        if item["regex"] is not None:
            yield None, item["name"] or "redacted", item["regex"].replace(r"\/", "/"), item["case"] == "i"
        elif (word := item["word"].strip()).startswith("@"):
            yield from _file(Path(word[1:]))
        elif word:
            yield word, "", "", False


def _file(path: Path) -> Iterator[tuple[str | None, str, str, bool]]:
    """The items of a file: a `name=pattern` or a name on each line; lines that begin with # are comments."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"the file {path} cannot be read: {reason}") from None
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if found := _LINE.fullmatch(stripped):
            yield None, found["name"], found["regex"], False
        elif stripped.partition(":")[0] in NAMES:
            yield stripped, "", "", False
        else:
            raise ValueError(f"line {number} of {path} is neither name=pattern nor one of {', '.join(NAMES)}")


def _own(name: str, pattern: str, ignore_case: bool) -> Detector:
    from .patterns import Pattern

    try:
        return Pattern(name, pattern, ignore_case=ignore_case)
    except ValueError as error:
        raise ValueError(f"the pattern {name} {error}") from None


def _named(word: str) -> Iterator[Detector]:
    """The detectors that `word` names; imports what they need."""
    name, colon, given = word.partition(":")
    if colon and name != "phone":
        raise ValueError(f"{word}: only phone has regions")
    if name == "email":
        from .email import EmailAddresses

        yield EmailAddresses()
    elif name == "card":
        from .numbers import CardNumbers

        yield CardNumbers()
    elif name == "phone":
        yield _phone([region.strip().upper() for region in given.split("|")] if colon else list(REGIONS))
    elif name in ("iban", "account"):
        from .iban import Ibans

        yield Ibans()
        if name == "account":
            yield _account()
    else:
        raise ValueError(f"{name} is not known: write {', '.join(NAMES)}, /a pattern/ or @a-file")


def _account() -> Detector:
    from .patterns import account_numbers

    try:
        return account_numbers()
    except ValueError as error:  # without RE2
        raise ValueError(f"account {error}") from None


def _phone(regions: list[str]) -> Detector:
    import phonenumbers

    from .numbers import PhoneNumbers

    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"phone: {region or 'an empty region'} is not a region: write phone:DE|US")
    return PhoneNumbers(regions)
