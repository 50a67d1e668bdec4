"""The drain: an orderly shutdown in which every subscriber gets what was acknowledged and learns when to reconnect."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from .counters import Counters
from .streaming.broadcast import Broadcast

_LAST_ANSWERS = 3.0
"""Maximum time in seconds for responses in progress once the subscribers are gone: the next hub resumes an export."""
_REPLAYS = 1.0
"""Maximum time in seconds for replays in progress: the next hub resumes them."""


def drain(broadcast: Broadcast, counters: Counters, until: float) -> None:
    """Close every stream in order, and let requests in progress finish, by `until` (monotonic clock) at the latest."""
    log = broadcast.log
    _wait(lambda: log.settled == log.head, until)
    # Spread over a second per 200 subscribers, so that they do not all reconnect to the next hub at once.
    spread = 1000 * min(30.0, max(1.0, broadcast.count / 200))
    replays_until = min(until, time.monotonic() + _REPLAYS)
    while broadcast.count or counters.opening.count:
        if time.monotonic() > (until if broadcast.count else replays_until):
            break
        for number, subscriber in enumerate(broadcast.subscribers(), 1):
            if subscriber.finishing is None:
                subscriber.finish(int(500 + random.uniform(0, spread)))
                if not number % 256:
                    time.sleep(0)
        time.sleep(0.005)
    for subscriber in broadcast.subscribers():
        counters.dropped["drain"] += 1
        subscriber.drop()
    _wait(lambda: counters.requests.count == 0, min(until, time.monotonic() + _LAST_ANSWERS))


def _wait(condition: Callable[[], bool], until: float) -> None:
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
