"""`event-hub serve`: start the hub, like `python flask_server.py`."""

from __future__ import annotations

from gevent import monkey

# Before the server's modules are imported, so that their blocking calls are gevent's.
monkey.patch_all()

from ..server.serving.serve import main as command  # noqa: E402

__all__ = ["command"]
