"""Processor time of the parts of a running hub, from /proc: its worker processes, and the Valkey that it has started."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.processes import tree

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Parts:
    """The processes of one hub: gunicorn's master, its workers, and the server of its own history, if it has one."""

    master: int
    workers: tuple[int, ...]
    valkey: int | None

    @classmethod
    def of(cls, master: int) -> Parts:
        """Those of a hub that is running."""
        children = [pid for pid in tree(master) if pid != master and parent(pid) == master]
        servers = [pid for pid in children if name(pid).startswith(("valkey", "redis"))]
        workers = tuple(pid for pid in children if pid not in servers and name(pid).startswith(("python", "gunicorn")))
        return cls(master, workers, servers[0] if servers else None)

    def pin(self, workers: set[int], valkey: set[int]) -> None:
        """Let the workers, and the server, run on these cores only."""
        for pid in self.workers:
            pin(pid, workers)
        if self.valkey is not None:
            pin(self.valkey, valkey)

    def spent(self) -> Spent:
        """The processor time of all so far."""
        return Spent(tuple(seconds(pid) for pid in self.workers), seconds(self.valkey) if self.valkey else 0.0)


@dataclass(frozen=True)
class Spent:
    """Seconds of processor time: of each worker, and of the server."""

    each: tuple[float, ...]
    valkey: float

    @property
    def workers(self) -> float:
        """Of all workers together."""
        return sum(self.each)

    def __sub__(self, before: Spent) -> Spent:
        each = tuple(now - then for now, then in zip(self.each, before.each, strict=True))
        return Spent(each, self.valkey - before.valkey)


def pin(pid: int, cores: set[int]) -> None:
    """Let all threads of a process run on these cores only."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, of which the first is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def parent(pid: int) -> int:
    """The pid of its parent, or 0 if it has ended."""
    try:
        return int(stat(pid)[1])
    except OSError:
        return 0


def name(pid: int) -> str:
    """The name of its program, or "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def seconds(pid: int) -> float:
    """The processor time that a process has used, in user space and in the kernel."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS
