"""Measures the start of a hub: `python -m bench.startup [ROUNDS]`.

In each round a hub is started until it has answered /api/health, and beside it Python imports what no hub can do without:
Flask, gunicorn and gevent. The figure is the processor time of all their processes, and the ratio of the two in the same
round, which does not depend on how busy the machine is.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.processes import end, tree
from tests.hubs import ROOT, HubProcess, until

BARE = "import flask, gunicorn.app.wsgiapp, gevent"
ROUNDS = 15
_UNSET = ""
"""For PYTHONDONTWRITEBYTECODE: an installed hub has bytecode; without it, every start would compile the sources again."""
_REQUEST = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def _processor_time(pid: int) -> float:
    """Seconds of processor time of a running process, its ended threads included (Linux: the clock of another process)."""
    return time.clock_gettime((~pid << 3) | 2)


def _answers(port: int) -> bool:
    """Whether the hub has answered. The kernel holds the connection while the hub listens but does not serve yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(_REQUEST)
            return b" 200 " in connection.recv(4096)
    except ConnectionRefusedError:
        return False


def hub_start(folder: Path) -> tuple[float, float]:
    """Processor time and time from the start of a hub to its first answer, in seconds."""
    hub = HubProcess(folder, HUB_HISTORY=f"sqlite:///{folder}/hub.db", PYTHONDONTWRITEBYTECODE=_UNSET)
    began = time.monotonic()
    process = hub.launch().process
    assert process is not None
    try:
        until(lambda: _answers(hub.port), "the hub's first answer")
        waited = time.monotonic() - began
        return sum(map(_processor_time, tree(process.pid))), waited
    finally:
        end(process)


def bare_imports() -> float:
    """Processor time of a Python that imports Flask, gunicorn and gevent, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", BARE], check=True, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": _UNSET}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int) -> None:
    """Print the medians, with the range over the rounds."""
    figures: dict[str, list[float]] = {
        "hub, processor time, s": [],
        "hub, until its first answer, s": [],
        "bare imports, processor time, s": [],
        "hub / bare imports": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        hub_start(Path(folder))  # writes bytecode, makes the history, and warms the file system's cache
        for _ in range(rounds):
            spent, waited = hub_start(Path(folder))
            bare = bare_imports()
            for values, value in zip(figures.values(), (spent, waited, bare, spent / bare), strict=True):
                values.append(value)
    print(f"Start of a hub to its first answer, {rounds} rounds, {os.cpu_count()} cores")
    for name, values in figures.items():
        print(f"  {name:32} {statistics.median(values):.2f}  ({min(values):.2f}-{max(values):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
