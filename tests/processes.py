"""The processes below a process. On Linux, its threads list their children; psutil would read the state of every process of
the machine, which takes 10 ms, thrice for each test."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil


def children(pid: int) -> set[int]:
    """Its direct child processes that have not been waited for. Empty if it has ended."""
    if not _LISTED:
        try:
            return {child.pid for child in psutil.Process(pid).children()}
        except psutil.NoSuchProcess:
            return set()
    first = _listed(pid)
    # The kernel may skip a process if one before it ends meanwhile.
    while (second := _listed(pid)) != first:
        first = second
    return first


def descendants(pid: int) -> set[int]:
    """Its child processes, their child processes, and so on."""
    direct = children(pid)
    return direct.union(*map(descendants, direct))


def _listed(pid: int) -> set[int]:
    found: set[int] = set()
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(
                FileNotFoundError, ProcessLookupError
            ):  # the thread has ended; its children are another's now
                found.update(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split()))
    return found


_LISTED = Path(f"/proc/self/task/{os.getpid()}/children").exists()
"""Whether this kernel has these lists; some containers' have not."""
