"""Which processes are of one hub."""

from __future__ import annotations

import os

INSTANCE = "_EVENT_HUB_INSTANCE"
"""The environment variable in which gunicorn's master names the hub to its workers, however many it starts or adds later."""


def instance_name() -> str:
    """The same for all worker processes of one hub, and for no other hub: neither host names nor the numbers of processes
    differ between containers."""
    return os.environ.get(INSTANCE) or os.urandom(8).hex()
