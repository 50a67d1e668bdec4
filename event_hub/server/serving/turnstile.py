"""Readers never delay publishers.

gevent runs everything that is ready before it polls for more: if a thousand requests arrive in one instant, a thousand
responses are made before the next event is received, which takes half a second. Requests that read therefore pass a
turnstile, a few per millisecond, and in between the loop serves everything else. A single request passes at once.
"""

from __future__ import annotations

from collections import deque

from gevent.event import AsyncResult
from gevent.hub import get_hub

_AT_ONCE = 4
"""Requests that pass in one turn: two milliseconds of work."""
_TURN = 0.001
"""Seconds; the shortest time that the loop can wait."""


class Turnstile:
    """Belongs to the gevent hub in which it is first used."""

    def __init__(self) -> None:
        self._left: float = _AT_ONCE
        self._waiting: deque[tuple[float, AsyncResult[None]]] = deque()
        self._timer = get_hub().loop.timer(_TURN, _TURN)
        self._turning = False

    def __len__(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    def wait(self, cost: float = 1.0) -> None:
        """Return when the request may proceed. `cost`: its work, in those of which `_AT_ONCE` pass in one turn."""
        if not self._turning:
            self._turning = True
            self._timer.start(self._turn)
        if self._left > 0 and not self._waiting:
            self._left -= cost
            return
        turn: AsyncResult[None] = AsyncResult()
        self._waiting.append((cost, turn))
        turn.get()

    def _turn(self) -> None:
        if not self._waiting and self._left >= _AT_ONCE:
            self._turning = False
            self._timer.stop()
            return
        self._left = _AT_ONCE
        while self._waiting and self._left > 0:
            cost, turn = self._waiting.popleft()
            self._left -= cost
            turn.set()
