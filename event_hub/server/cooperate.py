"""Cooperative scheduling for long work on the event loop: it runs in time slices, and other requests are served in
between."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.002
"""Seconds of work before a pause."""
_PAUSE = 0.001
"""Seconds. The shortest pause in which gevent's loop polls its sockets: `sleep(0)` only runs greenlets that are already
ready, about fifty of them, before the loop looks for new requests."""


class TimeSlice:
    """The time slices of one task. Call `pause_if_due` wherever the task can be interrupted."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def pause_if_due(self) -> None:
        """Let other greenlets run if the current slice is used up."""
        if time.perf_counter() - self._since >= _SLICE:
            time.sleep(_PAUSE)
            self._since = time.perf_counter()


def cooperatively(items: Iterable[_T]) -> Iterator[_T]:
    """Yield `items`, pausing between them when a slice is used up."""
    time_slice = TimeSlice()
    for item in items:
        yield item
        time_slice.pause_if_due()
