"""The input of `post`: the command line, a file, or stdin."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .exits import USAGE_ERROR, CommandFailed, write_stderr
from .ndjson import InvalidLine, LineParser, ParsedLine, decode_json, event_from_words, parse_lines

_BLOCK_SIZE = 256 << 10
"""Maximum bytes per read; a stream returns what has arrived."""


class PostInput:
    """The events to post. `numbered`: whether a message about an event should name its number.

    `check` parses a file and raises `CommandFailed` at its first invalid line. `read` yields the events in batches;
    `done` is the number of bytes read so far, of `size`.
    """

    def __init__(self, words: tuple[str, ...], path: Path | None, parser: LineParser, first: int) -> None:
        self.parser = parser
        self.first = first
        self.size: int | None = None
        self.done = 0
        self.numbered = True
        self.unit = "line"
        self._path = path
        self._array: list[Any] | None = None
        self.name = str(path) if path else "stdin"
        self._regular = False
        if path is not None and str(path) != "-":
            mode = path.stat()
            self._regular = stat.S_ISREG(mode.st_mode)
            if self._regular:
                self.size = mode.st_size
                self._array = _read_array(path)
                self.unit = "event" if self._array is not None else "line"
        elif words and list(words) != ["-"]:
            self._array = _parse_words(words)
            self.numbered = len(self._array) > 1
            self.unit = "event"
            self.name = "the command line"

    def check(self) -> None:
        """Raise `CommandFailed` for an invalid line before anything is sent. Does nothing for a stream."""
        if not self._regular and self._array is None:
            return
        for batch in self.read():
            for parsed in batch:
                if isinstance(parsed, InvalidLine):
                    raise CommandFailed(f"{self.label(parsed.number)}{parsed.reason}; nothing was sent")
        self.done = 0

    def label(self, number: int) -> str:
        """The prefix of a message about an event: `line 700: `."""
        return f"{self.unit} {number}: " if self.numbered else ""

    def read(self) -> Iterator[list[ParsedLine]]:
        """Yield the events, in order."""
        if self._array is not None:
            numbered = enumerate(self._array, 1)
            yield [self.parser.check(number, event) for number, event in numbered if number >= self.first]
            return
        yield from parse_lines(self._blocks(), self.parser, self.first)

    def _blocks(self) -> Iterable[bytes]:
        if self._path is None or str(self._path) == "-":
            if sys.stdin is None:
                raise CommandFailed("stdin is closed")
            descriptor, owned = sys.stdin.fileno(), False
            if os.isatty(descriptor):
                write_stderr("enter one event per line, as JSON; Ctrl-D ends")
        else:
            descriptor, owned = os.open(self._path, os.O_RDONLY), True
        try:
            while block := os.read(descriptor, _BLOCK_SIZE):
                self.done += len(block)
                yield block
        finally:
            if owned:
                os.close(descriptor)


def _parse_words(words: tuple[str, ...]) -> list[Any]:
    """The event, or events, given on the command line."""
    first = words[0].lstrip()
    if not first.startswith(("{", "[")):
        try:
            return [event_from_words(list(words))]
        except ValueError as error:
            raise CommandFailed(str(error), USAGE_ERROR) from None
    if len(words) > 1:
        raise CommandFailed("an event given as JSON must be a single argument: quote it", USAGE_ERROR)
    try:
        value = decode_json(first.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise CommandFailed(f"the event is {error}") from None
    return value if isinstance(value, list) else [value]


def _read_array(path: Path) -> list[Any] | None:
    """The events of a file that is a single JSON value: an array or, in a `.json` file, one object on several lines."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start.startswith(b"[") and path.suffix.lower() != ".json":
            return None
        file.seek(0)
        text = file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        value = decode_json(text)
    except ValueError as error:
        if start.startswith(b"["):
            raise CommandFailed(f"{path}: {error}; nothing was sent") from None
        return None
    return value if isinstance(value, list) else [value]
