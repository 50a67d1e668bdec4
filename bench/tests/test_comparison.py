"""The ratios of a run beside those of the last full run: read from its report, and which of them fell."""

from pathlib import Path

import pytest

from bench import comparison, report
from bench.comparison import Change, changes, last_ratios
from bench.figures import Table, figures
from bench.generator import Measurement
from bench.scenarios import FULL, QUICK, Scale
from bench.servers import HUB_MEMORY, HUB_SQLITE, NCHAN, Server

FLAT, LATENCY = "flatout", "latency-some-p50"


def _run(flat: dict[Server, float], p50: dict[Server, float]) -> list[Measurement]:
    deliveries = [Measurement("flatout", s.name, 1, {"deliveries_per_s": value}) for s, value in flat.items()]
    return [*deliveries, *(Measurement("latency-some", s.name, 1, {"latency_ms": {"p50": v}}) for s, v in p50.items())]


BEFORE = _run({HUB_MEMORY: 1200, HUB_SQLITE: 1000, NCHAN: 100}, {HUB_MEMORY: 4, HUB_SQLITE: 5, NCHAN: 5})


def _page(run: list[Measurement]) -> str:
    return report.generated(run, FULL, {"CPU": "slow"}, None, full=True)


def test_ratios_are_read_back_from_the_report() -> None:
    assert last_ratios(_page(BEFORE)) == {
        (FLAT, "memory / nchan"): (12.0, 0.005),
        (FLAT, "SQLite / nchan"): (10.0, 0.005),
        (FLAT, "SQLite / memory"): (0.833, 0.0005),
        (LATENCY, "memory / nchan"): (0.8, 0.0005),
        (LATENCY, "SQLite / nchan"): (1.0, 0.005),
        (LATENCY, "SQLite / memory"): (1.25, 0.005),
    }


def test_the_report_of_the_project_has_a_ratio_for_most_figures() -> None:
    """Otherwise labels have changed since, and a full run has to be repeated."""
    found = {key for key, _ in last_ratios((Path(__file__).parents[2] / "docs" / "performance.md").read_text())}
    assert len(found) > len(figures(FULL)) / 2


@pytest.mark.parametrize("page", ["", "# Performance\n", "| a | b |\n|---|---|\n| 1 | 2.00 × |", "|\n||\n| |"])
def test_a_page_without_figures_has_no_ratios(page: str) -> None:
    assert last_ratios(page) == {}


def test_damaged_rows_are_left_out() -> None:
    lines = [line.replace("12.00 ×", "? ×") if "flat out" in line else line for line in _page(BEFORE).splitlines()]
    cut = [line[: line.index("|", 40)] if line.startswith("| latency p50") else line for line in lines]
    found = last_ratios("\n".join(cut))
    assert (FLAT, "memory / nchan") not in found
    assert found[FLAT, "SQLite / nchan"][0] == 10.0
    assert not any(key == LATENCY for key, _ in found)


def test_a_quick_run_measures_the_same_figures_as_a_full_one() -> None:
    assert [report.label(figure) for figure in figures(QUICK)] == [report.label(figure) for figure in figures(FULL)]


def test_a_run_of_another_size_is_compared_too() -> None:
    now = _run({HUB_MEMORY: 800, HUB_SQLITE: 950, NCHAN: 100}, {HUB_MEMORY: 4, HUB_SQLITE: 6, NCHAN: 5})
    small = Scale(some=200, many=1000, seconds=1, rounds=1)
    found = changes(Table(now, small), last_ratios(_page(BEFORE)))
    assert {(change.figure.key, change.pair): round(change.now, 2) for change in found if change.fell} == {
        (FLAT, "memory / nchan"): 8.0,
        (LATENCY, "SQLite / nchan"): 1.2,
        (LATENCY, "SQLite / memory"): 1.5,
    }
    text = comparison.text(found)
    assert f"| flat out to {small.some} subscribers, deliveries/s ↑ | 12.00 → 8.00 × (fell) | 10.00 → 9.50 × |" in text
    assert "Fell by more than 10%:\n" in text
    assert f"- flat out to {small.some} subscribers, deliveries/s ↑, memory / nchan: 12.00 → 8.00 ×, 33% worse" in text
    assert text.count("worse") == 3


@pytest.mark.parametrize(
    ("lower_is_better", "before", "now", "fell"),
    [
        (False, 1.0, 0.9, False),
        (False, 1.0, 0.89, True),
        (False, 1.0, 5.0, False),
        (False, 1.0, 0.0, True),
        (True, 1.0, 1.1, False),
        (True, 1.0, 1.11, True),
        (True, 1.0, 0.0, False),
        (True, 0.0, 1.0, False),
        (False, None, 0.1, False),
        (True, None, 9.9, False),
    ],
)
def test_a_ratio_falls_in_the_direction_that_is_worse(
    lower_is_better: bool, before: float | None, now: float, fell: bool
) -> None:
    figure = next(figure for figure in figures(FULL) if figure.lower_is_better == lower_is_better)
    assert Change(figure, "memory / nchan", before, now).fell == fell


def test_what_the_report_has_rounded_does_not_count_as_a_fall() -> None:
    figure = next(figure for figure in figures(FULL) if not figure.lower_is_better)
    assert not Change(figure, "SQLite / nchan", 0.02, 0.0151, rounding=0.005).fell  # it may have been 0.015
    assert Change(figure, "SQLite / nchan", 0.02, 0.013, rounding=0.005).fell


def test_what_has_no_earlier_ratio_is_new_and_a_run_without_nchan_compares_the_rest() -> None:
    now = [m for m in BEFORE if m.server != NCHAN.name]
    text = comparison.text(changes(Table(now, FULL), {}))
    assert text.count("new → ") == 2
    assert "None fell by more than 10%." in text
    assert "No ratio could be computed." in comparison.text([])
