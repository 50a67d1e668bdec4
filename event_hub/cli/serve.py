"""`event-hub serve`: the hub itself, as `python flask_server.py` starts it."""

from __future__ import annotations

from gevent import monkey

# Before the server's modules are imported: what comes later then waits the gevent way.
monkey.patch_all()

from ..server.serve import main as command  # noqa: E402

__all__ = ["command"]
