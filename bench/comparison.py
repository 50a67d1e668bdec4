"""Compares the ratios of a run with those of the last full run, which are in its report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import report
from bench.figures import Figure, Table, figures
from bench.scenarios import FULL

ALLOWED = 0.1
"""The share by which a ratio may be worse without being reported."""
_RATIO = re.compile(r"(\d[\d,]*\.?\d*) ×")


@dataclass(frozen=True)
class Change:
    """One ratio, before and now; `before` is None if the last full run has none. `rounding`: by how much it may have been
    rounded in the report, which never counts as a fall."""

    figure: Figure
    pair: str
    before: float | None
    now: float
    rounding: float = 0.0

    @property
    def worse(self) -> float:
        """The share by which it has become worse; negative if it is better. 0 without an earlier ratio."""
        if not self.before:
            return 0.0
        if self.figure.lower_is_better:
            return self.now / (self.before + self.rounding) - 1
        return 1 - self.now / max(self.before - self.rounding, 1e-9)

    @property
    def fell(self) -> bool:
        """Whether it is worse by more than is allowed."""
        return self.worse > ALLOWED + 1e-9


Last = Mapping[tuple[str, str], tuple[float, float]]
"""Figure and pair → a ratio of the last full run, and by how much it may have been rounded."""


def last_ratios(page: str) -> Last:
    """The ratios in the report of a full run: `("flatout", "memory / nchan")` → 14.79, 0.005.

    Figures are found by their labels: one that has another label now counts as new.
    """
    keys = {report.label(figure): figure.key for figure in figures(FULL)}
    found: dict[tuple[str, str], tuple[float, float]] = {}
    pairs: Sequence[str] = ()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if set(report.PAIRS) & set(cells):
            pairs = cells
        elif pairs and cells and (key := keys.get(cells[0])):
            for pair, cell in zip(pairs, cells, strict=False):
                if pair in report.PAIRS and (match := _RATIO.fullmatch(cell)):
                    digits = len(match[1].partition(".")[2])
                    found[key, pair] = float(match[1].replace(",", "")), 0.5 / 10**digits
        elif not cells:
            pairs = ()
    return found


def changes(table: Table, last: Last) -> list[Change]:
    """Every ratio of this run, in the order of the report."""
    return [
        Change(figure, pair, before, now, rounding)
        for key, figure in table.figures.items()
        for pair, (server, against) in report.PAIRS.items()
        if (now := table.ratio(key, server, against)) is not None
        for before, rounding in [last.get((key, pair), (None, 0.0))]
    ]


def text(found: Sequence[Change]) -> str:
    """The comparison for the terminal: a row per figure, `before → now` for each pair, then what fell."""
    lines: dict[str, dict[str, str]] = {}
    for change in found:
        shown = f"{_before(change)} → {report.times(change.now)}{' (fell)' if change.fell else ''}"
        lines.setdefault(report.label(change.figure), {})[change.pair] = shown
    rows = [[label, *(cells.get(pair, "") for pair in report.PAIRS)] for label, cells in lines.items()]
    fallen = [
        f"- {report.label(change.figure)}, {change.pair}: {_before(change)} → {report.times(change.now)}, "
        f"{change.worse:.0%} worse"
        for change in found
        if change.fell
    ]
    return "\n".join(
        [
            "The last full run (docs/performance.md) → this run:",
            report.rows(["", *report.PAIRS], rows) if rows else "No ratio could be computed.",
            f"Fell by more than {ALLOWED:.0%}:" if fallen else f"None fell by more than {ALLOWED:.0%}.",
            *fallen,
        ]
    )


def _before(change: Change) -> str:
    return "new" if change.before is None else report.times(change.before).removesuffix(" ×")


NOTE = (
    "One round of one second varies by more than that, and other programs on the machine add to it: "
    "repeat what fell with --only SCENARIO, before and after the change."
)
"""For quick runs."""
