"""Wrong credentials, counted by address: after a few, an address is answered only once in a while."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable

logger = logging.getLogger(__name__)

FREE = 10
"""Wrong credentials before an address has to wait."""
_LONGEST = 60.0
"""Seconds that an address waits at most."""
_FORGOTTEN = 600.0
"""Seconds without a wrong credential after which they are forgotten."""
_ADDRESSES = 10_000
"""Addresses that are remembered; the one that failed longest ago is forgotten first."""
_LOGGED = 60.0
"""Seconds between two log lines about one address."""
_LINES = 20
"""Log lines in that time: an attack may come from very many addresses."""


class _Failures:
    __slots__ = ("count", "last", "logged", "until")

    def __init__(self) -> None:
        self.count = 0
        self.last = self.until = 0.0
        self.logged = -_LOGGED


class FailedCredentials:
    """Counts failures, and says how long an address has to wait. Valid credentials are never delayed by it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Failures] = OrderedDict()
        self._minute = -_LOGGED
        self._lines = 0

    def wait(self, address: str) -> float:
        """Seconds until the next wrong credential of this address is looked at; 0: now."""
        known = self._known.get(address)
        return max(0.0, known.until - self._clock()) if known is not None else 0.0

    def add(self, address: str) -> None:
        """A credential of this address was wrong."""
        now = self._clock()
        known = self._known.pop(address, None)
        if known is None or now - known.last > _FORGOTTEN:
            known = _Failures()
        self._known[address] = known
        if len(self._known) > _ADDRESSES:
            self._known.popitem(last=False)
        known.count += 1
        known.last = now
        if known.count >= FREE:
            known.until = now + min(_LONGEST, 2.0 ** min(10, known.count - FREE))
            if now - known.logged >= _LOGGED and self._may_log(now):
                known.logged = now
                logger.warning("%d wrong credentials from %s", known.count, address or "a local peer")

    def _may_log(self, now: float) -> bool:
        """Whether this minute has a line left; its last one says that there will be no more."""
        if now - self._minute >= _LOGGED:
            self._minute, self._lines = now, 0
        self._lines += 1
        if self._lines == _LINES:
            logger.warning("wrong credentials from more addresses than are listed: see hub_requests_refused_total")
        return self._lines < _LINES

    def __len__(self) -> int:
        return len(self._known)
