"""Simulates many viewers of many rooms on many hubs: `python -m bench.simulate` (a minute).

It computes with measured costs of an event (`service_times.json`), and prints how many hubs the viewers need, how busy the
parts are, and how long events wait. First it predicts what one worker and two reach on a load from which no cost was
taken, and prints the measurement beside it.

Assumptions:

- Rooms are independent, and all are in a conversation. Their events arrive at random times, as those of very many rooms do
  (Poisson). The default of 4 events/s a room is that of `bench.conversations`: 50 events in a turn of 12 seconds.
- Each event is a POST of its own, and each delivery a send of its own. At high load the hub joins both, so it does better.
- A room belongs to one hub, by consistent hashing with 160 points for each hub, as nginx does. Its viewers and publishers
  are spread over the workers of that hub at random. Each hub has a Valkey of its own.
- Every worker has one core, and so has every Valkey. Each handles one thing after another, in the order of arrival. Times
  are exponentially distributed around the measured mean, which is more spread than they are. A worker reads what others
  have stored at most once in 3 ms.
- An event that another worker has stored costs what it did in the measurement. One read takes all that are there, so at
  higher rates it costs less.
- Not counted: networks, TLS and proxies, pages that read the past, viewers that come and go, heartbeats (these viewers get
  events more often), and retention.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import zlib
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import report
from bench.report import number, rows
from bench.servers import ROOT
from bench.service_times import ServiceTimes

PAGE = ROOT / "docs" / "scale.md"
POINTS = 160
"""Points of each hub on the ring of the consistent hash."""
REST = 0.003
"""Seconds between two reads of what other processes have stored."""
EVENT_BYTES = 140 + 180
"""Memory of an event in Valkey: the entry and its id, and the data."""

Draw = Callable[[float], float]
"""A random time with this mean."""


@dataclass(frozen=True)
class Demand:
    """Shares of a core that the parts of one hub use."""

    worker: float
    valkey: float


def demand(costs: ServiceTimes, events: float, viewers: float, workers: int) -> Demand:
    """What `events` a second for `viewers` each ask of a hub with this number of workers."""
    watching = 1 - (1 - 1 / workers) ** viewers  # that at least one viewer is at this worker
    once = (costs.post + viewers * costs.delivery) / workers
    repeated = costs.follow * (workers - 1) / workers + costs.flush * watching
    return Demand(events * (once + repeated), events * (costs.append + costs.read * (workers - 1)))


def carries(costs: ServiceTimes, viewers: float, workers: int, load: float) -> float:
    """Events a second that keep all parts of a hub at or below `load`."""
    one = demand(costs, 1.0, viewers, workers)
    return load / max(one.worker, one.valkey)


def placed(rooms: int, hubs: int) -> list[int]:
    """How many of the rooms each hub gets by consistent hashing."""
    ring = sorted((zlib.crc32(f"hub-{hub}/{point}".encode()), hub) for hub in range(hubs) for point in range(POINTS))
    places = [place for place, _ in ring]
    counts = [0] * hubs
    for room in range(rooms):
        counts[ring[bisect(places, zlib.crc32(f"room-{room}".encode())) % len(ring)][1]] += 1
    return counts


def hubs_needed(
    costs: ServiceTimes, rooms: int, rate: float, viewers: float, workers: int, load: float
) -> tuple[int, list[int]]:
    """The smallest number of hubs of which none is busier than `load`, and the rooms of each."""
    most = carries(costs, viewers, workers, load) / rate
    hubs = max(1, int(rooms / most))
    while max(counts := placed(rooms, hubs)) > most:
        hubs = max(hubs + 1, int(hubs * 1.02))
    return hubs, counts


class Station:
    """One processor that handles one thing after another. `busy`: seconds that it has worked."""

    def __init__(self) -> None:
        self.free = 0.0
        self.busy = 0.0

    def serve(self, now: float, takes: float) -> float:
        """The time at which something is done that arrives now."""
        self.free = max(self.free, now) + takes
        self.busy += takes
        return self.free


class Simulation:
    """One hub. `rooms`: for each room, the number of its viewers at each worker. `share`: the part of a core of a worker."""

    def __init__(
        self, costs: ServiceTimes, rooms: Sequence[Sequence[int]], draw: Draw, rng: random.Random, share: float = 1.0
    ) -> None:
        self._costs, self._rooms, self._draw, self._rng, self._share = costs, rooms, draw, rng, share
        self.workers = [Station() for _ in rooms[0]]
        self.valkey = Station()
        self.latencies: list[float] = []
        """From each event's arrival until the last viewer at a worker has it."""
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def open_loop(self, rate: float, seconds: float) -> None:
        """Events arrive at random, `rate` a second, for this long; all are delivered."""
        at = self._rng.expovariate(rate)
        while at < seconds:
            self._at(at, lambda now: self._post(now, lambda _: None))
            at += self._rng.expovariate(rate)
        self._run(float("inf"))

    def closed_loop(self, publishers: int, seconds: float) -> float:
        """Each publisher posts its next event when the last one is answered; returns events a second."""
        answered = 0

        def again(now: float) -> None:
            nonlocal answered
            answered += 1
            self._post(now, again)

        for _ in range(publishers):
            self._at(0.0, lambda now: self._post(now, again))
        self._run(seconds)
        return answered / seconds

    def _post(self, came: float, answer: Callable[[float], None]) -> None:
        """A POST goes to a worker, from there to Valkey, and is delivered by all workers."""
        room = self._rng.choice(self._rooms)
        own = self._rng.randrange(len(self.workers))

        def stored(now: float) -> None:
            self._at(now, lambda now: deliver(now, own, 0.0))
            for other in range(len(self.workers)):
                if other != own:
                    rest = self._rng.uniform(0.0, REST)
                    self._at(now + rest, lambda now, other=other: deliver(now, other, self._costs.follow))  # type: ignore[misc]

        def deliver(now: float, worker: int, follow: float) -> None:
            sends = self._costs.flush + room[worker] * self._costs.delivery if room[worker] else 0.0
            done = self._serve(worker, now, follow + sends)
            if room[worker]:
                self.latencies.append(done - came)
            if worker == own:
                self._at(done, answer)

        def received(now: float) -> None:
            self._at(self.valkey.serve(now, self._takes(self._in_valkey())), stored)

        self._at(self._serve(own, came, self._costs.post), received)

    def _in_valkey(self) -> float:
        return self._costs.append + self._costs.read * (len(self.workers) - 1)

    def _serve(self, worker: int, now: float, mean: float) -> float:
        return self.workers[worker].serve(now, self._takes(mean / self._share))

    def _takes(self, mean: float) -> float:
        return self._draw(mean) if mean > 0 else 0.0

    def _at(self, time: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (time, next(self._order), action))

    def _run(self, until: float) -> None:
        while self._due and self._due[0][0] < until:
            now, _, action = heapq.heappop(self._due)
            action(now)


def spread(rooms: int, viewers: int, workers: int, rng: random.Random) -> list[list[int]]:
    """The viewers of each room at each worker, if each chooses a worker at random."""
    counts = [[0] * workers for _ in range(rooms)]
    for room in counts:
        for _ in range(viewers):
            room[rng.randrange(workers)] += 1
    return counts


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def predicted(costs: ServiceTimes, workers: int, seed: int) -> float:
    """Events a second that a hub reaches with the rooms and publishers of the measurement."""
    rng = random.Random(seed)
    rooms = spread(costs.rooms, 1, workers, rng)
    hub = Simulation(costs, rooms, lambda mean: rng.expovariate(1 / mean), rng, costs.measured_shares[str(workers)])
    return hub.closed_loop(costs.publishers, 5.0)


def check(costs: ServiceTimes, seed: int) -> str:
    """Prediction and measurement, as Markdown."""
    lines = []
    reached = {}
    for workers in (1, 2):
        measured, now = costs.measured_rooms[str(workers)], predicted(costs, workers, seed)
        reached[workers] = (measured, now)
        lines.append([str(workers), number(now), number(measured), f"{now / measured - 1:+.0%}"])
    (one, one_predicted), (two, two_predicted) = reached[1], reached[2]
    ratio = two_predicted / one_predicted
    lines.append(["2 / 1", f"{ratio:.2f} ×", f"{two / one:.2f} ×", f"{ratio / (two / one) - 1:+.0%}"])
    return rows(["workers", "predicted events/s", "measured events/s", "difference"], lines)


def capacities(costs: ServiceTimes, viewers: int, load: float) -> str:
    """What one hub carries, as Markdown: a row for each number of workers."""
    lines = []
    for workers in (1, 2, 4, 8, 16):
        events = carries(costs, viewers, workers, load)
        busy = demand(costs, events, viewers, workers)
        cells = [number(events), number(events * viewers), f"{busy.worker:.0%}", f"{busy.valkey:.0%}"]
        lines.append([str(workers), *cells])
    return rows(["workers on one Valkey", "events/s", "deliveries/s", "each worker", "Valkey"], lines)


def fleet(options: argparse.Namespace, costs: ServiceTimes) -> str:
    """The hubs that all viewers need, as Markdown: a row for each number of workers of a hub."""
    viewers = round(options.viewers / options.rooms)
    lines = []
    for workers in options.workers:
        hubs, counts = hubs_needed(costs, options.rooms, options.rate, viewers, workers, options.load)
        rng = random.Random(options.seed)
        busiest = max(counts)
        hub = Simulation(
            costs, spread(busiest, viewers, workers, rng), lambda mean, rng=rng: rng.expovariate(1 / mean), rng
        )
        hub.open_loop(busiest * options.rate, options.seconds)
        shares = [station.busy / options.seconds for station in (*hub.workers, hub.valkey)]
        times = [number(1000 * percentile(hub.latencies, share)) for share in (0.5, 0.99)]
        hour = busiest * options.rate * 3600 * EVENT_BYTES / 2**30
        cells = [f"{busiest:,}", f"{busiest * viewers:,}", f"{max(shares[:-1]):.0%}", f"{shares[-1]:.0%}"]
        lines.append([str(workers), str(hubs), str(hubs * workers), *cells, *times, number(hour)])
    head = ["workers a hub", "hubs", "workers", "rooms, the fullest hub", "viewers there", "its busiest worker"]
    return rows([*head, "its Valkey", "p50 ms", "p99 ms", "GiB an hour"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--viewers", type=int, default=1_000_000)
    parser.add_argument("--rooms", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=4.0, help="events a second in each room (default 4)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="workers of a hub (default 1 2 4)")
    parser.add_argument("--load", type=float, default=0.6, help="share of its core that no part exceeds (default 0.6)")
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated time (default 20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="write docs/scale.md")
    options = parser.parse_args()
    text = results(options, ServiceTimes.load())
    print(text)
    if options.save:
        report.write(PAGE, text, *report.markers("python -m bench.simulate --save"))


def results(options: argparse.Namespace, costs: ServiceTimes) -> str:
    """All tables, as Markdown."""
    viewers = round(options.viewers / options.rooms)
    names = ("post", "flush", "delivery", "follow", "append", "read")
    micro = ", ".join(f"{name} {getattr(costs, name) * 1e6:.1f}" for name in names)
    return "\n\n".join(
        [
            f"Costs of an event in µs, measured on {costs.date}, {costs.machine}: {micro}.",
            f"Checked: {costs.rooms:,} rooms of one viewer, as many events as the hub takes. One cost is fitted to one "
            "worker; two are the check.",
            check(costs, options.seed),
            f"One history, if each event has {viewers} viewers and no part is above {options.load:.0%} of its core:",
            capacities(costs, viewers, options.load),
            f"{options.viewers:,} viewers of {options.rooms:,} rooms with {options.rate:g} events/s each:",
            fleet(options, costs),
        ]
    )


if __name__ == "__main__":
    main()
