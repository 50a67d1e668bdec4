"""What the hub counts, as plain numbers on the hot path, and as Prometheus metrics when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from .agents.states import State

if TYPE_CHECKING:
    from .hub import Hub

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Timings:
    """A histogram that costs a bisection an observation. Bounds and observations in seconds."""

    def __init__(self, *bounds: float) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def family(self, name: str, about: str) -> HistogramMetricFamily:
        total, buckets = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, about, buckets=buckets, sum_value=self._sum)


class Figures:
    """Everything that is counted. Numbers only grow."""

    def __init__(self) -> None:
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


class _Collector:
    """Asks the hub when it is asked."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        hub, figures = self._hub, self._hub.figures
        subscribers = hub.broadcast.subscribers()
        paths = Counter(subscriber.path for subscriber in subscribers)
        lags = [s.view.head - s.position for s in subscribers if s.view]

        yield _gauge(
            "hub_subscribers", "Open streams.", {path: paths[path] for path in ("socket", "generator")}, "path"
        )
        yield _gauge("hub_subscribers_limit", "Streams that may be open (HUB_MAX_SUBSCRIBERS).", hub.max_subscribers)
        yield _gauge(
            "hub_subscribers_blocked", "Streams that take nothing right now.", sum(s.blocked for s in subscribers)
        )
        yield _gauge("hub_lag_events", "How far the slowest subscriber is behind the head.", max(lags, default=0))
        yield _gauge("hub_views", "Distinct filters that are watched.", len(hub.log.views))
        yield _gauge("hub_ring_events", "Events in the ring.", len(hub.log))
        yield _gauge("hub_ring_bytes", "Bytes of frames in the ring.", hub.log.bytes)
        yield _gauge("hub_history_events", "Events in the history.", hub.history.head - hub.history.floor)
        yield _gauge("hub_history_bytes", "What the history takes.", hub.history_size())
        yield _gauge("hub_history_up", "1 while the history takes events.", 0 if hub.history_error else 1)

        states = hub.agents.states()
        yield _gauge("hub_agents", "Agents, by state.", {str(state): states[state] for state in State}, "state")
        yield _counter("hub_agent_restarts", "Agents started again after a crash.", hub.agents.restarts)

        if followers := {one.target.shown: one for one in hub.forwarding.followers}:
            behind = {name: one.lag for name, one in followers.items()}
            yield _gauge("hub_forward_lag_events", "How far a target is behind the head.", behind, "target")
            forwarded = Counter({name: one.forwarded for name, one in followers.items()})
            yield _counter("hub_forwarded_events", "Events that a target has taken.", forwarded, "target")
            failures = Counter({name: one.failures for name, one in followers.items()})
            yield _counter("hub_forward_failures", "Tries that a target has not taken.", failures, "target")
            missed = Counter({name: one.missed for name, one in followers.items()})
            yield _counter("hub_forward_missed_events", "Events that a target was told it missed.", missed, "target")

        yield _counter("hub_events_published", "Events that were taken.", figures.published)
        yield _counter("hub_events_duplicate", "Events whose event_id was there before.", figures.duplicates)
        yield _counter(
            "hub_history_errors", "What the history failed to do: write, read, trim, fold in.", figures.history_errors
        )
        yield _counter("hub_requests_refused", "Requests that were refused, by code.", figures.refused, "code")
        yield _counter("hub_deliveries", "Events sent, each counted once for every subscriber.", figures.deliveries)
        yield _counter("hub_sent_bytes", "Bytes of events offered to sockets.", figures.sent_bytes)
        yield _counter("hub_heartbeats", "Heartbeats sent.", figures.heartbeats)
        yield _counter("hub_gaps", "Gaps that subscribers were told of, by reason.", figures.gaps, "reason")
        yield _counter("hub_missed_events", "Events in those gaps, where they could be counted.", figures.missed)
        yield _counter("hub_subscribers_opened", "Streams opened.", figures.opened)
        yield _counter("hub_subscribers_left", "Streams that their clients ended.", figures.left)
        yield _counter("hub_subscribers_dropped", "Streams that the hub ended, by reason.", figures.dropped, "reason")

        about = "From the first publish of a flush until every subscriber that could take it had it."
        yield figures.publish_to_socket.family("hub_publish_to_socket_seconds", about)
        yield figures.append.family("hub_history_append_seconds", "One append to the history.")


def _gauge(name: str, about: str, value: float | dict[str, int], label: str | None = None) -> GaugeMetricFamily:
    if isinstance(value, dict):
        family = GaugeMetricFamily(name, about, labels=[label or ""])
        for key, number in value.items():
            family.add_metric([key], number)
        return family
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float | Counter[str], label: str | None = None) -> CounterMetricFamily:
    if isinstance(value, Counter):
        family = CounterMetricFamily(name, about, labels=[label or ""])
        for key, number in sorted(value.items()):
            family.add_metric([key], number)
        return family
    return CounterMetricFamily(name, about, value=value)


def registry(hub: Hub) -> CollectorRegistry:
    """A registry of the hub's own, so that two hubs in one process (tests) do not meet."""
    result = CollectorRegistry(auto_describe=False)
    result.register(_Collector(hub))
    ProcessCollector(registry=result)
    PlatformCollector(registry=result)
    return result


def page(registry: CollectorRegistry) -> bytes:
    """The page that Prometheus reads."""
    return generate_latest(registry)
