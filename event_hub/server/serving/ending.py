"""Whether the whole hub ends, or one of its worker processes alone, which another replaces.

Imported by gunicorn's master before it starts workers, so that all of them share the memory.
"""

from __future__ import annotations

import mmap
import os

_flag = mmap.mmap(-1, 1)
_master = os.getpid()


def announce() -> None:
    """The master ends, and with it all workers."""
    _flag[0] = 1


def of_the_hub() -> bool:
    """Whether it is the hub that ends: the master has said so, or is gone."""
    return _flag[0] == 1 or os.getppid() != _master
