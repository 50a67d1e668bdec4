"""Computes figures from measurements: medians over the rounds, ratios within each round, and the design's targets."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.generator import Measurement
from bench.scenarios import Scale
from bench.servers import BARE_SQLITE, HUB_MEMORY, HUB_SQLITE, NCHAN, Server


@dataclass(frozen=True)
class Figure:
    """A number to report: the load that measures it, how to read it from a measurement, and its unit."""

    key: str
    label: str
    unit: str
    load: str
    read: Callable[[Measurement], float]
    lower_is_better: bool = False

    def of(self, measurement: Measurement) -> float | None:
        """The number, or None if there is none because the load failed or nothing was answered in time."""
        try:
            return self.read(measurement)
        except (KeyError, ZeroDivisionError):
            return None


def field(*path: str) -> Callable[[Measurement], float]:
    """A function that reads a number from the generator's result."""

    def read(measurement: Measurement) -> float:
        value = measurement.result
        for name in path:
            value = value[name]
        return float(value)  # type: ignore[arg-type]

    return read


def bytes_per_subscriber(measurement: Measurement) -> float:
    """Growth of the server's PSS for each idle subscriber."""
    grown = measurement.memory["open"]["pss"] - measurement.memory["before"]["pss"]
    return grown / float(measurement.result["subscribers"])


def peak_per_subscriber(measurement: Measurement) -> float:
    """Growth of the server's memory at its peak, for each subscriber."""
    grown = measurement.memory["peak"]["rss"] - measurement.memory["before"]["rss"]
    return grown / float(measurement.result["subscribers"])


def figures(scale: Scale) -> list[Figure]:
    """All figures, in the order of the report."""
    some, many = f"{scale.some:,}", f"{scale.many:,}"

    def latency(load: str, label: str) -> list[Figure]:
        return spread(load, f"latency {{}}, {label}", "latency_ms")

    def spread(load: str, label: str, name: str) -> list[Figure]:
        return [
            Figure(f"{load}-{p}", label.format(p), "ms", load, field(name, p), lower_is_better=True)
            for p in ("p50", "p99")
        ]

    def posts(key: str, label: str) -> Figure:
        return Figure(key, label, "POSTs/s", key, field("posts_per_s"))

    return [
        *latency("latency-some", f"{some} subscribers, 20 events/s"),
        *latency("latency-many", f"{many} subscribers, 5 events/s"),
        Figure("flatout", f"flat out to {some} subscribers", "deliveries/s", "flatout", field("deliveries_per_s")),
        Figure(
            "flatout-one",
            f"1 publisher that waits for each answer, {some} subscribers",
            "deliveries/s",
            "flatout-one",
            field("deliveries_per_s"),
        ),
        Figure("connect", f"{many} connect", "s", "idle", field("connect_seconds"), True),
        Figure("storm", f"{many} come back, 500 events replayed to each", "s", "storm", field("replay_seconds"), True),
        Figure("storm-post", "answer p99 meanwhile", "ms", "storm", field("post_ms", "p99"), True),
        Figure("storm-peak", "memory for each of them, at its peak", "bytes", "storm", peak_per_subscriber, True),
        Figure("idle", f"memory for an idle subscriber, of {many}", "bytes", "idle", bytes_per_subscriber, True),
        posts("post-1", "single events, 1 connection"),
        posts("post-4", "single events, 4 connections"),
        posts("post-16", "single events, 16 connections"),
        posts("post-1-watched", "single events, 1 connection, 10 subscribers"),
        posts("post-16-watched", "single events, 16 connections, 10 subscribers"),
        *spread("post-1-watched", "answer {}, 1 connection, 10 subscribers", "post_ms"),
        *spread("post-16-watched", "answer {}, 16 connections, 10 subscribers", "post_ms"),
        Figure("batch-array", "batches of 500, JSON array", "events/s", "batch-array", field("accepted_per_s")),
        Figure("batch-lines", "batches of 500, NDJSON", "events/s", "batch-lines", field("accepted_per_s")),
        posts("sparse-many", f"{many} rooms of one subscriber each"),
        posts("sparse-one", "one room of one subscriber"),
        *latency("sparse-paced", f"{many} rooms of one subscriber each, 1000 events/s"),
        *latency("sparse-many", f"{many} rooms of one subscriber each, 4 publishers flat out"),
        *latency("sparse-one", "one room of one subscriber, 4 publishers flat out"),
    ]


@dataclass(frozen=True)
class Target:
    """A bound from the design, for a figure or for its ratio to another."""

    text: str
    figure: str
    bound: float
    at_most: bool
    against: Server | str | tuple[Server, str] | None = None
    """Divide by this server's figure, by this other figure of the same server, or by that of another server; None: use the
    figure itself."""
    servers: tuple[Server, ...] = (HUB_MEMORY, HUB_SQLITE)


def targets() -> list[Target]:
    """The targets of the design (section 10) that apply to one hub process."""
    latencies = ("latency-some-p50", "latency-some-p99", "latency-many-p50", "latency-many-p99")
    durable = (HUB_SQLITE,)
    return [
        *(Target("latency no worse than nchan's", key, 1.0, True, NCHAN) for key in latencies),
        Target("at least 12 × nchan flat out", "flatout", 12.0, False, NCHAN),
        Target("at least 6 × nchan from one publisher", "flatout-one", 6.0, False, NCHAN),
        Target("connected in at most 1.5 × nchan's time", "connect", 1.5, True, NCHAN),
        Target(
            "replayed in at most 1.5 × the time that nchan takes to connect", "storm", 1.5, True, (NCHAN, "connect")
        ),
        Target("POSTs answered within 20 ms meanwhile", "storm-post", 20, True),
        Target("at most 5 KB for each of them at the peak", "storm-peak", 5120, True),
        Target("at most 2 KB for an idle subscriber", "idle", 2048, True),
        *(Target("SQLite costs at most 20 % of the latency", key, 1.2, True, HUB_MEMORY, durable) for key in latencies),
        Target("SQLite costs at most 20 % of the throughput", "flatout", 0.8, False, HUB_MEMORY, durable),
        Target("at least 120,000 events/s in batches", "batch-array", 120_000, False, servers=(HUB_MEMORY,)),
        Target("at least 120,000 events/s in batches", "batch-lines", 120_000, False, servers=(HUB_MEMORY,)),
        Target("batches at least 0.7 × what SQLite alone takes", "batch-array", 0.7, False, BARE_SQLITE, durable),
        Target("single POSTs at least 0.45 × nchan's", "post-1-watched", 0.45, False, NCHAN, (HUB_MEMORY,)),
        Target("single POSTs at least 0.45 × nchan's", "post-16-watched", 0.45, False, NCHAN, (HUB_MEMORY,)),
        Target("single POSTs at least 0.35 × nchan's", "post-1-watched", 0.35, False, NCHAN, durable),
        Target("single POSTs at least 0.35 × nchan's", "post-16-watched", 0.35, False, NCHAN, durable),
        Target("answers at most 3 × nchan's p99", "post-1-watched-p99", 3.0, True, NCHAN),
        Target("answers at most 3 × nchan's p99", "post-16-watched-p99", 3.0, True, NCHAN),
        Target("an event for one of many rooms costs at most twice", "sparse-many", 0.5, False, "sparse-one"),
    ]


class Table:
    """The measurements of a run, by figure and server."""

    def __init__(self, measurements: Sequence[Measurement], scale: Scale) -> None:
        """Failed measurements are left out."""
        self.measurements = [m for m in measurements if not m.failure]
        self.figures = {figure.key: figure for figure in figures(scale)}

    def values(self, key: str, server: Server) -> dict[int, float]:
        """Maps each round to its value; empty if this server has no such measurement."""
        figure = self.figures[key]
        matching = (m for m in self.measurements if m.load == figure.load and m.server == server.name)
        return {m.round: value for m in matching if (value := figure.of(m)) is not None}

    def median(self, key: str, server: Server) -> float | None:
        """The median over the rounds."""
        return middle(self.values(key, server).values())

    def ratio(self, key: str, server: Server, against: Server | str | tuple[Server, str]) -> float | None:
        """The median of the ratios within each round, so that a slow minute of the machine cancels out."""
        above = self.values(key, server)
        other = (
            against if isinstance(against, tuple) else (server, against) if isinstance(against, str) else (against, key)
        )
        below = self.values(other[1], other[0])
        return middle(above[n] / below[n] for n in above.keys() & below.keys() if below[n] > 0)

    def reached(self, target: Target, server: Server) -> float | None:
        """The value to compare with the target's bound."""
        if target.against is None:
            return self.median(target.figure, server)
        return self.ratio(target.figure, server, target.against)


def middle(values: Iterable[float]) -> float | None:
    """The median, or None of no values."""
    known = list(values)
    return statistics.median(known) if known else None


def missed_by(target: Target, value: float) -> float:
    """The share of its bound by which a target is missed; met if 0 or less."""
    over = value / target.bound - 1
    return over if target.at_most else -over
