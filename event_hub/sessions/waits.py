"""How long the user waited in each turn of a session. Pure."""

from __future__ import annotations

from typing import Any

SHOWN = 40
"""Waits of the newest turns that a summary lists."""
_MOST = 5_000
"""Turns whose waits are kept: the newest."""


class Waits:
    """The wait of each turn, in seconds: LiveKit's `e2e_latency` where it was reported, else the time between events."""

    __slots__ = ("_measured", "_responses", "_times")

    def __init__(self) -> None:
        self._measured: dict[int, float] = {}
        self._responses: dict[int, float] = {}
        self._times: dict[int, float | None] = {}

    def respond(self, turn: int, wait: float | None, at: float | None) -> None:
        """Between events, the wait of this turn, which began `at`, is that long; None: it is not known."""
        self._set(self._responses, turn, wait, at)

    def measure(self, turn: int, wait: float | None, at: float | None) -> None:
        """LiveKit measured the wait of this turn; None: what was measured was not heard."""
        self._set(self._measured, turn, wait, at)

    def _set(self, waits: dict[int, float], turn: int, wait: float | None, at: float | None) -> None:
        if wait is None:
            waits.pop(turn, None)
            return
        waits[turn] = wait
        self._times[turn] = at
        if len(self._times) > _MOST:
            oldest = min(self._times)
            for kept in (self._times, self._measured, self._responses):
                kept.pop(oldest, None)

    def of(self, turn: int) -> float | None:
        """The wait of a turn; None if it is not known."""
        measured = self._measured.get(turn)
        return self._responses.get(turn) if measured is None else measured

    def newest(self) -> list[float | None]:
        """The waits of the newest turns that have one, in their order."""
        return [self.of(turn) for turn in sorted(self._times)[-SHOWN:] if self.of(turn) is not None]

    def slowest(self) -> dict[str, Any] | None:
        """`{turn, seconds, at}` of the longest wait, the first of several; None if none is known."""
        known = [(wait, -turn) for turn in self._times if (wait := self.of(turn)) is not None]
        if not known:
            return None
        wait, turn = max(known)
        return {"turn": -turn, "seconds": wait, "at": self._times[-turn]}
