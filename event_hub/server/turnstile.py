"""Who only reads does not hold up those who publish.

gevent runs everything that is ready before it looks for more: where a thousand requests come in one instant, a thousand
answers are made before the next event is taken, which is half a second. So requests that read pass through here, some of
them each millisecond, and in between the loop looks at everything else. One that comes alone passes at once.
"""

from __future__ import annotations

from collections import deque

from gevent.event import AsyncResult
from gevent.hub import get_hub

_AT_ONCE = 4
"""Requests that pass in one turn: two milliseconds of work."""
_TURN = 0.001
"""Seconds; the shortest that the loop can wait for."""


class Turnstile:
    """Of the gevent hub in which it is first used."""

    def __init__(self) -> None:
        self._left = _AT_ONCE
        self._waiting: deque[AsyncResult[None]] = deque()
        self._timer = get_hub().loop.timer(_TURN, _TURN)
        self._turning = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wait(self) -> None:
        """Return when it is one's turn."""
        if not self._turning:
            self._turning = True
            self._timer.start(self._turn)
        if self._left:
            self._left -= 1
            return
        turn: AsyncResult[None] = AsyncResult()
        self._waiting.append(turn)
        turn.get()

    def _turn(self) -> None:
        if not self._waiting and self._left == _AT_ONCE:
            self._turning = False
            self._timer.stop()
            return
        self._left = _AT_ONCE
        while self._waiting and self._left:
            self._left -= 1
            self._waiting.popleft().set()
