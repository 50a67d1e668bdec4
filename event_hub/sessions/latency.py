"""Where the time of a turn went, and how the turns of a session compare. Pure.

The figures are LiveKit's (docs/latencies.md). Nothing is estimated: each number was posted, or is the difference of two
posted timestamps, or is a total minus its known parts.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from .fields import latency_seconds, seconds

TOTAL = "e2e_latency"
"""From the end of the user's speech until the agent is heard."""
RESPONSE = "response_time"
"""The same, between events."""
PARTS = (
    "end_of_turn_delay",
    "on_user_turn_completed_delay",
    "tools",
    "llm_node_ttft",
    "tts_node_ttfb",
    "playback_latency",
)
"""The parts of the total, in the order in which they happen. `transcription_delay` lies within `end_of_turn_delay`,
`llm_node_ttfs` within `tts_node_ttfb`; `tools` is the time during which at least one tool ran."""
FIGURES = (TOTAL, RESPONSE, "transcription_delay", *PARTS[:2], *PARTS[3:], "llm_node_ttfs")
"""The figures with statistics. `response_time` is measured between events, from `user_speech_finished` to
`agent_speech_started`, or from a typed message to the first text of the reply; it needs no `turn_metrics`."""
SAMPLED = tuple(figure for figure in FIGURES if figure != RESPONSE)
"""Those that `turn_metrics` has."""


def breakdown(total: float | None, measured: str, figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """The latency of one turn: its total, its known parts, and the rest; None if nothing is known.

    total: seconds from the end of the user's speech until the agent was heard. measured: what measured it, `e2e_latency`
        or `events`.
    figures: the known parts, by name. Values that no clock can have measured are ignored.

    Returns `{total, measured, parts: [{name, seconds}], unaccounted | overlap}`. The parts, plus `unaccounted`, minus the
    `overlap` of parts that ran at the same time, add up to the total. Without a total there are only the parts.
    """
    known = {
        name: value
        for name in PARTS
        if (value := (seconds if name == "tools" else latency_seconds)(figures.get(name))) is not None
    }
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
    """All measurements of each figure."""

    __slots__ = ("_measured", "_sorted", "points")

    def __init__(self, *, timed: bool = False) -> None:
        self.points: dict[str, array[float]] | None = {} if timed else None
        """If it is `timed`: for each figure, and for `tools`, pairs of a time in epoch seconds and a measurement."""
        self._measured: dict[str, array[float]] = {}
        self._sorted: dict[str, int] = {}
        """How many of each figure's measurements, from the first on, are already sorted."""

    def add(self, figure: str, value: float, at: float | None = None) -> None:
        """Add a measurement, in seconds, that was made `at` some time."""
        self._measured.setdefault(figure, array("d")).append(value)
        self.note(figure, value, at)

    def note(self, figure: str, value: float | None, at: float | None) -> None:
        """Add it to the `points` alone."""
        if self.points is not None and value is not None and at is not None:
            self.points.setdefault(figure, array("d")).extend((at, value))

    def remove(self, figure: str, value: float) -> None:
        """Take back a measurement: what it measured was not heard."""
        self._remove_point(figure, value)
        values = self._measured.get(figure)
        if values is None or value not in values:
            return
        values.remove(value)
        self._sorted.pop(figure, None)
        if not values:
            del self._measured[figure]

    def _remove_point(self, figure: str, value: float) -> None:
        points = self.points.get(figure) if self.points is not None else None
        if points is None:
            return
        for index in range(len(points) - 1, 0, -2):
            if points[index] == value:
                del points[index - 1 : index + 1]
                return

    def add_all(self, other: Samples) -> None:
        """Add the measurements of `other`."""
        for figure, values in other._measured.items():
            self._measured.setdefault(figure, array("d")).extend(values)

    def summary(self) -> dict[str, dict[str, float | int]]:
        """`{figure: {count, min, median, p95, max, mean}}` of the figures that were measured. Percentiles are measured
        values (nearest rank); none is interpolated."""
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
