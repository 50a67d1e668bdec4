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
    """One ratio, before and now; `before` is None if the last full run has none."""

    figure: Figure
    pair: str
    before: float | None
    now: float

    @property
    def worse(self) -> float:
        """The share by which it has become worse; negative if it is better. 0 without an earlier ratio."""
        if not self.before or not self.now:
            return 1.0 if self.before and not self.figure.lower_is_better else 0.0
        return self.now / self.before - 1 if self.figure.lower_is_better else 1 - self.now / self.before

    @property
    def fell(self) -> bool:
        """Whether it is worse by more than is allowed."""
        return self.worse > ALLOWED + 1e-9


def last_ratios(page: str) -> dict[tuple[str, str], float]:
    """The ratios in the report of a full run, by figure and pair: `("flatout", "memory / nchan")` → 14.79.

    Figures are found by their labels: one that has another label now counts as new.
    """
    keys = {report.label(figure): figure.key for figure in figures(FULL)}
    found: dict[tuple[str, str], float] = {}
    pairs: Sequence[str] = ()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if set(report.PAIRS) <= set(cells):
            pairs = cells
        elif pairs and cells and (key := keys.get(cells[0])):
            for pair, cell in zip(pairs, cells, strict=False):
                if pair in report.PAIRS and (match := _RATIO.fullmatch(cell)):
                    found[key, pair] = float(match[1].replace(",", ""))
        elif not cells:
            pairs = ()
    return found


def changes(table: Table, last: Mapping[tuple[str, str], float]) -> list[Change]:
    """Every ratio of this run, in the order of the report."""
    return [
        Change(figure, pair, last.get((key, pair)), now)
        for key, figure in table.figures.items()
        for pair, (server, against) in report.PAIRS.items()
        if (now := table.ratio(key, server, against)) is not None
    ]


def text(found: Sequence[Change]) -> str:
    """The comparison for the terminal: a row per figure, `before → now` for each pair, then what fell."""
    lines: dict[str, dict[str, str]] = {}
    for change in found:
        before = "new" if change.before is None else f"{change.before:.2f}"
        shown = f"{before} → {change.now:.2f} ×{' (fell)' if change.fell else ''}"
        lines.setdefault(report.label(change.figure), {})[change.pair] = shown
    rows = [[label, *(cells.get(pair, "") for pair in report.PAIRS)] for label, cells in lines.items()]
    fallen = [
        f"- {report.label(change.figure)}, {change.pair}: {change.before:.2f} → {change.now:.2f} ×, {change.worse:.0%} worse"
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


NOTE = (
    "One round of one second varies by more than that, and other programs on the machine add to it: "
    "repeat what fell with --only SCENARIO, before and after the change."
)
"""For quick runs."""
