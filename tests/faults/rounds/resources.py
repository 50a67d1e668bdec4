"""What a hub's processes hold: descriptors, threads, greenlets and child processes."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
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
    """What the serving process of a hub holds. `descriptors`: by kind; names of files are kept, numbers are not."""

    descriptors: Counter[str]
    threads: int
    greenlets: int

    @classmethod
    def of(cls, hub: HubProcess) -> Resources:
        pid = hub.worker_pid()
        kinds: Counter[str] = Counter()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                kinds[_NUMBERED.sub("", os.readlink(link).rpartition("/")[2])] += 1
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        return cls(kinds, threads, _greenlets(hub, pid))

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.descriptors + other.descriptors, self.threads + other.threads, self.greenlets + other.greenlets
        )

    def beyond(self, baseline: Resources) -> list[str]:
        """What this holds more than `baseline`. SQLite's connections open the write-ahead log at their first use of it."""
        known = baseline.descriptors
        known = known | Counter({f"{kind}-wal": n for kind, n in known.items() if f"{kind}-wal" in known})
        more = [f"{n} × {kind}" for kind, n in (self.descriptors - known).items()]
        for name in ("threads", "greenlets"):
            if (difference := getattr(self, name) - getattr(baseline, name)) > 0:
                more.append(f"{difference} {name}")
        return more


def _greenlets(hub: HubProcess, pid: int) -> int:
    answer = Path(hub.environ["FAULTS_PROBE"]) / str(pid)
    answer.unlink(missing_ok=True)
    os.kill(pid, SIGNAL)
    until(answer.exists, "the hub to count its greenlets")
    return int(answer.read_text())


def children(hub: HubProcess) -> list[int]:
    """The processes below a hub, other than its worker."""
    assert hub.process is not None
    worker = hub.worker_pid()
    found = psutil.Process(hub.process.pid).children(recursive=True)
    return [child.pid for child in found if child.pid != worker and child.status() != psutil.STATUS_ZOMBIE]
