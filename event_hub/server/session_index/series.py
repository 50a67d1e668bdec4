"""Figures over time, for each agent, version or room: calls, errors, tokens, and percentiles of the latencies."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from .buckets import SIZES, TIMED, percentile, unpack_counts, unpack_points
from .buckets import bucket as bucket_of
from .listing import Wanted, conditions

GROUPS = 20
"""Groups in one answer: those with the most sessions."""
POINTS = 400
"""Points of one group, unless a step is asked for."""
_STEPS = (300, 900, 3_600, 10_800, 21_600, 86_400, 604_800, 2_592_000)
_MOST_POINTS = 2_000
_SESSIONS = 20_000
"""Sessions whose own points, or usage, are added up: the newest."""
SHOWN = (
    "e2e_latency",
    "response_time",
    "end_of_turn_delay",
    "transcription_delay",
    "llm_node_ttft",
    "tts_node_ttfb",
    "tools",
)
"""The figures with percentiles."""
_NUMBERS = {TIMED.index(name): name for name in SHOWN}
_SUMS = ("turns", "errors", "tool_errors", "interruptions", "input_tokens", "output_tokens")

Cost = Callable[[list[Any]], dict[str, Any] | None]


def step_of(since: float, until: float, wish: int | None) -> int:
    """Seconds between two points: the wish, if it gives not too many, in whole buckets."""
    least = (until - since) / (_MOST_POINTS if wish else POINTS)
    wanted = max(wish or 0, least)
    step = next((step for step in _STEPS if step >= wanted), None)
    return step if step is not None else int(-(-wanted // 86_400) * 86_400)


class Series:
    """The answer to one query. `by`: agent, version or room."""

    def __init__(self, db: sqlite3.Connection, wanted: Wanted, by: str, step: int, cost: Cost | None) -> None:
        assert wanted.started is not None
        self._db = db
        self._wanted = wanted
        self._by = by
        self._step = step
        self._cost = cost
        self.since, self.until = wanted.started
        self._points: dict[tuple[str | None, int], dict[str, Any]] = {}
        self._counts: dict[tuple[str | None, int | None, int], Counter[int]] = {}
        """(group, time, figure) → bucket → how many; without a time: all of the group."""

    def groups(self) -> tuple[list[dict[str, Any]], bool]:
        """The groups, those with the most sessions first, and whether there are more."""
        where, values = conditions(self._wanted, 0.0)
        named = self._by
        sums = ", ".join(f"sum({name})" for name in _SUMS)
        query = (
            f"SELECT {named}, CAST(started / ? AS INTEGER), count(*), {sums} FROM sessions WHERE {where} GROUP BY 1, 2"
        )
        totals: dict[str | None, dict[str, Any]] = {}
        for name, slot, count, *some in self._db.execute(query, (self._step, *values)):
            point = {"sessions": count, **dict(zip(_SUMS, some, strict=True))}
            self._points[name, slot * self._step] = point
            total = totals.setdefault(name, dict.fromkeys(point, 0))
            for key, value in point.items():
                total[key] += value
        names = sorted(totals, key=lambda name: (-totals[name]["sessions"], name or ""))
        chosen = names[:GROUPS]
        if self._by == "room" or self._wanted.rooms:
            self._count_sessions(where, values, named, chosen)
        else:
            self._count_buckets(chosen)
        if self._cost is not None:
            self._add_costs(where, values, named, totals)
        self._add_percentiles(totals)
        return [self._group(name, totals[name]) for name in chosen], len(names) > GROUPS

    def _group(self, name: str | None, total: dict[str, Any]) -> dict[str, Any]:
        points = [
            {"at": at, **point}
            for (group, at), point in sorted(self._points.items(), key=lambda item: item[0][1])
            if group == name
        ]
        return {"name": name, "points": points, "total": total}

    def _count(self, name: str | None, at: int | None, figure: int, number: int, count: int) -> None:
        for when in (at, None):
            self._counts.setdefault((name, when, figure), Counter())[number] += count

    def _count_buckets(self, chosen: list[str | None]) -> None:
        """By the buckets, which are of agents and versions."""
        size = max(size for size in SIZES if size <= self._step)
        query = "SELECT slot, agent, version, figure, counts FROM buckets WHERE size = ? AND slot >= ? AND slot < ?"
        within = (size, int(self.since // size), int(-(-self.until // size)))
        agents, versions = self._wanted.agents, self._wanted.versions
        for slot, agent, version, figure, counts in self._db.execute(query, within):
            if (agents and agent not in agents) or (versions and version not in versions) or figure not in _NUMBERS:
                continue
            name = version if self._by == "version" else agent
            if (name := name or None) in chosen:
                at = slot * size // self._step * self._step
                for number, count in unpack_counts(counts):
                    self._count(name, at, figure, number, count)

    def _count_sessions(self, where: str, values: list[Any], named: str, chosen: list[str | None]) -> None:
        """By the points of the sessions."""
        query = (
            f"SELECT {named}, points FROM sessions JOIN documents USING (first) "
            f"WHERE {where} ORDER BY first DESC LIMIT ?"
        )
        for name, points in self._db.execute(query, (*values, _SESSIONS)):
            if name not in chosen:
                continue
            for figure, pairs in unpack_points(points):
                if figure not in _NUMBERS:
                    continue
                for index in range(0, len(pairs), 2):
                    if self.since <= pairs[index] < self.until:
                        at = int(pairs[index] // self._step) * self._step
                        self._count(name, at, figure, bucket_of(pairs[index + 1]), 1)

    def _add_percentiles(self, totals: dict[str | None, dict[str, Any]]) -> None:
        for (name, at, figure), counts in self._counts.items():
            if at is None:
                of = totals[name]
            else:
                empty = dict.fromkeys(("sessions", *_SUMS), 0)
                of = self._points.setdefault((name, at), empty)
            of.setdefault("latency", {})[_NUMBERS[figure]] = {
                "count": sum(counts.values()),
                "median": percentile(counts, 0.5),
                "p95": percentile(counts, 0.95),
            }
        for of in (*totals.values(), *self._points.values()):
            of.setdefault("latency", {})

    def _add_costs(self, where: str, values: list[Any], named: str, totals: dict[str | None, dict[str, Any]]) -> None:
        assert self._cost is not None
        query = (
            f"SELECT {named}, CAST(started / ? AS INTEGER), summary FROM sessions JOIN documents USING (first) "
            f"WHERE {where} AND input_tokens + output_tokens > 0 ORDER BY first DESC LIMIT ?"
        )
        usage: dict[tuple[str | None, int | None], list[Any]] = {}
        for name, slot, summary in self._db.execute(query, (self._step, *values, _SESSIONS)):
            models = msgspec.json.decode(summary)["usage"]
            for at in (slot * self._step, None):
                usage.setdefault((name, at), []).append(models)
        for (name, at), sessions in usage.items():
            of = totals[name] if at is None else self._points[name, at]
            if (cost := self._cost(sessions)) is not None:
                of["cost"] = cost
