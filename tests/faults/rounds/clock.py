"""A system clock that is set forward and back, with libfaketime: only the hub sees it. The monotonic clock goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...toolchain import library
from .place import Place
from .problems import Skipped
from .scene import Scene

_FILE = "clock"


@contextmanager
def faked_clock(folder: Path) -> Iterator[Place]:
    """The settings of a hub whose clock is the system's plus the seconds in a file."""
    found = library("libfaketime")
    if found is None:
        raise Skipped("libfaketime is not installed. To install it: apt install faketime")
    _set(folder, 0)
    try:
        yield Place(
            {
                "LD_PRELOAD": found,
                "FAKETIME_TIMESTAMP_FILE": str(folder / _FILE),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        )
    finally:
        _clear_shared_memory()


def _clear_shared_memory() -> None:
    """Remove what libfaketime has left in shared memory for processes that were killed."""
    for path in Path("/dev/shm").glob("*faketime_s*_*"):
        pid = path.name.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


def _set(folder: Path, seconds: int) -> None:
    new = folder / f"{_FILE}.new"
    new.write_text(f"{seconds:+d}\n")
    new.replace(folder / _FILE)


def clock_jumps(scene: Scene) -> None:
    """Set the clock forward and back by seconds to months. No stream may end for it."""
    opened = [subscriber.opened for subscriber in scene.subscribers]
    for _ in range(scene.rng.randrange(2, 6)):
        size = scene.rng.choice((2, 61, 3700, 90_000, 5_000_000))
        _set(scene.folder, scene.rng.choice((-1, 1)) * size)
        scene.pause(1.5)  # retention has a turn each second
        scene.progress()
    if scene.rng.random() < 0.5:
        # A hub that starts with a wrong clock believes it (docs/operations.md): more than a day ahead, retention would
        # remove everything.
        _set(scene.folder, scene.rng.choice((-5_000_000, -90_000, -61, 3700)))
        scene.hub.kill()
        scene.hub.start()
        scene.progress()
    elif opened != [subscriber.opened for subscriber in scene.subscribers]:
        scene.problems.append("a step of the clock ended a stream")
    _set(scene.folder, 0)
    scene.pause(1.5)
