"""`python -m bench.soak`: a hub under a day's coming and going, shortened to minutes. Says whether it holds.

10,000 subscribers of which some leave and others come, 200 events a second, and in every second window 1 % more streams
that are never read. The memory and the descriptors of the hub must stay flat, no event may be missing, and the latency of
those who read must not differ between the windows with and without the streams that are not read.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.generator import generator
from bench.processes import tree
from bench.servers import HUB_SQLITE, ROOT, Running, Setup, started
from bench.tools import Missing, allow_open_files, build_loadgen, cores, note

RING = 2000
"""Events: at 200 a second the ring is full after ten seconds, so memory that still grows later is a leak."""
RETENTION = "1d,3MB"
"""Full after a minute: SQLite keeps up to 64 MiB of a history in memory, and would fill that first."""
STALL = "8s"
GROWTH = 1.05
"""Maximum memory in the second half of the windows, relative to the first half."""
FILLING = 90.0
"""Seconds until the ring and the history are full; memory is compared after that."""
SLOWER = 1.05
"""Maximum latency in windows with stalled streams, relative to those without."""
SPARE = 40
"""Descriptors that may be open besides those of streams: files, publishers, connections that are just opening or closing."""


@dataclass(frozen=True)
class Window:
    """One window of the load generator (`window` in loadgen/soak.go), and what the hub held at its end."""

    load: dict[str, Any]
    memory: int
    descriptors: int

    @property
    def stalled(self) -> bool:
        return bool(self.load["stalled"])

    def latency(self, share: str) -> float:
        """In ms; `share` is p50 or p99."""
        return float((self.load["latency_ms"] or {})[share])


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak ARGS='…'", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--minutes", type=float, default=4, help="(%(default)s)")
    parser.add_argument("--subscribers", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--rate", type=float, default=200, help="events a second (%(default)s)")
    parser.add_argument("--rooms", type=int, default=100, help="rooms; each subscriber watches one (%(default)s)")
    parser.add_argument(
        "--churn", type=float, default=50, help="subscribers a second that leave and are replaced (%(default)s)"
    )
    parser.add_argument("--window", type=float, default=12, help="seconds in a window (%(default)s)")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Result:
    """`left`: descriptors open in the end beyond those at the start. `dropped`: streams that the hub dropped as stalled."""

    windows: list[Window]
    left: int
    dropped: int


def soak(chosen: argparse.Namespace, folder: Path) -> Result:
    """Run it. Raises Missing if it cannot run here, or the load generator fails."""
    serving, loading = cores()
    allow_open_files(chosen.subscribers + chosen.subscribers // 100)
    program = build_loadgen(folder)
    environment = {"HUB_RING": str(RING), "HUB_STALL": STALL, "HUB_RETENTION": RETENTION}
    command = [sys.executable, str(ROOT / "flask_server.py")]
    with started(HUB_SQLITE, Setup(command, environment, "", "", serving, folder)) as running:
        before = descriptors(running)
        flags = {
            "-subs": chosen.subscribers,
            "-stalled": chosen.subscribers // 100,
            "-rate": chosen.rate,
            "-rooms": chosen.rooms,
            "-churn": chosen.churn,
            "-seconds": chosen.minutes * 60,
            "-window-seconds": chosen.window,
            "-cpu": loading,
            "-sub-url-template": f"{running.url}{HUB_SQLITE.stream}?room={{room}}",
            "-stall-url": f"{running.url}{HUB_SQLITE.stream}",
            "-pub-url": f"{running.url}{HUB_SQLITE.publish}",
        }
        words = [str(program), "soak", *(str(word) for flag in flags.items() for word in flag)]
        windows = []
        with generator(words, loading) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            print(line(HEAD))
            for text in process.stdout:
                windows.append(Window(json.loads(text), running.memory().pss, descriptors(running)))
                print(line(row(windows[-1])), flush=True)
            if process.wait():
                raise Missing(process.stderr.read().strip() or f"the load generator ended with {process.returncode}")
        return Result(windows, settled(running, before), dropped(running))


def dropped(running: Running) -> int:
    """The streams that the hub has dropped because they took nothing for HUB_STALL."""
    with urllib.request.urlopen(f"{running.url}/metrics", timeout=10) as answer:
        found = re.search(r'hub_subscribers_dropped_total\{reason="stalled"\} ([\d.e+]+)', answer.read().decode())
    return int(float(found[1])) if found else 0


def settled(running: Running, before: int) -> int:
    """Descriptors that the hub does not give back within 20 seconds."""
    left = 0
    for _ in range(40):
        left = descriptors(running) - before
        if left <= KEPT_OPEN:
            return 0
        time.sleep(0.5)
    return left


KEPT_OPEN = 4
"""SQLite's connection for checkpoints, with its files, which the hub opens after some seconds and keeps."""


def descriptors(running: Running) -> int:
    """Open descriptors of all of the hub's processes."""
    total = 0
    for pid in tree(running.process.pid):
        with suppress(FileNotFoundError):
            total += len(os.listdir(f"/proc/{pid}/fd"))
    return total


HEAD = (
    "window",
    "stalled",
    "p50 ms",
    "p99 ms",
    "POST p50",
    "deliveries",
    "came",
    "gaps",
    "missing",
    "memory MB",
    "descriptors",
)


def row(window: Window) -> tuple[str, ...]:
    load = window.load
    return (
        str(load["window"]),
        str(load["stalled"]),
        f"{window.latency('p50'):.2f}",
        f"{window.latency('p99'):.2f}",
        f"{load['post_ms']['p50']:.2f}",
        f"{load['deliveries']:,}",
        f"{load['came']:,}",
        str(load["gaps"]),
        str(load["missing"] + load["misordered"]),
        f"{window.memory / 1e6:.1f}",
        f"{window.descriptors:,}",
    )


def line(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.rjust(len(head)) for cell, head in zip(cells, HEAD, strict=True))


@dataclass(frozen=True)
class Verdict:
    """`ok` is None if this machine was too noisy, or the time too short, to tell."""

    what: str
    found: str
    ok: bool | None


def verdicts(result: Result, open_streams: int, filling: int = 1) -> list[Verdict]:
    """What the windows say, without the first one. Memory counts after `filling` windows: ring and history fill up. Pure."""
    windows = result.windows[1:]
    full = [window.memory for window in result.windows[filling:]]
    half = len(full) // 2
    growth = statistics.mean(full[half:]) / statistics.mean(full[:half]) if half > 1 else None
    flat = "too few windows" if growth is None else f"{growth:.3f} × the first half"
    most = max(window.descriptors - window.load["stalled"] for window in windows)
    last = windows[-1].load
    wrong = last["missing"] + last["misordered"] + last["misrouted"] + last["closed_by_server"] + last["gaps"]
    return [
        Verdict("no event missing or out of order, no stream closed", f"{wrong}", wrong == 0),
        Verdict("memory flat", flat, None if growth is None else growth <= GROWTH),
        Verdict("descriptors flat", f"{most - open_streams} besides streams", most - open_streams <= SPARE),
        Verdict("descriptors given back", f"{result.left} left", result.left == 0),
        Verdict("streams that never read were dropped", f"{result.dropped:,}", result.dropped > 0),
        *(_latency(windows, share) for share in ("p50", "p99")),
    ]


def _latency(windows: list[Window], share: str) -> Verdict:
    """Compares windows with stalled streams with their neighbours, so that slow changes of the machine do not count.
    How much the two neighbours of a window differ, for no reason, says how far the median of all ratios can be trusted."""
    ratios = []
    differences = []
    for before, window, after in zip(windows, windows[1:], windows[2:], strict=False):
        if window.stalled:
            around = statistics.mean((before.latency(share), after.latency(share)))
            ratios.append(window.latency(share) / around)
            differences.append(abs(before.latency(share) - after.latency(share)) / around)
    if not ratios:
        return Verdict(f"latency of others, {share}", "too few windows", None)
    ratio, noise = statistics.median(ratios), statistics.median(differences) / math.sqrt(len(ratios))
    ok = None if noise > SLOWER - 1 else ratio <= SLOWER
    return Verdict(f"latency of others, {share}", f"{ratio:.3f} × without (± {noise:.1%})", ok)


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder below var/, for the hub's history and the load generator."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak-", dir=ROOT / "var") as folder:
        yield Path(folder)


def main(arguments: list[str]) -> int:
    """Returns 0 if all is well, 1 if something is not, 2 if the soak could not run, 3 if the machine was too noisy or
    the time too short."""
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end the hub
    try:
        with workplace() as folder:
            result = soak(chosen, folder)
    except (Missing, RuntimeError) as error:
        note(f"soak: {error}")
        return 2
    found = verdicts(result, chosen.subscribers, math.ceil(FILLING / (chosen.window + 1)))
    print()
    for verdict in found:
        word = {True: "ok", False: "FAILED", None: "undecided"}[verdict.ok]
        print(f"{word:9}  {verdict.what}: {verdict.found}")
    if any(verdict.ok is False for verdict in found):
        return 1
    return 3 if any(verdict.ok is None for verdict in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
