"""The start of a hub's process: the standard library becomes gevent's, and garbage collection waits until the hub serves.

Call `prepare` before any other import.
"""

from __future__ import annotations

import gc
from importlib import metadata
from typing import Any


def prepare() -> None:
    """Make the blocking calls of the standard library cooperative, and stop collecting garbage until `serving`: what is
    imported from here on stays, and examining it again and again takes a tenth of the start."""
    gc.disable()
    from gevent import monkey

    # gevent looks for plugins 25 times, and each time reads the entry points of all installed packages: with 170 of them
    # 0.1 s. They do not change meanwhile, so they are read once.
    read, known = metadata.entry_points, metadata.entry_points()

    def entry_points(**wanted: Any) -> Any:
        return known.select(**wanted)

    metadata.entry_points = entry_points
    try:
        monkey.patch_all()
    finally:
        metadata.entry_points = read


def serving() -> None:
    """Collect garbage from now on, without examining what is loaded by now: it stays."""
    gc.freeze()
    gc.enable()
