"""What the comparison of workers computes from its runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.cpu import Parts, Spent, seconds
from bench.report import BEGIN
from bench.service_times import ServiceTimes
from bench.workers import (
    COST,
    COSTS,
    HALF,
    KINDS,
    LAYOUTS,
    MAXIMA,
    ONE,
    POSTS,
    ROOMS,
    TWO,
    WATCHED,
    Kind,
    Offer,
    Run,
    efficiency,
    figures,
    service_times,
    speedup,
    tables,
)


def _run(kind: Kind, offer: Offer, layout: str, turn: int, cost: float, rate: float = 1000.0) -> Run:
    """A run whose workers took `cost` µs for each event."""
    each = tuple(cost * 1000 / 1e6 / kind.workers for _ in range(kind.workers))
    result = {"posts_per_s": rate, "published_per_s": rate, "latency_ms": {"p50": 1.0, "p99": 2.0}}
    return Run(kind.name, offer.name, layout, turn, result, Spent(each, 0.01 * kind.workers), 0.5, 2.0, 1000.0)


def _all(turn: int, noise: float) -> list[Run]:
    runs = [_run(kind, offer, COST, turn, 4000 * noise) for kind in KINDS for offer in COSTS]
    for layout, offers in LAYOUTS.items():
        for offer in offers:
            cost = {POSTS: 80.0, WATCHED: 150.0}.get(offer, 120.0)
            runs += [_run(ONE, offer, layout, turn, cost * noise, 500.0 / noise)]
            runs += [_run(TWO, offer, layout, turn, (cost + 10) * noise, 900.0 / noise)]
    return runs


RUNS = [*_all(1, 3.0), *_all(2, 1.0), *_all(3, 1.5)]


def test_ratios_are_taken_within_a_round() -> None:
    assert speedup(RUNS, POSTS, HALF) == pytest.approx(1.8)
    assert efficiency(RUNS, POSTS, HALF) == pytest.approx(2 * 80 / 90)


def test_costs_are_those_of_the_quietest_round() -> None:
    found = service_times(RUNS)
    assert found.post == pytest.approx(80e-6)
    assert found.follow == pytest.approx(10e-6)
    assert found.delivery == pytest.approx(4e-6)
    assert found.flush == pytest.approx(36e-6)
    assert found.append == pytest.approx(10e-6)
    assert found.read == pytest.approx(10e-6)
    assert found.measured_rooms == {"1": 500.0, "2": 900.0}


def test_service_times_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = service_times(RUNS)
    found.save(tmp_path / "times.json")
    assert ServiceTimes.load(tmp_path / "times.json") == found


def test_both_tables_have_a_row_for_each_load_and_hub() -> None:
    text = tables(RUNS)
    assert BEGIN not in text
    for offer in (*COSTS, *MAXIMA):
        assert f"| {offer.name}" in text
    assert text.count(f"| {ONE.name} |") == text.count(f"| {TWO.name} |") == len(COSTS) + len(MAXIMA) + 1
    assert "1.80 × | 1.78 ×" in text


def test_a_hub_without_load_has_no_infinite_costs() -> None:
    idle = Run(ONE.name, ROOMS.name, HALF, 1, {}, Spent((0.0,), 0.0), 0.0, 2.0, 0.0)
    assert figures(idle)["hub"] == 0.0
    assert figures(idle)["p99"] == 0.0


def test_processor_time_only_grows_and_ended_processes_have_no_part() -> None:
    before = seconds(os.getpid())
    until = before + 0.05
    while seconds(os.getpid()) < until:
        pass
    parts = Parts.of(os.getpid())
    assert parts.valkey is None
    assert (Spent((2.0, 3.0), 1.0) - Spent((1.0, 1.0), 0.5)) == Spent((1.0, 2.0), 0.5)
