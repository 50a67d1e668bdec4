"""A wall clock that a sudden step does not mislead.

Retention by age removes events for good, so it must not trust a clock that jumps: a clock eight days ahead for three
seconds would empty the history. The monotonic clock of the system says how much time has really passed (suspended time
included, where the system can tell); the wall clock is believed while it agrees with that, or has disagreed by the same
amount for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_STEP = 60.0
"""Seconds by which the wall clock may differ from the time that has really passed, and is still believed: NTP slews."""
_SETTLED = 600.0
"""Seconds after which a step counts as a correction: the clock was wrong before."""


def _steady() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SteadyClock:
    """`clock()` is the time in epoch seconds."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _steady) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        """Wall clock less steady clock, as believed."""
        self._stepped: tuple[float, float] | None = None
        """The offset of a step that is not believed yet, and when it was first seen on the steady clock."""

    def __call__(self) -> float:
        wall, steady = self._wall(), self._steady()
        offset = wall - steady
        if abs(offset - self._offset) <= _STEP:
            self._offset, self._stepped = offset, None
            return wall
        if self._stepped is None or abs(offset - self._stepped[0]) > _STEP:
            self._stepped = offset, steady
            logger.warning("the clock has jumped by %+.0f s; retention ignores it for now", offset - self._offset)
        elif steady - self._stepped[1] >= _SETTLED:
            self._offset, self._stepped = offset, None
            return wall
        return steady + self._offset
