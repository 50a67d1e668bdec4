"""Event ids that are unique across publishers and need no system call.

`os.urandom`, and therefore `uuid4`, releases the interpreter lock: another thread may take over, and the publishing
thread waits for a millisecond. So an id is the time plus 64 bits from a generator of this module's own, because the
program may seed the global one. The time separates copies of a process that start from the same state, such as restored
snapshots.
"""

from __future__ import annotations

import os
import random
import time

_random = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """A new `event_id`: 32 hexadecimal digits."""
    return f"{time.time_ns():016x}{_random.getrandbits(64):016x}"
