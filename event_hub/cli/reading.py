"""Lines of JSON to events that a hub would take, each with its number, or with what is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from ..events import InvalidEvent, check

MAX_EVENT = 64 << 10
"""What a hub takes as one event, unless it says otherwise (HUB_MAX_EVENT)."""
MAX_LINE = 8 << 20
"""A line that is longer is no event, and is not kept in memory to be told so."""
_BOM = b"\xef\xbb\xbf"
_TIMESTAMP = len(',"timestamp":1795255762.0908053')
_FIELD = re.compile(r"(.+?)(:=|=)(.*)", re.DOTALL)


class Item(NamedTuple):
    """An event that may be posted: the number of its line, and its size as JSON."""

    number: int
    event: dict[str, Any]
    size: int


class Broken(NamedTuple):
    """What cannot be posted: the number of its line, and why not."""

    number: int
    reason: str


class Passed(NamedTuple):
    """What is left out without being wrong: the hub's own `stream_gap` in an export."""

    number: int


Read = Item | Broken | Passed


@dataclass(frozen=True, slots=True)
class Reader:
    """How lines become events. `run` goes into the ids of those that have none: the same line of the same run has the
    same id, so that posting it again does no harm. `new_ids`: into all of them."""

    run: str
    new_ids: bool = False
    limit: int = MAX_EVENT

    def line(self, number: int, text: bytes | None) -> Read | None:
        """The event of one line; None where the line is empty. `text` None: it was too long to be kept."""
        if text is None:
            return Broken(number, f"longer than {MAX_LINE >> 20} MiB: NDJSON has one event a line")
        if number == 1:
            text = text.removeprefix(_BOM)
        if not text.strip():
            return None
        try:
            event = decode(text)
        except ValueError as error:
            return Broken(number, str(error))
        return self.event(number, event)

    def event(self, number: int, event: Any) -> Read:
        """A decoded event: with an id, or what is wrong with it."""
        if isinstance(event, dict):
            if event.get("type") == "stream_gap" and "missed" in event and "reason" in event:
                return Passed(number)
            if self.new_ids or event.get("event_id") is None:
                event = {**event, "event_id": f"{self.run}-{number}"}
        try:
            check(event)
            size = len(msgspec.json.encode(event)) + (_TIMESTAMP if event.get("timestamp") is None else 0)
        except InvalidEvent as error:
            return Broken(number, _sentence(error, event))
        except (RecursionError, ValueError) as error:
            return Broken(number, f"cannot be written as JSON: {error}")
        if size > self.limit:
            return Broken(number, f"takes {size:,} bytes as JSON, the limit is {self.limit:,} (HUB_MAX_EVENT)")
        return Item(number, event, size)


class Lines:
    """Bytes in whatever pieces they come to numbered lines."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._number = 0

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Take `piece`; yields the lines that it completes, None for one that was too long."""
        *whole, rest = piece.split(b"\n")
        for part in whole:
            self._keep(part)
            yield self._take()
        self._keep(rest)

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """Nothing more comes: yields what is left, a line without an end."""
        if self._size:
            yield self._take()

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= MAX_LINE:
            self._rest.append(part)
        else:
            self._rest.clear()

    def _take(self) -> tuple[int, bytes | None]:
        line = b"".join(self._rest) if self._size <= MAX_LINE else None
        self._rest.clear()
        self._size = 0
        self._number += 1
        return self._number, line


def read(pieces: Iterable[bytes], reader: Reader, first: int = 1) -> Iterator[list[Read]]:
    """What is in `pieces` from line `first` on: of each piece what it completes, as one list."""
    lines = Lines()
    for piece in pieces:
        yield [one for n, line in lines.feed(piece) if n >= first and (one := reader.line(n, line))]
    yield [one for n, line in lines.end() if n >= first and (one := reader.line(n, line))]


def decode(text: bytes) -> Any:
    """JSON to a value; raises ValueError that says what is wrong."""
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError
        raise ValueError(_why(text, error)) from None


def _why(text: bytes, error: ValueError) -> str:
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or text[1:2] == b"\0":
        return "not UTF-8 but UTF-16: save it as UTF-8"
    if text.startswith(b"\x1f\x8b"):
        return "compressed with gzip: unpack it first (zcat FILE | event-hub post -)"
    if text.startswith(_BOM):
        return "not JSON: it begins with a byte order mark"
    if isinstance(error, UnicodeDecodeError):  # msgspec counts from the string's beginning, if at all
        at = _valid(text)
        return f"not UTF-8: byte 0x{text[at]:02x} at {at}"
    reason = re.sub(r" - at `.*`$", "", str(error)).removeprefix("JSON is malformed: ")
    if "out of range" in reason:
        return "holds a number that is too large"
    if "truncated" in reason:
        return "not JSON: it breaks off, or holds half a surrogate pair"
    return f"not JSON: {reason[:1].lower()}{reason[1:]}"


def _valid(text: bytes) -> int:
    """How many bytes of `text`, which is not all UTF-8, are."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def event_of(words: list[str]) -> dict[str, Any]:
    """`transcript text=Hello final:=true` to an event: the type, then fields as text (`=`) or as JSON (`:=`); raises
    ValueError that says what is wrong."""
    kind, *fields = words
    if _FIELD.fullmatch(kind):
        raise ValueError(f"the type comes first: event-hub post transcript {kind}")
    event: dict[str, Any] = {"type": kind}
    for field in fields:
        found = _FIELD.fullmatch(field)
        if not found:
            raise ValueError(f"{field!r} is no field: write name=text, or name:=JSON")
        name, equals, value = found.groups()
        if name in event:
            raise ValueError(f"{name} is given twice")
        if equals == "=":
            event[name] = value
        else:
            try:
                event[name] = decode(value.encode("utf-8", "surrogateescape"))
            except ValueError as error:
                json_words = {"True": "true", "False": "false", "None": "null"}
                if value in json_words:
                    raise ValueError(f"{field}: JSON writes {name}:={json_words[value]}") from None
                raise ValueError(f"{field}: {error}; for text write {name}={value}") from None
    return event


_NAMES = {type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}


def _sentence(error: InvalidEvent, event: Any) -> str:
    """What is wrong, and what is there instead."""
    text = str(error).removeprefix(": ")
    value = event
    for part in error.field.split(".") if error.field else []:
        value = value.get(part) if isinstance(value, dict) else None
    if "input should be a valid" not in text or value is None:
        return text
    return f"{text}, not {_NAMES.get(type(value), 'an object')}"
