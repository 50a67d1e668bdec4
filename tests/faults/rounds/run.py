"""Runs rounds: one at a time, or several at once in processes of their own."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from .kinds import KINDS
from .problems import RoundFailed, Skipped
from .scene import Scene, Store


@dataclass(frozen=True)
class Outcome:
    """Of one round. `problems`: empty if all is well; `skipped`: why the round did not run."""

    kind: str
    seed: int
    seconds: float = 0.0
    events: int = 0
    streams: int = 0
    failures: int = 0
    """POSTs that failed or were refused, and were retried."""
    gaps: int = 0
    problems: str = ""
    skipped: str = ""


def play(kind: str, seed: int, store: Store, folder: Path, *, brief: bool = False) -> Outcome:
    """One round in `folder`. `brief`: without what takes longest. Raises RoundFailed for what the checks find, Skipped if it cannot run here."""
    if sys.platform != "linux":
        raise Skipped("needs Linux: what processes hold is read from /proc")
    fault = KINDS[kind]
    begun = time.monotonic()
    with fault.place(folder) as place:
        if "HUB_HISTORY" in place.environ and store != Store():
            raise Skipped("has a history of its own")
        options = {"size": fault.size, "lasting": fault.lasting, "preexec": fault.preexec, "brief": brief}
        hubs = fault.hubs or store.hubs
        with Scene(folder, f"{kind}-{seed}", store, place=place, environ=fault.environ, hubs=hubs, **options) as scene:
            try:
                scene.start()
                fault.inflict(scene)
                scene.check()
            except Exception as error:
                found = str(error)
                if not isinstance(error, RoundFailed):
                    found = "\n".join([traceback.format_exc(), *scene.problems])
                outputs = "\n".join(hub.output()[-3000:] for hub in scene.hubs)
                raise RoundFailed(f"{kind}, seed {seed}:\n{found}\n{outputs}".strip()) from error
            return Outcome(
                kind,
                seed,
                time.monotonic() - begun,
                len(scene.history),
                sum(subscriber.opened for subscriber in scene.subscribers),
                sum(publisher.failures + publisher.refused for publisher in scene.publishers),
                sum(not hasattr(item, "key") for subscriber in scene.subscribers for item in subscriber.seen),
            )


def attempt(kind: str, seed: int, store: Store) -> Outcome:
    """One round in a folder of its own; never raises."""
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
            return play(kind, seed, store, Path(folder))
    except Skipped as skipped:
        return Outcome(kind, seed, skipped=str(skipped))
    except RoundFailed as failed:
        return Outcome(kind, seed, time.monotonic() - begun, problems=str(failed))
    except Exception:
        return Outcome(kind, seed, time.monotonic() - begun, problems=traceback.format_exc())


def attempts(rounds: list[tuple[str, int]], store: Store, jobs: int) -> Iterator[Outcome]:
    """All rounds, `jobs` at a time, in the order in which they end."""
    if jobs == 1:
        yield from (attempt(kind, seed, store) for kind, seed in rounds)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        for future in as_completed([pool.submit(attempt, kind, seed, store) for kind, seed in rounds]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # at an interruption, only the rounds that run are finished
