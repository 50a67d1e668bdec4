"""Compares two worker processes on Valkey with one: `python -m bench.workers` (five minutes on two cores).

Two cores cannot give each of two workers a core of its own while a load generator and a Valkey need one too. So there are
two measurements:

- **cost**: the same offered load for one worker and for two; what each part takes of a processor. The workers and Valkey are
  on the first core, the generator on the second.
- **maximum**: each worker has *half* a core. Two workers share the first core; one worker shares it with a program that only
  counts, so that it gets half as well. The generator and Valkey have the second core in both cases, and the tables say what
  they take of it: near 100 %, they were the bottleneck. **free** repeats it with nothing pinned, where the generator and
  Valkey take what the second worker would need.

Rounds alternate between the servers. With `--save`, the costs of an event become `bench/service_times.json`, from which
`bench.simulate` computes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench import machine, tools
from bench.cpu import Parts, Spent
from bench.generator import generator
from bench.processes import pinned_to
from bench.report import number, rows
from bench.run import CACHE
from bench.servers import HUB_SQLITE, HUB_VALKEY, Server, Setup, started
from bench.service_times import FILE, ServiceTimes

MANY = 2_000
"""Subscribers and rooms of the loads with a room for each subscriber."""
LEFT_OUT = 2.0
"""Seconds of a paced load before its costs are measured: connecting, and the warm-up."""
SPIN = "while True: pass"


@dataclass(frozen=True)
class Kind:
    """A hub to measure."""

    name: str
    server: Server
    workers: int


SQLITE, ONE, TWO = (
    Kind("SQLite", HUB_SQLITE, 1),
    Kind("Valkey, 1 worker", HUB_VALKEY, 1),
    Kind("Valkey, 2 workers", HUB_VALKEY, 2),
)
KINDS = (SQLITE, ONE, TWO)


@dataclass(frozen=True)
class Offer:
    """A load: mode and flags of the generator. `rate`: events a second, 0 for as many as the hub takes."""

    name: str
    mode: str
    flags: tuple[str, ...]
    reached: int
    """Subscribers that get each event."""
    rate: int = 0
    rooms: bool = False


def _subscribers(count: int) -> tuple[str, ...]:
    return ("-subs", str(count), "-connections", "32")


_ROOMS = (*_subscribers(MANY), "-rooms", str(MANY))
COSTS = (
    Offer("1,000 subscribers, 60 events/s", "latency", (*_subscribers(1000), "-rate", "60"), 1000, 60),
    Offer("2,000 rooms of one subscriber, 1,500 events/s", "sparse", (*_ROOMS, "-rate", "1500"), 1, 1500, True),
)
MAXIMA = (
    Offer("single POSTs, no subscriber", "post", _subscribers(0), 0),
    Offer("2,000 rooms of one subscriber", "sparse", _ROOMS, 1, 0, True),
    Offer("1,000 subscribers of everything", "flatout", _subscribers(1000), 1000),
)
LAYOUTS = ("half a core each", "free")


@dataclass(frozen=True)
class Run:
    """One call of the generator: its result, the processor time of the hub meanwhile, and the events in that time."""

    kind: str
    load: str
    layout: str
    round: int
    result: dict[str, object]
    spent: Spent
    generator: float
    """Seconds of processor time of the load generator."""
    took: float
    events: float

    def figure(self, *path: str) -> float:
        """A number of the result."""
        value: object = self.result
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return float(str(value or 0.0))


class Bench:
    """Runs loads against hubs. `first` and `second`: the two cores."""

    def __init__(self, setup: Setup, program: Path, seconds: float, first: int, second: int) -> None:
        self._setup, self._program, self._seconds = setup, program, seconds
        self._first, self._second = first, second

    def cost(self, kind: Kind, offer: Offer, number_of_round: int) -> Run:
        """A paced load: its costs in the middle of it."""
        with self._hub(kind) as (url, parts):
            parts.pin({self._first}, {self._first})
            with generator(self._command(offer, url, self._second, self._seconds + 1), self._second) as process:
                time.sleep(LEFT_OUT)
                before, began = parts.spent(), time.monotonic()
                time.sleep(self._seconds - 1)
                spent, took = parts.spent() - before, time.monotonic() - began
                result = self._result(process)
        return Run(kind.name, offer.name, "cost", number_of_round, result, spent, 0.0, took, offer.rate * took)

    def maximum(self, kind: Kind, offer: Offer, layout: str, number_of_round: int) -> Run:
        """As many events as the hub takes."""
        free = layout == "free"
        both = {self._first, self._second}
        with self._hub(kind) as (url, parts), spinning(self._first, not free and kind.workers == 1):
            parts.pin(both if free else {self._first}, both if free else {self._second})
            before, used = parts.spent(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = self._command(offer, url, -1 if free else self._second, self._seconds)
            began = time.monotonic()
            with generator(command, None if free else self._second) as process:
                result = self._result(process)
            took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = parts.spent() - before
        theirs = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        events = float(str(result["published"]))
        return Run(kind.name, offer.name, layout, number_of_round, result, spent, theirs, took, events)

    @contextmanager
    def _hub(self, kind: Kind) -> Iterator[tuple[str, Parts]]:
        environment = {**self._setup.hub_environment, "HUB_WORKERS": str(kind.workers)}
        with tempfile.TemporaryDirectory(dir=self._setup.folder, prefix="w-") as folder:
            setup = replace(self._setup, hub_environment=environment, folder=Path(folder))
            with started(kind.server, setup) as running:
                time.sleep(1.5)  # until the second worker is there, and each knows of the other
                parts = Parts.of(running.process.pid)
                if len(parts.workers) != kind.workers:
                    raise RuntimeError(f"the hub has {len(parts.workers)} workers instead of {kind.workers}")
                yield running.url, parts

    def _command(self, offer: Offer, url: str, core: int, seconds: float) -> list[str]:
        stream, publish = HUB_VALKEY.path(False, offer.rooms), HUB_VALKEY.path(True, offer.rooms)
        flags = [*offer.flags, "-seconds", f"{seconds:g}", "-cpu", str(core)]
        return [str(self._program), offer.mode, *flags, "-sub-url-template", url + stream, "-pub-url", url + publish]

    def _result(self, process: subprocess.Popen[str]) -> dict[str, object]:
        output, errors = process.communicate(timeout=120)
        if process.returncode:
            raise RuntimeError(errors.strip())
        result: dict[str, object] = json.loads(output)
        for name in ("lost", "misordered", "gaps"):
            if result.get(name):
                tools.note(f"    ! {result[name]} {name}")
        return result


@contextmanager
def spinning(core: int, wanted: bool) -> Iterator[None]:
    """Keep a core half busy for as long as another program wants all of it."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True, preexec_fn=pinned_to(core)) as spinner:
        try:
            yield
        finally:
            spinner.kill()


def middle(runs: Sequence[Run], kind: Kind, load: str, layout: str, figure: str) -> float:
    """The median over the rounds of one of the figures that `figures` returns."""
    found = [figures(run)[figure] for run in runs if (run.kind, run.load, run.layout) == (kind.name, load, layout)]
    return statistics.median(found)


def figures(run: Run) -> dict[str, float]:
    """What the tables show. Costs are µs of processor time for each event; shares are of one core."""
    events = max(run.events, 1.0)
    return {
        "hub": run.spent.workers / events * 1e6,
        "valkey": run.spent.valkey / events * 1e6,
        "generator": run.generator / events * 1e6,
        "hub share": run.spent.workers / run.took,
        "valkey share": run.spent.valkey / run.took,
        "generator share": run.generator / run.took,
        "p50": run.figure("latency_ms", "p50"),
        "p99": run.figure("latency_ms", "p99"),
        "rate": run.figure("deliveries_per_s") if run.figure("subscribers") else run.figure("posts_per_s"),
        "published": run.figure("published_per_s"),
    }


def tables(runs: Sequence[Run]) -> str:
    """Both measurements as Markdown."""
    cost = []
    for offer in COSTS:
        for kind in KINDS:
            show = [middle(runs, kind, offer.name, "cost", name) for name in ("hub", "valkey", "p50", "p99")]
            delivery = number(show[0] / offer.reached)
            cost.append([offer.name, kind.name, number(show[0]), delivery, number(show[1]), *map(number, show[2:])])
    most = []
    for layout in LAYOUTS:
        for offer in MAXIMA:
            for kind in (ONE, TWO):
                shares = (
                    middle(runs, kind, offer.name, layout, f"{name} share") for name in ("hub", "valkey", "generator")
                )
                parts = [
                    number(middle(runs, kind, offer.name, layout, name)) for name in ("hub", "valkey", "generator")
                ]
                rate = number(middle(runs, kind, offer.name, layout, "rate"))
                ratio = f"{speedup(runs, offer, layout):.2f} ×" if kind is TWO else ""
                most.append([f"{offer.name}; {layout}", kind.name, rate, ratio, *parts, *(f"{s:.0%}" for s in shares)])
    head = [
        "cost of the same load",
        "hub",
        "µs an event, hub",
        "µs a delivery",
        "µs an event, Valkey",
        "p50 ms",
        "p99 ms",
    ]
    top = ["maximum", "hub", "a second", "2 / 1", "µs, hub", "µs, Valkey", "µs, generator"]
    top += ["hub", "Valkey", "generator"]
    return f"{rows(head, cost)}\n\n{rows(top, most)}"


def speedup(runs: Sequence[Run], offer: Offer, layout: str) -> float:
    """The median over the rounds of what two workers reach, divided by what one reaches in the same round."""
    by_round = {
        (run.round, run.kind): figures(run)["rate"] for run in runs if (run.load, run.layout) == (offer.name, layout)
    }
    return statistics.median(
        rate / by_round[number_of_round, ONE.name]
        for (number_of_round, kind), rate in by_round.items()
        if kind == TWO.name
    )


def service_times(runs: Sequence[Run]) -> ServiceTimes:
    """The costs of one event, in seconds, from those loads which `bench.simulate` does not predict."""
    posts, fan_out = MAXIMA[0].name, COSTS[0]
    layout = LAYOUTS[0]
    post, with_two = (middle(runs, kind, posts, layout, "hub") / 1e6 for kind in (ONE, TWO))
    append, both = (middle(runs, kind, posts, layout, "valkey") / 1e6 for kind in (ONE, TWO))
    delivery = middle(runs, ONE, fan_out.name, "cost", "hub") / fan_out.reached / 1e6
    return ServiceTimes(
        post=post,
        delivery=delivery,
        follow=max(0.0, with_two - post),
        append=append,
        read=max(0.0, both - append),
        measured_rooms={
            str(kind.workers): middle(runs, kind, MAXIMA[1].name, layout, "published") for kind in (ONE, TWO)
        },
        publishers=32,
        rooms=MANY,
        share=0.5,
        machine=machine.describe(tools.go(), None)["CPU"],
        date=time.strftime("%Y-%m-%d", time.gmtime()),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=5, help="duration of each load (default 5)")
    parser.add_argument("--save", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args()
    first, second = tools.cores()
    tools.allow_open_files(MANY)
    CACHE.mkdir(parents=True, exist_ok=True)
    setup = Setup([sys.executable, "flask_server.py"], {}, "", "", first, CACHE)
    bench = Bench(setup, tools.build_loadgen(CACHE), options.seconds, first, second)
    runs: list[Run] = []
    for turn in range(1, options.rounds + 1):
        tools.note(f"round {turn} of {options.rounds}")
        runs += [bench.cost(kind, offer, turn) for offer in COSTS for kind in KINDS]
        runs += [
            bench.maximum(kind, offer, layout, turn) for layout in LAYOUTS for offer in MAXIMA for kind in (ONE, TWO)
        ]
    (CACHE / "workers.json").write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
    print(tables(runs))
    if options.save:
        service_times(runs).save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
