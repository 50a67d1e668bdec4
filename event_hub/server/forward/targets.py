"""Forwarding targets: parses and checks `HUB_FORWARD`. Pure."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from os.path import abspath
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ..filters import BadFilter, Filter
from ..units import size

WEBHOOK, FILE, COLLECTOR = "webhook", "file", "collector"
ENDS = ("session_ended", "agent_process_exited", "livekit_room_finished")
"""Types of events with which a session ends, so that a collector gets it."""
MOST_EVENTS = 1000
"""Maximum events in one request."""

_KINDS = {"http": WEBHOOK, "https": WEBHOOK, "file": FILE, "otlp+http": COLLECTOR, "otlp+https": COLLECTOR}
_FILTERS = ("type", "room", "session")
_OPTIONS = {
    WEBHOOK: (*_FILTERS, "since", "batch"),
    FILE: (*_FILTERS, "since", "rotate", "keep"),
    COLLECTOR: ("room", "session", "since", "header"),
}
_ALL = Filter()
_REPEATED = (*_FILTERS, "header")
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):\s*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_SECRET_PART = 16
"""Length from which a part of a URL's path may be a secret and is masked."""
_SMALLEST_FILE = 1000
"""Bytes: a smaller file holds an event or two, so the unit is most likely a mistake."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target. Logs, health and metrics display it as `shown`, without secrets."""

    kind: str
    address: str = field(repr=False)
    """The URL or the path of the file, without options."""
    key: str = field(repr=False)
    """What its checkpoint belongs to: the target as written, without options."""
    shown: str
    filter: Filter
    everything: bool = False
    """A new target starts with the oldest stored event."""
    batch: int = 100
    """Maximum events in one request."""
    rotate: int = 100_000_000
    """Size in bytes beyond which the file is rotated."""
    keep: int = 10
    """Number of rotated files to keep; 0 keeps all."""
    sessions: Filter = _ALL
    """Which sessions a collector gets: the end of a process names none."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers that a collector wants, such as a credential."""

    @property
    def destination(self) -> str:
        """Equal for two targets that would deliver to the same URL or file."""
        return self.address if self.kind != FILE else f"file:{abspath(self.address)}"

    @property
    def slug(self) -> str:
        """The name of its checkpoint file: readable, and unique per target."""
        name = urlsplit(self.address).hostname or "" if self.kind != FILE else Path(self.address).stem
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:60] or self.kind
        return f"{readable}-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"


def parse(text: str) -> tuple[Target, ...]:
    """The targets in `text`, separated by white space.

    Raises ValueError with a text that says what is wrong with which target, without secrets.
    """
    targets = [_target(number, part) for number, part in enumerate(text.split(), 1)]
    for destination, count in Counter(target.destination for target in targets).items():
        if count > 1:
            shown = next(target.shown for target in targets if target.destination == destination)
            raise ValueError(
                f"{shown} is listed {count} times; one target can have several rooms and types, as in #type=a&type=b"
            )
    return tuple(_with_unique_names(targets))


def refuse_own(targets: Iterable[Target], hosts: Container[str | None], port: int | None) -> None:
    """Raises ValueError if one of `targets` is the collector of the hub that listens on `port` of `hosts`."""
    for target in targets:
        url = urlsplit(target.address)
        if target.kind == COLLECTOR and url.scheme == "http" and url.hostname in hosts and (url.port or 80) == port:
            raise ValueError(f"{target.shown} is this hub itself: write the port of the collector, such as :4318")


def mask(url: SplitResult) -> str:
    """The URL without secrets: user, password, query, and every part of the path that is long enough to be a secret, as
    in the URLs of receivers without passwords, are replaced by `***`."""
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
        raise ValueError(f"target {number} is not a valid URL: {_without_secret(whole, str(error))}") from None
    path = unquote(url.path)
    if kind in (WEBHOOK, COLLECTOR) and url.hostname and re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", whole):
        address, shown = whole.removeprefix("otlp+"), mask(url)
    elif kind == FILE and not url.netloc and not url.query and path not in ("", "/") and path.isprintable():
        address = re.sub(r"^/(?=[A-Za-z]:/)", "", path)  # file:///C:/events.jsonl
        shown = f"file:{address}"
    else:
        raise ValueError(
            f"target {number} is not a target: write https://example.org/hook, otlp+http://collector:4318, "
            "file:var/events.jsonl or file:///srv/events.jsonl, with special characters percent-encoded, and options "
            "after a #"
        )
    try:
        return _with_options(kind, address, whole, shown, fragment)
    except ValueError as error:
        raise ValueError(f"target {number}, {shown}: {error}") from None


def _without_secret(secret: str, sentence: str) -> str:
    """Python's error for an invalid URL, unless it quotes the URL."""
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
        if name not in _REPEATED and len(values) > 1:
            raise ValueError(f"the option {name} is given {len(values)} times")
    try:
        filter = sessions = Filter.of(given.get("room", ()), given.get("type", ()), given.get("session", ()))
        if kind == COLLECTOR:
            filter = Filter.of(types=ENDS)
    except BadFilter as error:
        raise ValueError(str(error)) from None
    since = given.get("since", [""])[0]
    if since not in ("", "all"):
        raise ValueError("since can only be all; without it, forwarding starts with the next event")
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
        sessions=sessions if kind == COLLECTOR else _ALL,
        headers=tuple(_header(text) for text in given.get("header", ())),
    )


def _header(text: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(text)
    if found is None:
        raise ValueError("header must be Name:value, percent-encoded, as in header=Authorization:Bearer%20KEY")
    return found[1], found[2]


def _unknown(name: str, kind: str) -> str:
    other = next((k for k, names in _OPTIONS.items() if k != kind and name in names), None)
    if other:
        return f"the option {name} applies only to a {other}"
    if not re.fullmatch(r"[a-zA-Z_-]{1,20}", name):  # it may be the rest of a password with a # in it
        return f"an option is unknown: the options are {', '.join(_OPTIONS[kind])}"
    close = difflib.get_close_matches(name, _OPTIONS[kind], 1)
    return f"the option {name!r} is unknown" + (
        f"; do you mean {close[0]}?" if close else f": the options are {', '.join(_OPTIONS[kind])}"
    )


def _number(given: dict[str, list[str]], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, [str(default)])[0]
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"{name}={text} is not a number from {least} to {most}")
    return int(text)


def _size(given: dict[str, list[str]], name: str, default: int) -> int:
    text = given.get(name, [str(default)])[0]
    try:
        limit = size(text)
    except ValueError as error:
        raise ValueError(f"{name}={text} {error}") from None
    if limit < _SMALLEST_FILE:
        raise ValueError(f"{name}={text} is too small: write 100MB, or at least {_SMALLEST_FILE}")
    return limit


def _with_unique_names(targets: list[Target]) -> Iterator[Target]:
    """Number the targets that are displayed alike, so that metrics can tell them apart."""
    seen: Counter[str] = Counter()
    for target in targets:
        seen[target.shown] += 1
        count = seen[target.shown]
        yield target if count == 1 else replace(target, shown=f"{target.shown} ({count})")
