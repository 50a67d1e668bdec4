"""Progress of a long command on stderr: a bar on a terminal, otherwise a line every five seconds."""

from __future__ import annotations

import os
import sys
import time

from .options import plural
from .terminal_text import cut_end

_FIRST_DELAY = 0.5
"""Seconds before the bar appears: a shorter command needs none."""
_BAR_INTERVAL = 0.1
_LINE_INTERVAL = 5.0
_BAR_WIDTH = 24


class ProgressBar:
    """The progress of one command. `total`: the final value of `done` in `update`, or None if unknown."""

    def __init__(self, verb: str, total: int | None = None, *, quiet: bool = False) -> None:
        self._verb = verb
        self._total = total
        self._start = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._quiet = quiet or sys.stderr is None
        self._next = self._start + (_FIRST_DELAY if self._terminal else _LINE_INTERVAL)
        self._shown = False

    def update(self, events: int, done: int | None = None) -> None:
        """`events` events have been processed; `done` of `total` is complete."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + (_BAR_INTERVAL if self._terminal else _LINE_INTERVAL)
        text = self._text(events, done, now - self._start)
        self._write(f"\r\x1b[2K{cut_end(text, _terminal_columns() - 1)}" if self._terminal else f"{text}\n")
        self._shown = self._terminal

    def clear(self) -> None:
        """Erase the bar, before other output."""
        if self._shown:
            self._write("\r\x1b[2K")
            self._shown = False

    def _text(self, events: int, done: int | None, elapsed: float) -> str:
        text = f"{self._verb} {plural(events)}, {events / elapsed:,.0f}/s"
        if not self._total or done is None:
            return text
        share = min(1.0, done / self._total)
        left = f", {elapsed / share - elapsed:,.0f} s left" if share > 0.01 else ""
        full = round(share * _BAR_WIDTH)
        return f"[{'#' * full}{'.' * (_BAR_WIDTH - full)}] {share:4.0%}  {text}{left}"

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._quiet = True


def _terminal_columns() -> int:
    """The terminal's width: a line that wraps cannot be erased."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
