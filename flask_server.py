"""LiveKit Event Hub: `python flask_server.py` runs it; `flask_server:app` is the WSGI application."""

from __future__ import annotations

if __name__ == "__main__":
    # Before anything else is imported: what comes later then waits the gevent way.
    from gevent import monkey

    monkey.patch_all()

    from event_hub.server.serve import main

    main()
else:
    from event_hub.server.wsgi import app

    __all__ = ["app"]
