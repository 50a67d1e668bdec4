"""What a hub's processes hold: descriptors, threads, greenlets and child processes."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ...hubs import HubProcess, until
from .probe.sitecustomize import SIGNAL

PROBE = Path(__file__).parent / "probe"
_NUMBERED = re.compile(r":\[\d+\]|(?<=gunicorn-).*|(?<=faketime_shm_)\d+")
"""What differs between two processes: the numbers of sockets and pipes, gunicorn's name for its temporary file, and
libfaketime's for its memory."""


def observed(environ: dict[str, str], folder: Path) -> dict[str, str]:
    """Settings with which a hub's greenlets can be counted."""
    (folder / "probe").mkdir(exist_ok=True)
    path = os.pathsep.join(filter(None, (str(PROBE), os.environ.get("PYTHONPATH"))))
    return {**environ, "PYTHONPATH": path, "FAULTS_PROBE": str(folder / "probe")}


@dataclass(frozen=True)
class Resources:
    """What the serving processes of a hub hold. `descriptors`: by kind; names of files are kept, numbers are not."""

    descriptors: Counter[str]
    threads: int
    greenlets: int
    names: Counter[str] = field(default_factory=Counter)
    """Where the greenlets began."""

    @classmethod
    def of(cls, hub: HubProcess) -> Resources:
        kinds: Counter[str] = Counter()
        threads = 0
        names: Counter[str] = Counter()
        for pid in serving(hub):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    kinds[_NUMBERED.sub("", os.readlink(link).rpartition("/")[2])] += 1
            threads += len(list(Path(f"/proc/{pid}/task").iterdir()))
            names.update(_greenlets(hub, pid))
        return cls(kinds, threads, names.total(), names)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.descriptors + other.descriptors,
            self.threads + other.threads,
            self.greenlets + other.greenlets,
            self.names + other.names,
        )

    def beyond(self, baseline: Resources) -> list[str]:
        """What this holds more than `baseline`. SQLite's connections open the write-ahead log at their first use of it."""
        known = baseline.descriptors
        known = known | Counter({f"{kind}-wal": n for kind, n in known.items() if f"{kind}-wal" in known})
        more = [f"{n} × {kind}" for kind, n in (self.descriptors - known).items()]
        for name in ("threads", "greenlets"):
            if (difference := getattr(self, name) - getattr(baseline, name)) > 0:
                what = f" ({', '.join(self.names - baseline.names)})" if name == "greenlets" else ""
                more.append(f"{difference} {name}{what}")
        return more


def _greenlets(hub: HubProcess, pid: int) -> list[str]:
    answer = Path(hub.environ["FAULTS_PROBE"]) / str(pid)
    answer.unlink(missing_ok=True)
    os.kill(pid, SIGNAL)
    until(answer.exists, "the hub to count its greenlets")
    return answer.read_text().splitlines()


def serving(hub: HubProcess) -> list[int]:
    """The processes of a hub that serve requests: its workers, or itself."""
    assert hub.process is not None
    return [pid for pid, valkey in _children(hub) if not valkey] or [hub.process.pid]


def own_valkey(hub: HubProcess) -> int | None:
    """The Valkey that a hub has started, if it runs."""
    return next((pid for pid, valkey in _children(hub) if valkey), None)


def _children(hub: HubProcess) -> list[tuple[int, bool]]:
    """The processes that a hub has started and that run, and whether each is a Valkey."""
    assert hub.process is not None
    found = []
    for child in psutil.Process(hub.process.pid).children():
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append((child.pid, "valkey" in child.name()))
    return found


def children(hub: HubProcess) -> list[int]:
    """The processes below a hub, other than its workers."""
    assert hub.process is not None
    workers = serving(hub)
    found = []
    for child in psutil.Process(hub.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            if child.pid not in workers and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
    return found
