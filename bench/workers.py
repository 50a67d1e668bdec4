"""Compares two worker processes on Valkey with one: `python -m bench.workers` (five minutes on two cores).

Two cores cannot give each of two workers a core of its own while a load generator and a Valkey need one too. So there are
two measurements:

- **cost**: the same offered load for one worker and for two; what each part takes of a processor. The workers and Valkey are
  on the first core, the generator on the second.
- **maximum**: each worker has *half* a core. Two workers share the first core; one worker shares it with a program that only
  counts, so that it gets half as well. The generator and Valkey have the second core in both cases, and the tables say what
  they take of it: near 100 %, they were the bottleneck. **free** repeats it with nothing pinned, where the generator and
  Valkey take what the second worker would need.

On a busy machine, compare by processor time: the table says how much each part got.

Rounds alternate between the servers. With `--save`, the tables go into docs/scale.md, and the costs of an event
into `bench/service_times.json`, from which `bench.simulate` computes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from bench import machine, report, tools
from bench.cpu import Parts, Spent
from bench.cpu import seconds as seconds_of
from bench.generator import generator
from bench.processes import pinned_to
from bench.report import number, rows
from bench.run import CACHE
from bench.servers import HUB_SQLITE, HUB_VALKEY, ROOT, Server, Setup, started
from bench.service_times import FILE, ServiceTimes

PAGE = ROOT / "docs" / "scale.md"
MANY = 2_000
"""Subscribers and rooms of the loads with a room for each subscriber."""
LEFT_OUT = 2.0
"""Seconds of a load before processor time is measured: connecting, and the warm-up."""
SPIN = "while True: pass"
BUSY = (
    " **Other programs used the machine (load {load:.1f}): the maxima are too low and vary widely, and a follower that gets "
    "few events at a time costs more for each. They do not show what two workers can do; repeat it on a quiet machine.**"
)


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
POSTS = Offer("single POSTs, no subscriber", "post", _subscribers(0), 0)
WATCHED = Offer("single POSTs, 10 subscribers", "post", _subscribers(10), 10)
ROOMS = Offer("2,000 rooms of one subscriber", "sparse", _ROOMS, 1, 0, True)
FLAT_OUT = Offer("1,000 subscribers of everything", "flatout", _subscribers(1000), 1000)
MAXIMA = (POSTS, WATCHED, ROOMS, FLAT_OUT)
COST, HALF, FREE = "cost", "half a core each", "free"
LAYOUTS = {HALF: MAXIMA, FREE: (ROOMS,)}
"""The loads of each measurement of the maximum."""


@dataclass(frozen=True)
class Run:
    """One call of the generator: its result, and the processor time in the middle of it. `took`: seconds, `events`: how many
    were published in them."""

    kind: str
    load: str
    layout: str
    round: int
    result: dict[str, object]
    spent: Spent
    generator: float
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

    def run(self, kind: Kind, offer: Offer, layout: str, turn: int) -> Run:
        """Put a load on a fresh hub."""
        first, second, both = {self._first}, {self._second}, {self._first, self._second}
        workers, valkey = {COST: (first, first), HALF: (first, second), FREE: (both, both)}[layout]
        core = None if layout == FREE else self._second
        with self._hub(kind) as (url, parts), spinning(self._first, layout == HALF and kind.workers == 1):
            parts.pin(workers, valkey)
            with generator(self._command(offer, url, core), core) as process:
                time.sleep(LEFT_OUT)
                before, theirs, began = parts.spent(), seconds_of(process.pid), time.monotonic()
                time.sleep(self._seconds - 1)
                spent, took = parts.spent() - before, time.monotonic() - began
                theirs = seconds_of(process.pid) - theirs
                result = self._result(process)
        events = float(str(result["published_per_s"])) * took
        return Run(kind.name, offer.name, layout, turn, result, spent, theirs, took, events)

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

    def _command(self, offer: Offer, url: str, core: int | None) -> list[str]:
        stream, publish = HUB_VALKEY.path(False, offer.rooms), HUB_VALKEY.path(True, offer.rooms)
        flags = [*offer.flags, "-seconds", f"{self._seconds + 1:g}", "-cpu", str(-1 if core is None else core)]
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


def found(runs: Sequence[Run], kind: Kind, offer: Offer, layout: str, figure: str) -> list[float]:
    """One of the figures that `figures` returns, in each round."""
    wanted = (kind.name, offer.name, layout)
    return [figures(run)[figure] for run in runs if (run.kind, run.load, run.layout) == wanted]


def figures(run: Run) -> dict[str, float]:
    """What the tables show. Costs are µs of processor time for each event; shares are of one core."""
    events = max(run.events, 1.0)
    workers = run.spent.workers
    return {
        "hub": workers / events * 1e6,
        "valkey": run.spent.valkey / events * 1e6,
        "generator": run.generator / events * 1e6,
        "hub share": workers / run.took,
        "valkey share": run.spent.valkey / run.took,
        "generator share": run.generator / run.took,
        "busier": max(run.spent.each) / max(workers, 1e-9),
        "p50": run.figure("latency_ms", "p50"),
        "p99": run.figure("latency_ms", "p99"),
        "rate": run.figure("deliveries_per_s") if run.figure("subscribers") else run.figure("posts_per_s"),
        "published": run.figure("published_per_s"),
    }


def tables(runs: Sequence[Run]) -> str:
    """Both measurements as Markdown: medians over the rounds."""
    cost, most = [], []
    for offer in COSTS:
        for kind in KINDS:
            names = ("hub", "valkey", "p50", "p99")
            hub, valkey, *late = (statistics.median(found(runs, kind, offer, COST, name)) for name in names)
            cost.append(
                [offer.name, kind.name, number(hub), number(hub / offer.reached), number(valkey), *map(number, late)]
            )
    for layout, offers in LAYOUTS.items():
        for offer in offers:
            for kind in (ONE, TWO):
                middle = partial(_middle, runs, kind, offer, layout)
                shares = [f"{middle(f'{part} share'):.0%}" for part in ("hub", "valkey", "generator")]
                parts = [number(middle(part)) for part in ("hub", "valkey", "generator")]
                ratios = [f"{speedup(runs, offer, layout):.2f} ×", f"{efficiency(runs, offer, layout):.2f} ×"]
                rate = [number(middle("rate")), *(ratios if kind is TWO else ["", ""])]
                busier = f"{middle('busier'):.0%}" if kind is TWO else ""
                most.append([f"{offer.name}; {layout}", kind.name, *rate, *parts, *shares, busier])
    head = ["the same load", "hub", "µs an event, hub", "µs a delivery, hub", "µs an event, Valkey", "p50 ms", "p99 ms"]
    top = ["maximum", "hub", "a second", "2 / 1", "2 / 1 per processor time", "µs an event, hub", "Valkey", "generator"]
    top += ["of a core, hub", "Valkey", "generator", "the busier worker's part"]
    return f"{rows(head, cost)}\n\n{rows(top, most)}"


def _middle(runs: Sequence[Run], kind: Kind, offer: Offer, layout: str, figure: str) -> float:
    return statistics.median(found(runs, kind, offer, layout, figure))


def speedup(runs: Sequence[Run], offer: Offer, layout: str) -> float:
    """What two workers reach, divided by what one reaches: the median over the rounds."""
    pairs = zip(*(found(runs, kind, offer, layout, "rate") for kind in (ONE, TWO)), strict=True)
    return statistics.median(two / one for one, two in pairs)


def efficiency(runs: Sequence[Run], offer: Offer, layout: str) -> float:
    """The same for the processor time that the workers got: two of them, with a core each, would reach this."""
    pairs = zip(*(found(runs, kind, offer, layout, "hub") for kind in (ONE, TWO)), strict=True)
    return statistics.median(2 * one / two for one, two in pairs)


def service_times(runs: Sequence[Run]) -> ServiceTimes:
    """The costs of one event, in seconds: the lowest of the rounds, because other programs can only add to them.
    `flush` is fitted to one worker that takes as many events as it can in rooms of one subscriber: where several events of a
    view arrive at once, they share it. So the prediction for one worker agrees by construction; two are the check."""

    def cost(kind: Kind, offer: Offer, layout: str, part: str) -> float:
        return min(found(runs, kind, offer, layout, part)) / 1e6

    post, with_two = (cost(kind, POSTS, HALF, "hub") for kind in (ONE, TWO))
    append, both = (cost(kind, POSTS, HALF, "valkey") for kind in (ONE, TWO))
    delivery = cost(ONE, COSTS[0], COST, "hub") / COSTS[0].reached
    alone = cost(ONE, ROOMS, HALF, "hub")
    rooms, shares = {}, {}
    for kind in (ONE, TWO):
        fastest = max(
            range(len(found(runs, kind, ROOMS, HALF, "hub"))),
            key=lambda n: found(runs, kind, ROOMS, HALF, "published")[n],
        )
        rooms[str(kind.workers)] = found(runs, kind, ROOMS, HALF, "published")[fastest]
        shares[str(kind.workers)] = found(runs, kind, ROOMS, HALF, "hub share")[fastest] / kind.workers
    return ServiceTimes(
        post=post,
        flush=max(0.0, alone - post - delivery),
        delivery=delivery,
        follow=max(0.0, with_two - post),
        append=append,
        read=max(0.0, both - append),
        measured_rooms=rooms,
        measured_shares=shares,
        publishers=32,
        rooms=MANY,
        machine=machine.describe(tools.go(), None)["CPU"],
        date=time.strftime("%Y-%m-%d", time.gmtime()),
    )


def _heading(runs: Sequence[Run], load: float) -> str:
    """When and where. `load`: the machine's load average before."""
    day, cpu = time.strftime("%Y-%m-%d", time.gmtime()), machine.describe(tools.go(), None)["CPU"]
    rounds = max(run.round for run in runs)
    busy = BUSY.format(load=load) if load > 0.5 else ""
    return f"Measured on {day}, {cpu}, medians of {rounds} rounds.{busy}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=5, help="duration of each load (default 5)")
    parser.add_argument("--save", action="store_true", help=f"write {FILE.name} and docs/scale.md")
    options = parser.parse_args()
    first, second = tools.cores()
    tools.allow_open_files(MANY)
    CACHE.mkdir(parents=True, exist_ok=True)
    setup = Setup([sys.executable, "flask_server.py"], {}, "", "", first, CACHE)
    bench = Bench(setup, tools.build_loadgen(CACHE), options.seconds, first, second)
    runs: list[Run] = []
    load = os.getloadavg()[1]
    for turn in range(1, options.rounds + 1):
        tools.note(f"round {turn} of {options.rounds}")
        runs += [bench.run(kind, offer, COST, turn) for offer in COSTS for kind in KINDS]
        for layout, offers in LAYOUTS.items():
            runs += [bench.run(kind, offer, layout, turn) for offer in offers for kind in (ONE, TWO)]
    (CACHE / "workers.json").write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
    text = tables(runs)
    print(text)
    if options.save:
        service_times(runs).save()
        report.write(PAGE, f"{_heading(runs, load)}\n\n{text}", *report.markers("python -m bench.workers --save"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
