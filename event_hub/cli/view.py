"""Where `tail` writes lines for people: a terminal, with the line that grows at its bottom, or anything else."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, TextIO

import click

from . import plain
from .ending import say
from .growing import Growing, Utterance
from .pretty import Describer, Line, day

_STYLES: dict[str, dict[str, Any]] = {
    "user": {"fg": "cyan"},
    "agent": {"fg": "green"},
    "tool": {"fg": "magenta"},
    "state": {"fg": "bright_black"},
    "error": {"fg": "red"},
    "gap": {"fg": "yellow", "bold": True},
    "dim": {"dim": True},
}
_TYPE = 21
"""Columns for the type; longer ones push the rest of their line."""
_ROOM = 16
"""Columns for the room, at most; less while all rooms are shorter."""
_STALE = 30.0
"""Seconds after which what does not grow any more is no longer under way: it stays as it is."""
_ERASE = "\r\x1b[2K"


def is_terminal(stream: TextIO) -> bool:
    """Whether lines of `stream` can be written over."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    return os.name != "nt" or "WT_SESSION" in os.environ


def wants_color(stream: TextIO, choice: bool | None) -> bool:
    """Colour where a person looks, and nobody has said otherwise."""
    return choice if choice is not None else is_terminal(stream) and not os.environ.get("NO_COLOR")


class View:
    """Lines for people on `out`, flushed with each event."""

    def __init__(self, out: TextIO, *, color: bool, terminal: bool) -> None:
        self._out = out
        self._color = color
        self._terminal = terminal
        self._describer = Describer()
        self._growing = Growing()
        self._room = 0
        self._day = day(time.time())
        self._drawn = False

    def show(self, event: Mapping[str, Any]) -> None:
        """Write one event."""
        now = time.monotonic()
        given_up = self._growing.stale(now, _STALE)
        only_grew, more = self._growing.take(event, now)
        text = "".join(self._whole(one) for one in [*given_up, *more])
        interim = only_grew and event.get("type") == "transcript"
        if not only_grew or (interim and not self._terminal):
            text += self._permanent(self._describer.line(event), event.get("timestamp"))
        self._write(text)

    def notice(self, text: str) -> None:
        """A line on stderr, beside the events."""
        self._erase()
        say(text)
        self._write("")

    def close(self) -> None:
        """Nothing grows any more: what is under way stays as it is."""
        self._write("".join(self._whole(one) for one in self._growing.all()))

    def _write(self, text: str) -> None:
        newest = self._growing.newest if self._terminal else None
        if newest is not None:
            text += self._draft(newest)
        if self._drawn:
            text = _ERASE + text
        self._drawn = newest is not None
        if text:
            self._out.write(text)
            self._out.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(_ERASE)
            self._out.flush()
            self._drawn = False

    def _whole(self, one: Utterance) -> str:
        """A given-up utterance for good. Off a terminal its interims were all written already."""
        if one.interim and not self._terminal:
            return ""
        return self._permanent(self._describer.line(one.whole()), one.event.get("timestamp"))

    def _permanent(self, line: Line, timestamp: Any) -> str:
        today = day(timestamp)
        header = ""
        if today is not None and today != self._day:
            self._day = today
            header = self._styled(f"-- {today} --", "dim") + "\n"
        front = self._front(line)
        text = plain.head(line.text, max(20, self._columns() - plain.width(front))) if line.cut else line.text
        return f"{header}{self._paint(line, front)}{self._styled(text, line.style)}".rstrip() + "\n"

    def _draft(self, one: Utterance) -> str:
        """The line at the bottom: its end, where it does not fit, because a line that wraps cannot be written over."""
        line = self._describer.line(one.whole())
        front = self._front(line)
        text = plain.tail(line.text, max(10, self._columns() - plain.width(front) - 1))
        return self._paint(line, front) + self._styled(text, "dim")

    def _front(self, line: Line) -> str:
        self._room = min(_ROOM, max(self._room, plain.width(line.room)))
        room = plain.head(line.room, _ROOM)
        room += " " * (self._room - plain.width(room))
        return f"{line.time}  {room + '  ' if self._room else ''}{line.type:<{_TYPE}}  "

    def _paint(self, line: Line, front: str) -> str:
        return self._styled(front[: len(line.time)], "state") + front[len(line.time) :]

    def _styled(self, text: str, style: str) -> str:
        return click.style(text, **_STYLES[style]) if self._color and text and style in _STYLES else text

    def _columns(self) -> int:
        if not self._terminal:
            return 1 << 30
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80
