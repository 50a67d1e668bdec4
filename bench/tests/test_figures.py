"""Medians, ratios within a round, targets, and the report between its markers."""

from pathlib import Path
from typing import Any

import pytest

from bench import report
from bench.figures import Table, Target, figures, missed_by, targets
from bench.generator import Measurement
from bench.scenarios import FULL, QUICK, scenarios
from bench.servers import HUB_MEMORY, HUB_SQLITE, NCHAN, Server


def flat_out(server: Server, number: int, deliveries: float, **more: Any) -> Measurement:
    """A measurement of deliveries/s."""
    return Measurement("flatout", server.name, number, {"deliveries_per_s": deliveries, **more})


RUN = [
    flat_out(HUB_MEMORY, 1, 800.0),
    flat_out(NCHAN, 1, 100.0),
    flat_out(HUB_MEMORY, 2, 90.0),
    flat_out(NCHAN, 2, 10.0),
    flat_out(HUB_MEMORY, 3, 500.0),
    Measurement("flatout", NCHAN.name, 3, failure="it crashed\nwith a message"),
]


def test_medians_are_over_rounds_and_ratios_within_them() -> None:
    table = Table(RUN, FULL)
    assert table.median("flatout", HUB_MEMORY) == 500
    assert table.median("flatout", NCHAN) == 55
    assert table.ratio("flatout", HUB_MEMORY, NCHAN) == 8.5
    assert table.median("flatout", HUB_SQLITE) is None
    assert table.ratio("flatout", HUB_SQLITE, NCHAN) is None


@pytest.mark.parametrize(
    ("at_most", "value", "share"), [(True, 1.1, 0.1), (True, 0.9, -0.1), (False, 0.9, 0.1), (False, 1.1, -0.1)]
)
def test_a_target_is_missed_by_a_share_of_its_bound(at_most: bool, value: float, share: float) -> None:
    assert missed_by(Target("", "flatout", 1.0, at_most), value) == pytest.approx(share)


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_every_figure_has_a_load_and_every_target_a_figure(scale: Any) -> None:
    loads = {load.name for scenario in scenarios(scale) for load in scenario.loads}
    keys = {figure.key for figure in figures(scale)}
    assert {figure.load for figure in figures(scale)} == loads
    assert {target.figure for target in targets()} <= keys
    assert len(keys) == len(figures(scale))


def test_idle_memory_is_the_growth_of_pss() -> None:
    before, with_all = {"rss": 0, "pss": 1_000_000}, {"rss": 0, "pss": 3_000_000}
    memory = {"before": before, "open": with_all}
    idle = Measurement("idle", HUB_MEMORY.name, 1, {"subscribers": 1000}, memory)
    assert Table([idle], FULL).median("idle", HUB_MEMORY) == 2000


def test_problems_are_reported() -> None:
    lossy = flat_out(NCHAN, 1, 1.0, lost=2000, misordered=0, same_order=False, generator_cpu=0.99)
    text = report.generated([*RUN, lossy], FULL, {"CPU": "slow"}, "performance.svg", full=True)
    assert "flatout, nchan, round 3: it crashed\n" in text
    assert "flatout, nchan, round 1: 2,000 lost" in text
    assert "not every subscriber saw the same events" in text
    assert "the load generator was at its limit" in text
    assert "| at least 12 × nchan flat out |" in text


def test_only_the_text_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "performance.md"
    report.write(page, "first \\1")
    assert page.read_text().startswith("# Performance\n\n" + report.BEGIN)
    page.write_text("Before.\n" + page.read_text() + "After.\n")
    report.write(page, "second")
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert "second" in text
    assert "first" not in text
    assert text.count(report.BEGIN) == 1
    page.write_text("Only prose.\n")
    report.write(page, "third")
    assert page.read_text() == f"Only prose.\n\n{report.BEGIN}\nthird\n{report.END}\n"


def test_a_load_without_results_has_no_figure() -> None:
    """A server that answered no POST in time has no POST latency, but its other figures remain."""
    table = Table([Measurement("post-1-watched", NCHAN.name, 1, {"posts_per_s": 0.0})], FULL)
    assert table.median("post-1-watched-p50", NCHAN) is None
    assert table.median("post-1-watched", NCHAN) == 0.0 if "post-1-watched" in table.figures else True
