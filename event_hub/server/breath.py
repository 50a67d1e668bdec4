"""Long work on the loop, in slices: in between, everybody else is served."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.002
"""Seconds of work at a stretch."""
_PAUSE = 0.001
"""Seconds; the shortest for which gevent's loop looks at its sockets. `sleep(0)` only lets those go on who are ready
already, some fifty of them, before it looks whether a request has come."""


class Breath:
    """One for each piece of work; `take` one wherever the work may rest."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def take(self) -> None:
        """Let the others go on, if that was not just now."""
        if time.perf_counter() - self._since >= _SLICE:
            time.sleep(_PAUSE)
            self._since = time.perf_counter()


def rested(things: Iterable[_T]) -> Iterator[_T]:
    """The same things, with a breath after each."""
    breath = Breath()
    for thing in things:
        yield thing
        breath.take()
