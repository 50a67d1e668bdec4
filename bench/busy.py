"""Keeps a thread busy between measured calls, as the rest of a voice agent would."""

from __future__ import annotations

import time

PAUSE = 0.002
"""Seconds between measured calls."""


def work() -> None:
    """Compute for `PAUSE` seconds."""
    until = time.perf_counter() + PAUSE
    while time.perf_counter() < until:
        pass
