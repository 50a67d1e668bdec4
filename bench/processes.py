"""Programs that the benchmark starts: each in a session of its own, on one core, ended with all that it started."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GRACE = 15.0
"""Seconds between SIGTERM and SIGKILL: the hub's own drain takes up to 10."""


@dataclass(frozen=True)
class Memory:
    """What a process tree holds, in bytes: RSS counts shared pages in every process, PSS shares them out."""

    rss: int
    pss: int


def pinned_to(core: int) -> Callable[[], None]:
    """What a child runs before it becomes its program, so that it and all its own children stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def running(
    command: Sequence[str], core: int, log: Path, cwd: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program pinned to `core`, its output in `log`; at the end of the block it and its whole group are gone."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=pinned_to(core),
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to a program that leads its own group; after the grace time SIGKILL to whatever of the group is left."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tree(root: int) -> list[int]:
    """The pids of a process and of everything that descends from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def memory(pids: Iterable[int]) -> Memory:
    """What these processes hold together. What the kernel keeps for their sockets is not in it."""
    rss = pss = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name == "Rss":
                    rss += int(value.split()[0]) * 1024
                elif name == "Pss":
                    pss += int(value.split()[0]) * 1024
    return Memory(rss, pss)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 60.0) -> None:
    """Return when `ready` says so; RuntimeError with the end of the log where the program ended or took too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            why = f"ended with code {code}" if code is not None else f"was not ready after {seconds:.0f} s"
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"the server {why}:\n{last}")
        time.sleep(0.05)
