"""The hub's counters: plain numbers, so that counting is one addition on the hot path. `metrics` exports them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from types import TracebackType

from .gap import Gap

LATENCY_BOUNDS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Of histograms of what agents take, in seconds."""


class Timings:
    """A histogram that costs one bisection per observation. Bounds and observations in seconds."""

    def __init__(self, *bounds: float) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        """Sum of all observations, in seconds."""

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, int]]:
        """Cumulative counts by upper bound, as Prometheus expects them."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return buckets


class Active:
    """Counts what is in progress: `with active:` around it."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.count -= 1


class Counters:
    """Everything that is counted. Except for the `Active` ones, numbers only grow."""

    def __init__(self) -> None:
        self.requests = Active()
        """Requests in progress, streams excepted."""
        self.opening = Active()
        """Streams whose replay is in progress: they count as open, but receive nothing live yet."""
        self.published = 0
        self.history_errors = 0
        self.duplicates = 0
        self.refused: Counter[str] = Counter()
        self.deliveries = 0
        self.sent_bytes = 0
        self.heartbeats = 0
        self.gaps: Counter[str] = Counter()
        self.missed = 0
        self.opened = 0
        self.left = 0
        self.dropped: Counter[str] = Counter()
        self.publish_to_socket = Timings(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
        self.append = Timings(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5)

    def gap(self, gap: Gap) -> None:
        """A subscriber was sent a gap."""
        self.gaps[gap.reason] += 1
        self.missed += gap.missed or 0
