"""The command `python -m bench`: starts the hub and nchan in turn, puts load on them, and writes the report."""

import argparse
import json
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import comparison, machine, report, tools
from bench.figures import Table
from bench.generator import Measurement, measure
from bench.processes import pinned_to
from bench.scenarios import FULL, QUICK, Load, Scale, Scenario, scenarios
from bench.servers import BARE_SQLITE, HUB_MEMORY, HUB_SQLITE, HUB_VALKEY, NCHAN, ROOT, Server, Setup, started
from bench.tools import Missing, note

CACHE = ROOT / "var" / "bench"
PAGE = ROOT / "docs" / "performance.md"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line."""
    names = [scenario.name for scenario in scenarios(FULL)]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare the hub, with its history in memory, in SQLite and in Valkey, with nchan. The server runs on "
        "one core and the load generator on another; servers take turns, and the figures are medians over several "
        "rounds. Takes about 20 minutes, or three with --quick. Everything listens on loopback only and end with this one.",
        epilog="Exit codes: 0 measured (the report says whether targets were met), 1 a measurement failed, "
        "3 a tool is missing; the message gives the command to install it.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a look at every ratio beside the last full run's: one second per load, one round",
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="SCENARIO", help=f"run only these of {', '.join(names)}"
    )
    parser.add_argument(
        "--rounds", type=int, help=f"number of rounds (default {FULL.rounds}, with --quick {QUICK.rounds})"
    )
    parser.add_argument("--no-nchan", action="store_true", help="leave out nchan and the ratios to it")
    parser.add_argument("--no-hub", action="store_true", help="measure only nchan, to see what the machine can do")
    parser.add_argument(
        "--hub-command",
        help="command that starts the hub, run in the project's folder (default: flask_server.py with this Python)",
    )
    parser.add_argument(
        "--hub-env", action="append", default=[], metavar="NAME=VALUE", help="a setting for the hub; can be repeated"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="page to write (default: docs/performance.md; with --quick or --only: var/bench/performance.md)",
    )
    options = parser.parse_args(given)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.no_hub and options.no_nchan:
        parser.error("--no-hub and --no-nchan leave nothing to measure")
    if any("=" not in setting for setting in options.hub_env):
        parser.error("--hub-env takes NAME=VALUE")
    return options


def main(given: Sequence[str] | None = None) -> int:
    """Measure and report; returns the exit code."""
    options = arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scale = QUICK if options.quick else FULL
    scale = replace(scale, rounds=options.rounds or scale.rounds)
    try:
        return bench(options, scale)
    except Missing as missing:
        note(f"bench: {missing}")
        return 3
    except KeyboardInterrupt:
        note("bench: stopped; nothing was written")
        return 130


def bench(options: argparse.Namespace, scale: Scale) -> int:
    """Install tools, run all measurements, write results and report."""
    server_core, generator_core = tools.cores()
    tools.allow_open_files(scale.many)
    CACHE.mkdir(parents=True, exist_ok=True)
    program = tools.build_loadgen(CACHE)
    nginx, modules = ("", "") if options.no_nchan else tools.nchan()
    hub_command = shlex.split(options.hub_command) if options.hub_command else [sys.executable, "flask_server.py"]
    setup = Setup(
        hub_command, dict(setting.split("=", 1) for setting in options.hub_env), nginx, modules, server_core, CACHE
    )
    servers = [
        *([] if options.no_hub else [HUB_MEMORY, HUB_SQLITE, HUB_VALKEY, BARE_SQLITE]),
        *([] if options.no_nchan else [NCHAN]),
    ]
    chosen = [scenario for scenario in scenarios(scale) if not options.only or scenario.name in options.only]
    measurements = list(measure_all(chosen, servers, scale, setup, program, generator_core))

    facts = machine.describe(tools.go(), nginx or None)
    results = {"machine": facts, "scale": asdict(scale), "measurements": [asdict(m) for m in measurements]}
    (CACHE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    table = Table(measurements, scale)
    compared = comparison.changes(table, comparison.last_ratios(PAGE.read_text() if PAGE.exists() else ""))
    full = not (options.quick or options.only or options.no_hub or options.no_nchan)
    page = options.out or (PAGE if full else CACHE / "performance.md")
    picture = draw(table, page.with_suffix(".svg"))
    report.write(page, report.generated(measurements, scale, facts, picture, full))
    print(report.target_table(table))
    print(f"\n{comparison.text(compared)}")
    if options.quick:
        print(comparison.NOTE)
    note(f"bench: wrote {page} and {CACHE / 'results.json'}")
    return 1 if any(m.failure for m in measurements) else 0


def draw(table: Table, path: Path) -> str | None:
    """Draw the picture and return its name, or None if matplotlib, which is optional, is not installed."""
    try:
        from bench import plot  # imported here, because the rest works without matplotlib
    except ImportError:
        note("bench: no plot, because matplotlib is not installed. To install it: pip install -e '.[bench]'")
        return None
    plot.draw(table, path)
    return path.name


def measure_all(
    chosen: Sequence[Scenario], servers: Sequence[Server], scale: Scale, setup: Setup, program: Path, core: int
) -> Iterator[Measurement]:
    """Measure every scenario, round and server, in this order. Servers take turns, so a slow minute affects all alike."""
    turns = [
        (scenario, number, server)
        for scenario in chosen
        for number in range(1, scale.rounds + 1)
        for server in servers
        if loads(scenario, server)
    ]
    began = time.monotonic()
    for done, (scenario, number, server) in enumerate(turns):
        left = (time.monotonic() - began) / done * (len(turns) - done) / 60 if done else 0
        about = f", about {left:.0f} min left" if left >= 1 else ""
        note(f"[{done + 1}/{len(turns)}] {scenario.name}, {server.name}, round {number}/{scale.rounds}{about}")
        with tempfile.TemporaryDirectory(dir=setup.folder, prefix="turn-") as folder:
            yield from turn(scenario, server, number, replace(setup, folder=Path(folder)), program, core)


def turn(
    scenario: Scenario, server: Server, number: int, setup: Setup, program: Path, core: int
) -> Iterator[Measurement]:
    """Run one scenario on a fresh server. A failure becomes a measurement with the reason."""
    missing = loads(scenario, server)
    if server is BARE_SQLITE:
        yield bare(missing[0].name, number, setup)
        return
    try:
        with started(server, setup) as running:
            for load in tuple(missing):
                measurement = measure(program, core, load, server, running, number)
                missing.remove(load)
                note(f"    {summary(measurement)}")
                yield measurement
    except RuntimeError as error:
        note(f"    failed: {error}")
        yield from (Measurement(load.name, server.name, number, failure=str(error)) for load in missing)


def loads(scenario: Scenario, server: Server) -> list[Load]:
    """The loads of a scenario that this server supports."""
    if server is BARE_SQLITE:
        return [load for load in scenario.loads if load.name == "batch-array"]
    return [load for load in scenario.loads if server.batches or not load.batch]


def bare(load: str, number: int, setup: Setup) -> Measurement:
    """Measure what SQLite alone takes, on the server's core."""
    command = [sys.executable, "-m", "bench.bare_sqlite", str(setup.folder / "bare.db"), "2"]
    output = subprocess.run(
        command, cwd=ROOT, preexec_fn=pinned_to(setup.core), capture_output=True, text=True, timeout=120, check=False
    )
    if output.returncode:
        return Measurement(load, BARE_SQLITE.name, number, failure=output.stderr.strip() or "it failed")
    note(f"    {float(output.stdout):,.0f} rows/s")
    return Measurement(load, BARE_SQLITE.name, number, {"accepted_per_s": float(output.stdout)})


def summary(measurement: Measurement) -> str:
    """A measurement as one line for the terminal."""
    table = Table([measurement], FULL)
    shown = [
        f"{report.number(value)} {figure.unit}{' p' + key[-2:] if figure.unit == 'ms' else ''}"
        for key, figure in table.figures.items()
        if figure.load == measurement.load and (value := figure.of(measurement)) is not None
    ]
    problems = "".join(f"  ! {problem}" for problem in measurement.problems())
    return f"{measurement.load}: {', '.join(shown)}{problems}"
