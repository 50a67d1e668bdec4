"""How far a long command has come, on stderr: a bar where a person watches, else a line now and then."""

from __future__ import annotations

import os
import sys
import time

from .options import count
from .plain import head

_SOON = 0.5
"""Seconds before anything is shown: what is done by then needs no bar."""
_OFTEN = 0.1
_SELDOM = 5.0
_BAR = 24


class Progress:
    """The progress of one command. `total`: how much there is, in the unit of `done`; None where nobody knows."""

    def __init__(self, verb: str, total: int | None = None, *, quiet: bool = False) -> None:
        self._verb = verb
        self._total = total
        self._began = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._quiet = quiet or sys.stderr is None
        self._next = self._began + (_SOON if self._terminal else _SELDOM)
        self._shown = False

    def update(self, events: int, done: int | None = None) -> None:
        """So many events are through, and `done` of `total`."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + (_OFTEN if self._terminal else _SELDOM)
        text = self._text(events, done, now - self._began)
        self._write(f"\r\x1b[2K{head(text, _columns() - 1)}" if self._terminal else f"{text}\n")
        self._shown = self._terminal

    def clear(self) -> None:
        """Take the bar away: something else is to be written."""
        if self._shown:
            self._write("\r\x1b[2K")
            self._shown = False

    def _text(self, events: int, done: int | None, took: float) -> str:
        text = f"{self._verb} {count(events)}, {events / took:,.0f}/s"
        if not self._total or done is None:
            return text
        share = min(1.0, done / self._total)
        left = f", {took / share - took:,.0f} s left" if share > 0.01 else ""
        full = round(share * _BAR)
        return f"[{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}  {text}{left}"

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._quiet = True


def _columns() -> int:
    """Of the terminal: what wraps cannot be written over."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
