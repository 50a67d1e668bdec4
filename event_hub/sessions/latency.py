"""Where the time of a turn went, and how the turns of a session compare. Pure.

The figures are LiveKit's (docs/latencies.md). Nothing is estimated: a number that comes out of here was posted as it is,
or is the difference of two posted timestamps, or what is left of a total when its known parts are taken off.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from .values import seconds

TOTAL = "e2e_latency"
"""From the end of the user's speech until the agent is heard."""
PARTS = (
    "end_of_turn_delay",
    "on_user_turn_completed_delay",
    "tools",
    "llm_node_ttft",
    "tts_node_ttfb",
    "playback_latency",
)
"""What the total consists of, in the order in which it happens. `transcription_delay` lies within `end_of_turn_delay`,
`llm_node_ttfs` within `tts_node_ttfb`; `tools` is the time in which at least one tool ran."""
FIGURES = (TOTAL, "response_time", "transcription_delay", *PARTS[:2], *PARTS[3:], "llm_node_ttfs")
"""What statistics are kept of. `response_time`: between the events, from the user's speech finished to the agent's
started; it needs no `turn_metrics`."""


def breakdown(total: float | None, measured: str, figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """The latency of one turn: its total, its known parts, and what is left; None where nothing is known.

    total: seconds from the end of the user's speech until the agent was heard, and what `measured` it: `e2e_latency`, or
        `events` where two events tell.
    figures: the parts that are known, by name; what is no duration is left out.

    Out comes `{total, measured, parts: [{name, seconds}], unaccounted | overlap}`, so that the parts, plus what is
    `unaccounted` for, less the `overlap` of parts that ran side by side, are the total. Without a total there are the
    parts alone.
    """
    known = {name: value for name in PARTS if (value := seconds(figures.get(name))) is not None}
    parts = [{"name": name, "seconds": value} for name, value in known.items()]
    if total is None:
        return {"parts": parts} if parts else None
    result: dict[str, Any] = {"total": total, "measured": measured, "parts": parts}
    if parts:
        left = total - math.fsum(known.values())
        result["unaccounted" if left >= 0 else "overlap"] = abs(left)
    else:
        result["unaccounted"] = total
    return result


def union(intervals: Iterable[tuple[float, float]]) -> float:
    """Seconds that are in at least one of the intervals."""
    covered = []
    until = -math.inf
    for begin, end in sorted(intervals):
        if end > max(begin, until):
            covered.append(end - max(begin, until))
            until = end
    return math.fsum(covered)


class Samples:
    """All that was measured of each figure."""

    __slots__ = ("_measured", "_sorted")

    def __init__(self) -> None:
        self._measured: dict[str, array[float]] = {}
        self._sorted: dict[str, int] = {}
        """How many of each figure's are in order of size, from the first on."""

    def add(self, figure: str, value: float) -> None:
        """One more measurement, in seconds."""
        self._measured.setdefault(figure, array("d")).append(value)

    def add_all(self, other: Samples) -> None:
        """Those of another, too."""
        for figure, values in other._measured.items():
            self._measured.setdefault(figure, array("d")).extend(values)

    def summary(self) -> dict[str, dict[str, float | int]]:
        """`{figure: {count, min, median, p95, max, mean}}`, of the figures that were measured at all; percentiles are
        measured values (nearest rank), none in between."""
        return {figure: _summary(self._in_order(figure)) for figure in FIGURES if figure in self._measured}

    def _in_order(self, figure: str) -> array[float]:
        values = self._measured[figure]
        if self._sorted.get(figure) != len(values):
            values = self._measured[figure] = array("d", sorted(values))
            self._sorted[figure] = len(values)
        return values


def _summary(values: array[float]) -> dict[str, float | int]:
    count = len(values)
    return {
        "count": count,
        "min": values[0],
        "median": values[math.ceil(0.5 * count) - 1],
        "p95": values[math.ceil(0.95 * count) - 1],
        "max": values[-1],
        "mean": math.fsum(values) / count,
    }
