"""The readable output of `tail`: on a terminal with live text on the last line, elsewhere as plain lines."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, TextIO

import click

from . import terminal_text
from .describe import Describer, Description, day
from .exits import write_stderr
from .live_text import LiveText, LiveUtterance

_STYLES: dict[str, dict[str, Any]] = {
    "user": {"fg": "cyan"},
    "agent": {"fg": "green"},
    "tool": {"fg": "magenta"},
    "state": {"fg": "bright_black"},
    "error": {"fg": "red"},
    "gap": {"fg": "yellow", "bold": True},
    "dim": {"dim": True},
}
_TYPE_COLUMNS = 21
"""Width of the type; a longer type moves the rest of its line."""
_MAX_ROOM_COLUMNS = 16
"""Maximum width of the room; narrower while all rooms are shorter."""
_STALE_AFTER = 30.0
"""Seconds without growth after which live text is written out as it is."""
_ERASE = "\r\x1b[2K"


def is_terminal(stream: TextIO) -> bool:
    """Whether the last line of `stream` can be erased."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    return os.name != "nt" or "WT_SESSION" in os.environ


def wants_color(stream: TextIO, choice: bool | None) -> bool:
    """`choice`, or by default colour on a terminal unless NO_COLOR is set."""
    return choice if choice is not None else is_terminal(stream) and not os.environ.get("NO_COLOR")


class TailView:
    """Writes events to `out`, flushing after each."""

    def __init__(self, out: TextIO, *, color: bool, terminal: bool) -> None:
        self._out = out
        self._color = color
        self._terminal = terminal
        self._describer = Describer()
        self._live_text = LiveText()
        self._room_columns = 0
        self._day = day(time.time())
        self._draft_shown = False

    def show(self, event: Mapping[str, Any]) -> None:
        """Write one event."""
        now = time.monotonic()
        stale = self._live_text.stale(now, _STALE_AFTER)
        only_grew, given_up = self._live_text.take(event, now)
        text = "".join(self._utterance_line(utterance) for utterance in [*stale, *given_up])
        interim = only_grew and event.get("type") == "transcript"
        if not only_grew or (interim and not self._terminal):
            text += self._line(self._describer.describe(event), event.get("timestamp"))
        self._write(text)

    def notice(self, text: str) -> None:
        """Write a line to stderr between the events."""
        self._erase_draft()
        write_stderr(text)
        self._write("")

    def close(self) -> None:
        """Write out all live text as it is."""
        self._write("".join(self._utterance_line(utterance) for utterance in self._live_text.all()))

    def _write(self, text: str) -> None:
        newest = self._live_text.newest if self._terminal else None
        if newest is not None:
            text += self._draft_line(newest)
        if self._draft_shown:
            text = _ERASE + text
        self._draft_shown = newest is not None
        if text:
            self._out.write(text)
            self._out.flush()

    def _erase_draft(self) -> None:
        if self._draft_shown:
            self._out.write(_ERASE)
            self._out.flush()
            self._draft_shown = False

    def _utterance_line(self, utterance: LiveUtterance) -> str:
        """The permanent line of an utterance that is not completed. Empty for interims without a terminal: each was
        already written as a line."""
        if utterance.interim and not self._terminal:
            return ""
        return self._line(self._describer.describe(utterance.whole()), utterance.event.get("timestamp"))

    def _line(self, description: Description, timestamp: Any) -> str:
        """A permanent line, preceded by the date if it changed."""
        today = day(timestamp)
        header = ""
        if today is not None and today != self._day:
            self._day = today
            header = self._styled(f"-- {today} --", "dim") + "\n"
        prefix = self._prefix(description)
        text = description.text
        if description.cut:
            text = terminal_text.cut_end(text, max(20, self._columns() - terminal_text.width(prefix)))
        line = f"{header}{self._dim_time(description, prefix)}{self._styled(text, description.style)}"
        return line.rstrip() + "\n"

    def _draft_line(self, utterance: LiveUtterance) -> str:
        """The last line: cut at its start to fit, because a line that wraps cannot be erased."""
        description = self._describer.describe(utterance.whole())
        prefix = self._prefix(description)
        available = max(10, self._columns() - terminal_text.width(prefix) - 1)
        text = terminal_text.cut_start(description.text, available)
        return self._dim_time(description, prefix) + self._styled(text, "dim")

    def _prefix(self, description: Description) -> str:
        """Time, room and type, padded."""
        self._room_columns = min(_MAX_ROOM_COLUMNS, max(self._room_columns, terminal_text.width(description.room)))
        room = terminal_text.cut_end(description.room, _MAX_ROOM_COLUMNS)
        room += " " * (self._room_columns - terminal_text.width(room))
        return f"{description.time}  {room + '  ' if self._room_columns else ''}{description.type:<{_TYPE_COLUMNS}}  "

    def _dim_time(self, description: Description, prefix: str) -> str:
        return self._styled(prefix[: len(description.time)], "state") + prefix[len(description.time) :]

    def _styled(self, text: str, style: str) -> str:
        return click.style(text, **_STYLES[style]) if self._color and text and style in _STYLES else text

    def _columns(self) -> int:
        if not self._terminal:
            return 1 << 30
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80
