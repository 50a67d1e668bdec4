"""NDJSON to events that a hub accepts, each with its line number, or the reason it is invalid; and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from ..client import Received
from ..events import InvalidEvent, check

MAX_EVENT = 64 << 10
"""The hub's default limit for one event (HUB_MAX_EVENT)."""
MAX_LINE = 8 << 20
"""Longer lines are invalid, and are not kept in memory."""
_BOM = b"\xef\xbb\xbf"
_TIMESTAMP_SIZE = len(',"timestamp":1795255762.0908053')
_FIELD = re.compile(r"(.+?)(:=|=)(.*)", re.DOTALL)


class InputEvent(NamedTuple):
    """A valid event, with the number of its line and its size as JSON."""

    number: int
    event: dict[str, Any]
    size: int


class InvalidLine(NamedTuple):
    """A line that cannot be posted, and why."""

    number: int
    reason: str


class SkippedGap(NamedTuple):
    """A `stream_gap` or an erased event of an export: only the hub creates those, so it is skipped without an error."""

    number: int


ParsedLine = InputEvent | InvalidLine | SkippedGap


@dataclass(frozen=True, slots=True)
class LineParser:
    """Parses lines into events.

    An event without an id gets one from `run` and its line number: posting the same line of the same run again stores
    nothing twice. `new_ids`: replace all ids. `limit`: maximum bytes of an event.
    """

    run: str
    new_ids: bool = False
    limit: int = MAX_EVENT

    def parse(self, number: int, text: bytes | None) -> ParsedLine | None:
        """Parse a line. Returns None for an empty line. `text` is None if the line was too long to keep."""
        if text is None:
            return InvalidLine(number, f"longer than {MAX_LINE >> 20} MiB: NDJSON has one event per line")
        if number == 1:
            text = text.removeprefix(_BOM)
        if not text.strip():
            return None
        try:
            event = decode_json(text)
        except ValueError as error:
            return InvalidLine(number, str(error))
        return self.check(number, event)

    def check(self, number: int, event: Any) -> ParsedLine:
        """Check a decoded event, and give it an id if it has none."""
        if isinstance(event, dict):
            if event.get("type") == "stream_gap" and "missed" in event and "reason" in event:
                return SkippedGap(number)
            if event.get("type") in ("event_erased", "events_erased"):
                return SkippedGap(number)
            if self.new_ids or event.get("event_id") is None:
                event = {**event, "event_id": f"{self.run}-{number}"}
        try:
            check(event)
            size = len(msgspec.json.encode(event)) + (_TIMESTAMP_SIZE if event.get("timestamp") is None else 0)
        except InvalidEvent as error:
            return InvalidLine(number, _explain(error, event))
        except (RecursionError, ValueError) as error:
            return InvalidLine(number, f"cannot be encoded as JSON: {error}")
        if size > self.limit:
            return InvalidLine(number, f"{size:,} bytes as JSON, the limit is {self.limit:,} (HUB_MAX_EVENT)")
        return InputEvent(number, event, size)


class LineSplitter:
    """Splits bytes, received in blocks of any size, into numbered lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._number = 0

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Take the next block and yield the lines that it completes; None for a line that was too long."""
        *complete, rest = block.split(b"\n")
        for part in complete:
            self._append(part)
            yield self._line()
        self._append(rest)

    def end(self) -> Iterator[tuple[int, bytes | None]]:
        """End of input: yield the last line, if it has no line break."""
        if self._size:
            yield self._line()

    def _append(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= MAX_LINE:
            self._parts.append(part)
        else:
            self._parts.clear()

    def _line(self) -> tuple[int, bytes | None]:
        line = b"".join(self._parts) if self._size <= MAX_LINE else None
        self._parts.clear()
        self._size = 0
        self._number += 1
        return self._number, line


def parse_lines(blocks: Iterable[bytes], parser: LineParser, first: int = 1) -> Iterator[list[ParsedLine]]:
    """Parse `blocks` from line `first` on. Yields one list for each block: the lines that it completes."""
    splitter = LineSplitter()
    for block in blocks:
        yield [parsed for n, line in splitter.feed(block) if n >= first and (parsed := parser.parse(n, line))]
    yield [parsed for n, line in splitter.end() if n >= first and (parsed := parser.parse(n, line))]


def decode_json(text: bytes) -> Any:
    """Decode JSON. Raises ValueError with the reason."""
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError
        raise ValueError(_decode_error(text, error)) from None


def _decode_error(text: bytes, error: ValueError) -> str:
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or text[1:2] == b"\0":
        return "not UTF-8 but UTF-16: save it as UTF-8"
    if text.startswith(b"\x1f\x8b"):
        return "compressed with gzip: decompress it first (zcat FILE | event-hub post -)"
    if text.startswith(_BOM):
        return "not JSON: it starts with a byte order mark"
    if isinstance(error, UnicodeDecodeError):  # msgspec counts from the start of the string, if at all
        at = _first_invalid_byte(text)
        return f"not UTF-8: byte 0x{text[at]:02x} at {at}"
    reason = re.sub(r" - at `.*`$", "", str(error)).removeprefix("JSON is malformed: ")
    if "out of range" in reason:
        return "contains a number that is too large"
    if "truncated" in reason:
        return "not JSON: it is cut off, or contains half a surrogate pair"
    return f"not JSON: {reason[:1].lower()}{reason[1:]}"


def _first_invalid_byte(text: bytes) -> int:
    """The position of the first byte of `text` that is not UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def event_from_words(words: list[str]) -> dict[str, Any]:
    """`transcript text=Hello final:=true` as an event: the type, then fields as text (`=`) or JSON (`:=`). Raises
    ValueError with the reason."""
    kind, *fields = words
    if _FIELD.fullmatch(kind):
        raise ValueError(f"the type comes first: event-hub post transcript {kind}")
    event: dict[str, Any] = {"type": kind}
    for field in fields:
        found = _FIELD.fullmatch(field)
        if not found:
            raise ValueError(f"{field!r} is not a field: write name=text, or name:=JSON")
        name, equals, value = found.groups()
        if name in event:
            raise ValueError(f"{name} is given twice")
        if equals == "=":
            event[name] = value
        else:
            try:
                event[name] = decode_json(value.encode("utf-8", "surrogateescape"))
            except ValueError as error:
                json_words = {"True": "true", "False": "false", "None": "null"}
                if value in json_words:
                    raise ValueError(f"{field}: in JSON, write {name}:={json_words[value]}") from None
                raise ValueError(f"{field}: {error}; for text, write {name}={value}") from None
    return event


_TYPE_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
}


def _explain(error: InvalidEvent, event: Any) -> str:
    """What is wrong, and what was found instead."""
    text = str(error).removeprefix(": ")
    value = event
    for name in error.field.split(".") if error.field else []:
        value = value.get(name) if isinstance(value, dict) else None
    if "input should be a valid" not in text or value is None:
        return text
    return f"{text}, not {_TYPE_NAMES.get(type(value), 'an object')}"


def with_id(received: Received) -> str:
    """An event and its id as one line of JSON, with the event exactly as the hub sent it."""
    return f'{{"id":{msgspec.json.encode(received.id).decode()},"event":{received.raw}}}'
