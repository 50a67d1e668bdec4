"""Runs the load generator: each call gives one measurement."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import peak, pinned_to, tree
from bench.scenarios import Load
from bench.servers import Running, Server

SETTLE = 2.0
"""Seconds to leave a server idle before reading its memory."""
PATIENCE = 300.0
"""Timeout of a call in seconds; the longest takes about a minute."""


@dataclass(frozen=True)
class Measurement:
    """The result of one call: the generator's JSON (`type result` in loadgen/runs.go) and, for `idle`, memory in bytes."""

    load: str
    server: str
    round: int
    result: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    failure: str = ""

    def problems(self) -> list[str]:
        """Reasons to distrust the figures: events lost, repeated or out of order, closed streams, or a late generator."""
        if self.failure:
            return [self.failure.splitlines()[0]]
        bad = ("lost", "misordered", "misrouted", "gaps", "closed_by_server")
        found = [f"{self.result[name]:,} {name.replace('_', ' ')}" for name in bad if self.result.get(name)]
        if self.result.get("same_order") is False:
            found.append("not every subscriber saw the same events in the same order")
        late = (self.result.get("late_ms") or {"p99": 0.0})["p99"]
        if late > 1:
            found.append(f"the load generator was {late:.1f} ms late (p99)")
        return found

    @property
    def generator_was_full(self) -> bool:
        """Whether the load generator used its whole core, apart from busy-waiting for the next event's time."""
        return not self.result.get("rate") and bool(self.result.get("generator_cpu", 0) > 0.97)


def measure(program: Path, core: int, load: Load, server: Server, running: Running, round_number: int) -> Measurement:
    """Run one load against a running server. Raises RuntimeError if the generator fails."""
    command = [str(program), load.mode, *load.flags, "-cpu", str(core)]
    stream = server.replay if load.replays else server.path(publish=False, rooms=load.rooms)
    command += ["-sub-url-template", running.url + stream]
    command += ["-pub-url", running.url + server.path(publish=True, rooms=load.rooms)]
    if load.one_channel and server.channel_rate:
        command += ["-max-rate", str(server.channel_rate)]
    idle = load.mode == "idle"
    memory = {"before": settled(running)} if idle or load.replays else {}
    with generator(command, core) as process:
        if (
            idle and process.stdout and process.stdout.readline()
        ):  # all streams are open, until communicate() closes stdin
            memory["open"] = settled(running)
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the load generator did not finish within {PATIENCE:.0f} s") from None
    if process.returncode:
        raise RuntimeError(errors.strip() or f"the load generator exited with code {process.returncode}")
    if load.replays:
        memory["peak"] = {"rss": peak(tree(running.process.pid))}
    if idle:
        memory["after"] = settled(running)
    return Measurement(load.name, server.name, round_number, json.loads(output), memory)


@contextmanager
def generator(command: list[str], core: int | None) -> Iterator[subprocess.Popen[str]]:
    """Run the load generator, on one core or, with None, on any; it is killed at the end of the block."""
    pipe = subprocess.PIPE
    pinned = None if core is None else pinned_to(core)
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True, preexec_fn=pinned
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def settled(running: Running) -> dict[str, int]:
    """The server's memory in bytes, after it has been idle for a while."""
    time.sleep(SETTLE)
    return asdict(running.memory())
