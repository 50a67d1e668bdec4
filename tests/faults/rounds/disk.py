"""A disk that is full, and has room again: a small file system of the round's own, which a file fills."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...hubs import PATIENCE, until
from .place import Place
from .problems import Skipped
from .resources import Resources
from .scene import Scene

_SIZE = "48m"
DEGRADED = Resources(Counter({"hub.db": 1}), 0, 0)
"""A hub that started on a full disk has read with another connection first. SQLite does not close the file of one connection
while another has a lock on it, because that would end the lock; it uses it again for the next connection."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Place]:
    """Mount a file system for the history."""
    if os.geteuid() != 0:
        raise Skipped("needs root: mounts a small file system and fills it")
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield Place({"HUB_HISTORY": f"sqlite:///{disk}/hub.db"})
    finally:
        subprocess.run(["umount", "-l", str(disk)], capture_output=True, check=False, timeout=PATIENCE)


def disk_fills(scene: Scene) -> None:
    """Fill the disk until publishers are refused, sometimes kill the hub meanwhile, and make room."""
    full = scene.folder / "disk" / "full"
    for _ in range(scene.rng.randrange(1, 3)):
        scene.progress()
        refused = scene.refused()
        with full.open("wb", buffering=0) as file:
            until(lambda file=file, refused=refused: _fill(file) and scene.refused() > refused, "the disk to be full")
        scene.pause(2.0)
        if scene.rng.random() < 0.3:
            scene.hub.kill()
            scene.hub.start()
            scene.pause(1.0)
        full.unlink()
    scene.progress()


def _fill(file: object) -> bool:
    with suppress(OSError):
        while file.write(b"x" * 4096):  # type: ignore[attr-defined]
            pass
    return True
