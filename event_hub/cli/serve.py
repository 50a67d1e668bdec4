"""`event-hub serve`: start the hub, like `python flask_server.py`."""

from __future__ import annotations

from ..server.serving.patching import prepare

# Before the server's modules are imported, so that their blocking calls are gevent's.
prepare()

from ..server.serving.serve import main as command  # noqa: E402

__all__ = ["command"]
