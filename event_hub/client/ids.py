"""Ids of events: unique among all publishers, made without a system call.

`os.urandom`, and with it `uuid4`, lets go of the interpreter lock: another thread may jump in, and whoever publishes
waits for it for a millisecond. So: the time, and 64 bits of a generator of our own (the global one may be seeded by the
program). The time keeps copies of a process apart that begin with the same state, such as restored snapshots.
"""

from __future__ import annotations

import os
import random
import time

_random = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """An `event_id`: 32 hexadecimal digits."""
    return f"{time.time_ns():016x}{_random.getrandbits(64):016x}"
