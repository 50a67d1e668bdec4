"""`python -m tests.faults`: rounds of faults on real processes, each with a seed that repeats it."""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

from .rounds.kinds import KINDS
from .rounds.run import Outcome, attempts
from .rounds.scene import Store


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make faults ARGS='…'",
        description="Inflicts faults on a hub in mid-stream and checks that no acknowledged event is lost or doubled, that "
        "all arrive in order, and that nothing leaks. See docs/faults.md.",
    )
    parser.add_argument(
        "--rounds", type=int, default=len(KINDS), help="number of rounds (%(default)s: one of each kind)"
    )
    parser.add_argument("--seed", type=int, help="seed of the first round; the next ones have the next seeds (random)")
    parser.add_argument(
        "--only", action="append", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}; repeatable"
    )
    parser.add_argument(
        "--hubs", type=int, default=1, help="hubs in a round; more than one need a shared history (%(default)s)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the hubs, such as HUB_HISTORY; {round} in it is a name of the round's own; repeatable",
    )
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time (%(default)s)")
    parser.add_argument(
        "--log", type=Path, default=Path("var/faults.log"), help="what failed rounds found (%(default)s)"
    )
    chosen = parser.parse_args(arguments)
    if not all("=" in setting for setting in chosen.set):
        parser.error("--set: NAME=VALUE")
    chosen.store = Store(dict(setting.split("=", 1) for setting in chosen.set), chosen.hubs)
    return chosen


def table(outcomes: list[Outcome]) -> str:
    """The tally, a line for each kind."""
    head = (
        "kind",
        "rounds",
        "failed",
        "skipped",
        "events",
        "streams",
        "retries",
        "gaps",
        "s/round",
        "seeds that failed",
    )
    rows = [head]
    for kind in [*dict.fromkeys(name for name in KINDS if any(o.kind == name for o in outcomes)), "all"]:
        mine = [outcome for outcome in outcomes if kind in (outcome.kind, "all")]
        failed = [outcome for outcome in mine if outcome.problems]
        ran = [outcome for outcome in mine if not outcome.skipped]
        seconds = sum(outcome.seconds for outcome in ran) / max(1, len(ran))
        sums = [sum(getattr(outcome, name) for outcome in mine) for name in ("events", "streams", "failures", "gaps")]
        seeds = " ".join(str(outcome.seed) for outcome in failed) if kind != "all" else ""
        numbers = [len(ran), len(failed), len(mine) - len(ran), *sums]
        rows.append((kind, *(f"{number:,}" for number in numbers), f"{seconds:.1f}", seeds))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 9) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def main(arguments: list[str]) -> int:
    """Run the rounds; returns 1 if one failed, or was skipped in CI."""
    chosen = options(arguments)
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    kinds = chosen.only or list(KINDS)
    rounds = [(kinds[number % len(kinds)], seed + number) for number in range(chosen.rounds)]
    print(f"{len(rounds)} rounds, seeds {seed} to {seed + len(rounds) - 1}", flush=True)
    chosen.log.parent.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    try:
        for outcome in attempts(rounds, chosen.store, chosen.jobs):
            outcomes.append(outcome)
            verdict = "FAILED" if outcome.problems else f"skipped: {outcome.skipped}" if outcome.skipped else "ok"
            print(
                f"{len(outcomes)}/{len(rounds)} {outcome.kind} seed {outcome.seed} {outcome.seconds:.1f} s {verdict}",
                flush=True,
            )
            if outcome.problems:
                with chosen.log.open("a") as log:
                    log.write(f"{outcome.problems}\n\n")
                print(
                    f"{outcome.problems[:2000]}\nTo repeat it: make faults ARGS='--only {outcome.kind} --seed {outcome.seed} --rounds 1'",
                    flush=True,
                )
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(table(outcomes))
    missing = os.environ.get("CI") == "true" and any(outcome.skipped for outcome in outcomes)
    return 1 if missing or len(outcomes) < len(rounds) or any(outcome.problems for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
