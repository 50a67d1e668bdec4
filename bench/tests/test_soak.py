"""The verdicts of the soak."""

from typing import Any

import pytest

from bench.soak import Result, Window, verdicts

FINE = {"missing": 0, "misordered": 0, "misrouted": 0, "closed_by_server": 0, "gaps": 0}


def windows(count: int = 13, slower: float = 1.0, noise: float = 0.0, grows: int = 0, **last: int) -> list[Window]:
    """Every second one has stalled streams; those without differ by `noise` from each other."""
    found = []
    for number in range(count):
        stalled = number % 2
        ms = slower if stalled else 1 + (noise if number % 4 else -noise)
        load: dict[str, Any] = {
            "window": number,
            "stalled": 100 * stalled,
            "latency_ms": {"p50": 7 * ms, "p99": 9 * ms},
        }
        load |= FINE | (last if number == count - 1 else {})
        found.append(Window(load, 70_000_000 + grows * number, 10_028))
    return found


def wrong(
    *arguments: Any, left: int = 0, dropped: int = 9, streams: int = 10_000, **options: Any
) -> dict[str, bool | None]:
    """The verdicts that are not ok, by the first words of what they are about."""
    found = verdicts(Result(windows(*arguments, **options), left, dropped), streams)
    return {verdict.what: verdict.ok for verdict in found if verdict.ok is not True}


def test_all_is_well() -> None:
    assert wrong() == {}
    assert wrong(slower=1.04, grows=100_000) == {}


@pytest.mark.parametrize("name", list(FINE))
def test_a_single_event_counts(name: str) -> None:
    assert wrong(**{name: 1}) == {"no event missing or out of order, no stream closed": False}


def test_leaks() -> None:
    assert wrong(grows=1_500_000) == {"memory flat": False}
    assert wrong(streams=9_900) == {"descriptors flat": False}
    assert wrong(left=10) == {"descriptors given back": False}


def test_a_soak_without_stalled_streams_proves_nothing() -> None:
    assert wrong(dropped=0) == {"streams that never read were dropped": False}


def test_latency_is_judged_only_where_the_machine_is_quiet() -> None:
    both = {"latency of others, p50", "latency of others, p99"}
    assert wrong(slower=1.2) == dict.fromkeys(both, False)
    assert wrong(slower=1.2, noise=0.2) == dict.fromkeys(both, None)
    assert wrong(2) == dict.fromkeys({"memory flat", *both}, None)
