"""Where `post` takes events from: the command line, a file, stdin."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .ending import USAGE, Failed, say
from .reading import Broken, Read, Reader, decode, event_of, read

_PIECE = 256 << 10
"""Bytes read at a time: of a stream, whatever is there by then."""


class Source:
    """Where the events come from: the command line, a file, stdin. `counted`: its lines have numbers that matter.

    `check` reads a file through and raises `Failed` at its first broken line; `read` gives what there is, a batch at a
    time; `done` is how many bytes of `size` were read.
    """

    def __init__(self, words: tuple[str, ...], path: Path | None, reader: Reader, first: int) -> None:
        self.reader = reader
        self.first = first
        self.size: int | None = None
        self.done = 0
        self.counted = True
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
                self._array = _array(path)
                self.unit = "event" if self._array is not None else "line"
        elif words and list(words) != ["-"]:
            self._array = _given(words)
            self.counted = len(self._array) > 1
            self.unit = "event"
            self.name = "the command line"

    def check(self) -> None:
        """Where all of it is at hand: raise `Failed` for what is broken before anything is sent."""
        if not self._regular and self._array is None:
            return
        for batch in self.read():
            for one in batch:
                if isinstance(one, Broken):
                    raise Failed(f"{self.place(one.number)}{one.reason}; nothing was sent")
        self.done = 0

    def place(self, number: int) -> str:
        """Where an event is, for a message: `line 700: `."""
        return f"{self.unit} {number}: " if self.counted else ""

    def read(self) -> Iterator[list[Read]]:
        """What there is, in order."""
        if self._array is not None:
            numbered = enumerate(self._array, 1)
            yield [self.reader.event(number, one) for number, one in numbered if number >= self.first]
            return
        yield from read(self._pieces(), self.reader, self.first)

    def _pieces(self) -> Iterable[bytes]:
        if self._path is None or str(self._path) == "-":
            if sys.stdin is None:
                raise Failed("there is no stdin to read")
            descriptor, own = sys.stdin.fileno(), False
            if os.isatty(descriptor):
                say("one event a line, as JSON; Ctrl-D ends")
        else:
            descriptor, own = os.open(self._path, os.O_RDONLY), True
        try:
            while piece := os.read(descriptor, _PIECE):
                self.done += len(piece)
                yield piece
        finally:
            if own:
                os.close(descriptor)


def _given(words: tuple[str, ...]) -> list[Any]:
    """The event, or events, that the command line spells out."""
    first = words[0].lstrip()
    if not first.startswith(("{", "[")):
        try:
            return [event_of(list(words))]
        except ValueError as error:
            raise Failed(str(error), USAGE) from None
    if len(words) > 1:
        raise Failed("after an event as JSON nothing more is taken: put all of it into the JSON (in quotes)", USAGE)
    try:
        value = decode(first.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise Failed(f"the event is {error}") from None
    return value if isinstance(value, list) else [value]


def _array(path: Path) -> list[Any] | None:
    """The events of a file that is one JSON value: an array, or in a `.json` one object over several lines."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start.startswith(b"[") and path.suffix.lower() != ".json":
            return None
        file.seek(0)
        text = file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        value = decode(text)
    except ValueError as error:
        if start.startswith(b"["):
            raise Failed(f"{path}: {error}; nothing was sent") from None
        return None
    return value if isinstance(value, list) else [value]
