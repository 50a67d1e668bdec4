"""Draws the report's picture: a panel for each figure, with a bar for each server."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

from bench.figures import Figure, Table
from bench.report import SERVERS, arrow, number

INK = "#7d8590"  # mid-grey: readable on white and on black, because the background is transparent
COLOURS = ("#3f8fd2", "#d9822b", "#4f9d69", "#8f7fc9")
SHOWN = (
    *("latency-some-p50", "latency-some-p99", "latency-many-p50", "latency-many-p99"),
    *("flatout", "idle", "post-16-watched", "batch-array", "sparse-many", "sparse-paced-p50"),
)


def draw(table: Table, path: Path) -> None:
    """Write the picture as SVG."""
    matplotlib.use("svg")
    keys = [key for key in SHOWN if any(table.values(key, server) for server in SERVERS)]
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        "font.family": "sans-serif",
        "font.size": 9,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    }
    with pyplot.rc_context(style):
        lines = max(-(-len(keys) // 2), 1)
        picture, grid = pyplot.subplots(lines, 2, figsize=(10, 1.45 * lines + 0.3), squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, key in zip(grid.flat, keys, strict=False):
            panel(axes, table, table.figures[key])
        picture.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(picture)


def panel(axes: Axes, table: Table, figure: Figure) -> None:
    """Draw one figure: a bar for the median, a line for the range of the rounds, and the number after it."""
    axes.set_axis_on()
    axes.set_title(f"{figure.label}, {figure.unit}{arrow(figure)}", loc="left", fontsize=9)
    medians = [table.median(figure.key, server) for server in SERVERS]
    highest = max((max(table.values(figure.key, server).values(), default=0) for server in SERVERS), default=0)
    for place, (server, median) in enumerate(zip(SERVERS, medians, strict=True)):
        if median is None:
            axes.text(0, place, " –", va="center")
            continue
        values = table.values(figure.key, server).values()
        axes.barh(place, median, color=COLOURS[place], height=0.7)
        axes.plot([min(values), max(values)], [place, place], color=INK, linewidth=1.2)
        axes.text(max(values) + highest * 0.015, place, number(median), va="center")
    axes.set_yticks(range(len(SERVERS)), [server.name for server in SERVERS])
    axes.set_xlim(0, highest * 1.2 or 1)
    axes.set_ylim(len(SERVERS) - 0.4, -0.6)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
