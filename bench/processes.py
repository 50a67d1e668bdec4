"""Runs programs for the benchmark: each in its own session and on one core, and ended with all its child processes."""

import os
import re
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
    """Memory of a process tree in bytes. RSS counts shared pages in every process; PSS divides them among the processes."""

    rss: int
    pss: int


def pinned_to(core: int) -> Callable[[], None]:
    """A `preexec_fn` that pins a child process, and all its own children, to one core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def running(
    command: Sequence[str], core: int, log: Path, cwd: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program pinned to `core`, with its output in `log`; its process group is ended at the end of the block."""
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
    """Send SIGTERM to a program that leads its own group, and after the grace time SIGKILL to the rest of the group."""
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
    """The pids of a process and all its descendants."""
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
    """The memory of these processes in total, without the kernel's socket buffers."""
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
    """Wait until `ready()`. Raises RuntimeError with the end of the log if the program exits or takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            why = f"exited with code {code}" if code is not None else f"was not ready after {seconds:.0f} s"
            last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"the server {why}:\n{last}")
        time.sleep(0.05)


def peak(pids: Iterable[int]) -> int:
    """The largest resident size that each of these processes ever had, in bytes, in total."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            total += 1024 * int(found[1]) if found else 0
    return total
