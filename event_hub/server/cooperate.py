"""Cooperative scheduling for long work on the event loop: it runs in time slices, and other requests are served in
between."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_SLICE = 0.002
"""Seconds of work before a pause."""
_PAUSE = 0.001
"""Seconds. The shortest pause in which gevent's loop polls its sockets: `sleep(0)` only runs greenlets that are already
ready, about fifty of them, before the loop looks for new requests."""


def poll() -> None:
    """Let whatever is ready run, requests that have just arrived included. Unlike `sleep(0)` this looks at the sockets, and
    unlike a sleep it does not wait for any."""
    gevent = sys.modules.get("gevent")
    monkey = sys.modules.get("gevent.monkey")
    if gevent is None or monkey is None or not monkey.is_module_patched("time"):
        time.sleep(0)
        return
    hub = gevent.get_hub()
    # libev does not block while an idle watcher is active. With the highest priority it cannot be starved by others.
    hub.wait(hub.loop.idle(priority=2))


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
