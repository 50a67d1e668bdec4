"""Where events are forwarded to: `HUB_FORWARD`, read and checked. Pure."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from os.path import abspath
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..filters import BadFilter, Filter
from ..units import size

WEBHOOK, FILE = "webhook", "file"
MOST_EVENTS = 1000
"""Events in one request, at the most."""

_KINDS = {"http": WEBHOOK, "https": WEBHOOK, "file": FILE}
_FILTERS = ("type", "room", "session")
_OPTIONS = {WEBHOOK: (*_FILTERS, "since", "batch"), FILE: (*_FILTERS, "since", "rotate", "keep")}
_SECRET_PART = 16
"""Characters of a part of a path that is not shown."""
_SMALLEST_FILE = 1000
"""Bytes: less than that is a file for each event or two, which is most likely a slip in the unit."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target. `shown` is how logs, health and metrics name it: without what may be secret."""

    kind: str
    address: str = field(repr=False)
    """The URL, or the path of the file, without the options."""
    key: str = field(repr=False)
    """What its place is kept under: the target as it is written, without its options."""
    shown: str
    filter: Filter
    everything: bool = False
    """Begin with the oldest event of the history, where the target is new."""
    batch: int = 100
    """Events in one request, at the most."""
    rotate: int = 100_000_000
    """Bytes after which another file is begun."""
    keep: int = 10
    """Files that are kept beside the one that grows; 0: all."""

    @property
    def place(self) -> str:
        """The same for targets that are the same."""
        return self.address if self.kind == WEBHOOK else f"file:{abspath(self.address)}"

    @property
    def slug(self) -> str:
        """A file name for its place: readable, and different for different targets."""
        name = urlsplit(self.address).hostname or "" if self.kind == WEBHOOK else Path(self.address).stem
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:60] or self.kind
        return f"{readable}-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"


def parse(text: str) -> tuple[Target, ...]:
    """The targets that `text` names, separated by white space; raises ValueError that says what is wrong with which,
    without telling any of its secrets."""
    targets = [_target(number, part) for number, part in enumerate(text.split(), 1)]
    for place, count in Counter(target.place for target in targets).items():
        if count > 1:
            shown = next(target.shown for target in targets if target.place == place)
            raise ValueError(
                f"{shown} is named {count} times; a target may have several rooms and types, as in #type=a&type=b"
            )
    return tuple(_told_apart(targets))


def mask(url: SplitResult) -> str:
    """A URL as it may be shown to everybody: without user, password and query, and without those parts of its path that
    are long enough to be a secret, as receivers that ask for no password have them."""
    host = url.netloc.rpartition("@")
    path = "/".join("***" if len(part) >= _SECRET_PART else part for part in url.path.split("/"))
    return f"{url.scheme}://{'***@' if host[1] else ''}{host[2]}{path}{'?***' if url.query else ''}"


def _target(number: int, text: str) -> Target:
    whole, _, fragment = text.partition("#")
    try:
        url = urlsplit(whole)
        kind = _KINDS.get(url.scheme, "")
        _ = url.port
    except ValueError as error:
        raise ValueError(f"target {number} is no URL: {_without(whole, str(error))}") from None
    path = unquote(url.path)
    if kind == WEBHOOK and url.hostname and re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", whole):
        address, shown = whole, mask(url)
    elif kind == FILE and not url.netloc and not url.query and path not in ("", "/") and path.isprintable():
        address = re.sub(r"^/(?=[A-Za-z]:/)", "", path)  # file:///C:/events.jsonl
        shown = f"file:{address}"
    else:
        raise ValueError(
            f"target {number} is no target: write https://example.org/hook, file:var/events.jsonl or "
            "file:///srv/events.jsonl, with what is no plain ASCII percent-encoded, and options behind a #"
        )
    try:
        return _with_options(kind, address, whole, shown, fragment)
    except ValueError as error:
        raise ValueError(f"target {number}, {shown}: {error}") from None


def _without(secret: str, sentence: str) -> str:
    """What Python says of a wrong URL may quote it."""
    return "its host or port cannot be read" if any(part in sentence for part in (secret, "'")) else sentence


def _with_options(kind: str, address: str, key: str, shown: str, fragment: str) -> Target:
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(fragment, keep_blank_values=True):
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        if name not in _OPTIONS[kind]:
            raise ValueError(_unknown(name, kind))
        if not all(values):
            raise ValueError(f"the option {name} has no value")
        if name not in _FILTERS and len(values) > 1:
            raise ValueError(f"the option {name} is given {len(values)} times")
    try:
        filter = Filter.of(*(given.get(name, ()) for name in ("room", "type", "session")))
    except BadFilter as error:
        raise ValueError(str(error)) from None
    since = given.get("since", [""])[0]
    if since not in ("", "all"):
        raise ValueError("since can only be all; without it, forwarding begins with what comes from now on")
    return Target(
        kind,
        address,
        key,
        shown,
        filter,
        everything=since == "all",
        batch=_number(given, "batch", 100, 1, MOST_EVENTS),
        rotate=_size(given, "rotate", 100_000_000),
        keep=_number(given, "keep", 10, 0, 1_000_000),
    )


def _unknown(name: str, kind: str) -> str:
    other = next((k for k, names in _OPTIONS.items() if k != kind and name in names), None)
    if other:
        return f"the option {name} is for a {other} only"
    if not re.fullmatch(r"[a-zA-Z_-]{1,20}", name):  # it may be the rest of a password that has a # in it
        return f"there is an option that is none: there are {', '.join(_OPTIONS[kind])}"
    close = difflib.get_close_matches(name, _OPTIONS[kind], 1)
    return f"there is no option {name!r}" + (
        f"; do you mean {close[0]}?" if close else f": there are {', '.join(_OPTIONS[kind])}"
    )


def _number(given: dict[str, list[str]], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, [str(default)])[0]
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"{name}={text} is no number from {least} to {most}")
    return int(text)


def _size(given: dict[str, list[str]], name: str, default: int) -> int:
    text = given.get(name, [str(default)])[0]
    try:
        found = size(text)
    except ValueError as error:
        raise ValueError(f"{name}={text} {error}") from None
    if found < _SMALLEST_FILE:
        raise ValueError(f"{name}={text} is less than a file should have: write 100MB, or at least {_SMALLEST_FILE}")
    return found


def _told_apart(targets: list[Target]) -> Iterator[Target]:
    """Those that differ only in what is not shown get a number, so that figures can tell them apart."""
    seen: Counter[str] = Counter()
    for target in targets:
        seen[target.shown] += 1
        count = seen[target.shown]
        yield target if count == 1 else replace(target, shown=f"{target.shown} ({count})")
