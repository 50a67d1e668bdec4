"""LiveKit Event Hub: run it with `python flask_server.py`, or serve the WSGI application `flask_server:app`."""

from __future__ import annotations

if __name__ == "__main__":
    # Before any other import, so that all modules use gevent's cooperative versions.
    from event_hub.server.serving.patching import prepare

    prepare()

    from event_hub.server.serving.serve import main

    main()
else:
    from event_hub.server.serving.wsgi import app

    __all__ = ["app"]
