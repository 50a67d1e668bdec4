"""The hub's counters as Prometheus metrics."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from .agent_metrics import AgentMetrics
from .agents.states import State
from .counters import Timings
from .hub import EventHub

_PATIENCE = 3.0
"""Seconds that a scrape waits for the other worker processes."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_FORWARD_COUNTERS = (
    ("hub_forwarded_events", "Events that a forwarding target has accepted.", "forwarded"),
    ("hub_forward_failures", "Failed attempts to forward to a target.", "failures"),
    ("hub_forward_missed_events", "Events in gaps reported to a target.", "missed"),
)
"""Name, help and the follower's attribute."""


class _Collector:
    """Reads the hub's counters when Prometheus scrapes."""

    def __init__(self, hub: EventHub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        hub, counters = self._hub, self._hub.counters
        subscribers = hub.broadcast.subscribers()
        paths = Counter(subscriber.path for subscriber in subscribers)
        lags = [s.view.head - s.position for s in subscribers if s.view]

        yield _gauge(
            "hub_subscribers", "Open streams.", {path: paths[path] for path in ("socket", "generator")}, "path"
        )
        limit = hub.streams.max_subscribers
        yield _gauge("hub_subscribers_limit", "Maximum number of open streams (HUB_MAX_SUBSCRIBERS).", limit)
        yield _gauge(
            "hub_subscribers_blocked",
            "Streams that cannot be written to right now.",
            sum(s.blocked for s in subscribers),
        )
        yield _gauge("hub_lag_events", "How far the slowest subscriber is behind the head.", max(lags, default=0))
        yield _gauge("hub_views", "Distinct filters with subscribers.", len(hub.log.views))
        yield _gauge("hub_ring_events", "Events in the ring.", len(hub.log))
        yield _gauge("hub_ring_bytes", "Bytes of frames in the ring.", hub.log.bytes)
        yield _gauge("hub_history_events", "Events in the history.", hub.history.head - hub.history.floor)
        yield _gauge("hub_history_bytes", "Size of the history.", hub.history.size())
        yield _gauge("hub_history_up", "1 while the history can be written.", 0 if hub.history_health.error else 1)

        states = hub.agents.states()
        yield _gauge("hub_agents", "Agents, by state.", {str(state): states[state] for state in State}, "state")
        yield _counter("hub_agent_restarts", "Agents started again after a crash.", hub.agents.restarts)

        if followers := {follower.target.shown: follower for follower in hub.forwarding.followers}:
            lag = {name: follower.lag for name, follower in followers.items()}
            yield _gauge("hub_forward_lag_events", "Events that a forwarding target is behind the head.", lag, "target")
            for name, about, attribute in _FORWARD_COUNTERS:
                counts = Counter({target: getattr(follower, attribute) for target, follower in followers.items()})
                yield _counter(name, about, counts, "target")

        yield _counter("hub_events_published", "Events accepted.", counters.published)
        yield _counter("hub_events_duplicate", "Events refused as duplicates by their event_id.", counters.duplicates)
        yield _counter(
            "hub_history_errors",
            "Failed operations of the history: write, read, trim, checkpoint.",
            counters.history_errors,
        )
        yield _counter("hub_requests_refused", "Requests refused, by error code.", counters.refused, "code")
        yield _counter("hub_deliveries", "Events sent, each counted once for every subscriber.", counters.deliveries)
        yield _counter("hub_sent_bytes", "Bytes of events offered to sockets.", counters.sent_bytes)
        yield _counter("hub_heartbeats", "Heartbeats sent.", counters.heartbeats)
        yield _counter("hub_gaps", "Gaps reported to subscribers, by reason.", counters.gaps, "reason")
        yield _counter("hub_missed_events", "Events in those gaps, as far as they can be counted.", counters.missed)
        yield _counter("hub_subscribers_opened", "Streams opened.", counters.opened)
        yield _counter("hub_subscribers_left", "Streams closed by the subscriber.", counters.left)
        yield _counter("hub_subscribers_dropped", "Streams closed by the hub, by reason.", counters.dropped, "reason")

        agents = hub.insight.metrics
        yield _latencies(agents)
        for name, about, counts in (
            ("hub_agent_turns", "Turns of users that agents took.", agents.turns),
            ("hub_agent_interruptions", "Replies that were interrupted.", agents.interruptions),
            ("hub_agent_tool_calls", "Tool calls that finished.", agents.tool_calls),
            ("hub_agent_tool_errors", "Tool calls that failed.", agents.tool_errors),
            ("hub_agent_errors", "Errors that agents reported.", agents.errors),
        ):
            yield _counter(name, about, counts, "agent")
        about = "Tokens of models; cached ones are part of the input."
        tokens = CounterMetricFamily("hub_tokens", about, labels=["model", "kind"])
        for (model, kind), number in sorted(agents.tokens.items()):
            tokens.add_metric([model, kind], number)
        yield tokens

        about = "Time from the first publish of a flush until every subscriber that can be written to has it."
        yield _histogram("hub_publish_to_socket_seconds", about, counters.publish_to_socket)
        yield _histogram("hub_history_append_seconds", "One append to the history.", counters.append)


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


def _latencies(agents: AgentMetrics) -> HistogramMetricFamily:
    about = "Latencies of turns, as LiveKit measures them."
    family = HistogramMetricFamily("hub_agent_latency_seconds", about, labels=["agent", "figure"])
    for (agent, figure), timings in sorted(agents.latencies.items()):
        family.add_metric([agent, figure], buckets=timings.buckets(), sum_value=timings.sum)
    return family


def _histogram(name: str, about: str, timings: Timings) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, about, buckets=timings.buckets(), sum_value=timings.sum)


def all_pages(hub: EventHub) -> bytes:
    """The metrics of all worker processes of this hub, each with the label `worker`, whichever of them is scraped; without
    that label if there is only one. A label for each, because a sum of counters would fall when one of them ends."""
    own = page(hub)
    if hub.peers is None or hub.settings.workers == 1:
        return own
    siblings = hub.peers.siblings()
    pages = [(os.getpid(), own.decode())]
    pages += [(siblings[name].pid, text) for name, text in hub.peers.ask(siblings, "metrics", timeout=_PATIENCE)]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Labelled(pages))
    return generate_latest(registry)


class _Labelled:
    """The metrics of several pages, with the number of the process of each as a label."""

    def __init__(self, pages: list[tuple[int, str]]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for pid, text in self._pages:
            for family in text_string_to_metric_families(text):
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    known.samples.append(sample._replace(labels={**sample.labels, "worker": str(pid)}))
        return iter(families.values())


def page(hub: EventHub) -> bytes:
    """The metrics in Prometheus' text format. Each call makes a new registry, so that two hubs in one process (tests) do
    not share one."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(hub))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return generate_latest(registry)
