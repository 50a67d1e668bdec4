"""The simulation against what queueing theory knows: waiting times, throughput, and the share of each part."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest

from bench import simulate
from bench.service_times import FILE, ServiceTimes
from bench.simulate import Simulation, Station, carries, check, demand, hubs_needed, percentile, placed, spread

NOTHING = ServiceTimes(
    0, 0, 0, 0, 0, 0, {"1": 1, "2": 1}, {"1": 1, "2": 1}, publishers=4, rooms=10, machine="", date=""
)
COSTS = replace(NOTHING, post=100e-6, flush=20e-6, delivery=5e-6, follow=10e-6, append=15e-6, read=4e-6)


ARRIVALS = 200_000


def _time_in_system(load: float, draw: Callable[[random.Random], float]) -> float:
    """The mean time at one processor with random arrivals, in units of its mean service time."""
    rng = random.Random(7)
    station, now, total = Station(), 0.0, 0.0
    for _ in range(ARRIVALS):
        now += rng.expovariate(load)
        total += station.serve(now, draw(rng)) - now
    return total / ARRIVALS


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_processor_makes_arrivals_wait_as_pollaczek_and_khinchine_say(load: float) -> None:
    """M/M/1: 1 / (1 - load). M/D/1: half of the waiting."""
    assert _time_in_system(load, lambda rng: rng.expovariate(1.0)) == pytest.approx(1 / (1 - load), rel=0.05)
    assert _time_in_system(load, lambda _: 1.0) == pytest.approx(1 + load / (2 * (1 - load)), rel=0.05)


def _latencies() -> list[float]:
    rng = random.Random(7)
    hub = Simulation(COSTS, spread(50, 3, 2, rng), lambda mean: rng.expovariate(1 / mean), rng)
    hub.open_loop(5000.0, 0.2)
    return hub.latencies


def test_the_same_seed_gives_the_same_times() -> None:
    assert _latencies() == _latencies()


def test_a_quiet_hub_adds_no_waiting() -> None:
    """Nothing waits, so each service time counts once: POST, append, flush and one delivery."""
    rng = random.Random(7)
    hub = Simulation(COSTS, [[1]], lambda mean: mean, rng)
    hub.open_loop(1.0, 20.0)
    expected = COSTS.post + COSTS.append + COSTS.flush + COSTS.delivery
    assert hub.latencies == pytest.approx([expected] * len(hub.latencies))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_simulated_shares_are_those_of_the_formula(workers: int) -> None:
    rng = random.Random(3)
    events, viewers = 3000.0 * workers, 10
    hub = Simulation(COSTS, spread(500, viewers, workers, rng), lambda mean: rng.expovariate(1 / mean), rng)
    hub.open_loop(events, 2.0)
    expected = demand(COSTS, events, viewers, workers)
    assert statistics.fmean(station.busy / 2.0 for station in hub.workers) == pytest.approx(expected.worker, rel=0.05)
    assert hub.valkey.busy / 2.0 == pytest.approx(expected.valkey, rel=0.05)


def test_a_closed_loop_keeps_its_bottleneck_busy() -> None:
    rng = random.Random(5)
    hub = Simulation(COSTS, spread(100, 1, 1, rng), lambda mean: mean, rng)
    assert hub.closed_loop(8, 1.0) == pytest.approx(1 / (COSTS.post + COSTS.flush + COSTS.delivery), rel=0.01)
    slow = Simulation(replace(COSTS, append=1e-3), spread(100, 1, 1, rng), lambda mean: mean, rng)
    assert slow.closed_loop(8, 1.0) == pytest.approx(1000, rel=0.01)


def test_a_worker_with_half_a_core_reaches_half() -> None:
    rng = random.Random(5)
    hub = Simulation(COSTS, spread(100, 1, 1, rng), lambda mean: mean, rng, share=0.5)
    assert hub.closed_loop(8, 1.0) == pytest.approx(0.5 / (COSTS.post + COSTS.flush + COSTS.delivery), rel=0.01)


def test_every_viewer_gets_every_event_of_its_room() -> None:
    rng = random.Random(9)
    hub = Simulation(COSTS, [[2, 0, 1]], lambda mean: mean, rng)
    hub.open_loop(100.0, 1.0)
    events = len(hub.latencies) / 2  # two of the three workers have viewers
    assert events == int(events) > 50
    assert min(hub.latencies) >= COSTS.post + COSTS.append


def test_no_number_of_workers_takes_more_than_each_of_them_can_follow() -> None:
    most = 0.6 / COSTS.follow
    assert carries(COSTS, 10, 1, 0.6) < carries(COSTS, 10, 2, 0.6) < 2 * carries(COSTS, 10, 1, 0.6)
    assert all(carries(COSTS, 10, workers, 0.6) < most for workers in (1, 10, 100, 1000))


def test_rooms_are_placed_evenly_and_most_stay_where_they_are() -> None:
    before = placed(20_000, 20)
    assert sum(before) == 20_000
    assert max(before) < 1.5 * 1000
    assert min(before) > 500


def test_the_fullest_hub_is_within_the_load() -> None:
    hubs, counts = hubs_needed(COSTS, 10_000, 4.0, 10, 2, 0.6)
    assert len(counts) == hubs
    assert demand(COSTS, 4.0 * max(counts), 10, 2).worker <= 0.6
    assert hubs >= 10_000 * 4.0 / carries(COSTS, 10, 2, 0.6)


def test_percentiles_of_few_and_of_none() -> None:
    assert percentile([], 0.99) == 0.0
    assert percentile([3.0], 0.5) == 3.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_the_prediction_is_close_to_the_measurement() -> None:
    """Both are in the file that the last measurement has written. One cost is fitted to one worker; two are the check."""
    costs = ServiceTimes.load(FILE)
    for workers in (1, 2):
        assert simulate.predicted(costs, workers, 1) == pytest.approx(costs.measured_rooms[str(workers)], rel=0.35)
    assert "2 / 1" in check(costs, 1)
