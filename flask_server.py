"""LiveKit Event Hub: `python flask_server.py` runs it; `flask_server:app` is the WSGI application."""

from __future__ import annotations

if __name__ == "__main__":
    # Before anything else is imported: what comes later then waits the gevent way.
    from gevent import monkey

    monkey.patch_all()

    from event_hub.server.serve import main

    main()
else:
    import sys
    from pathlib import Path

    from event_hub.server import preflight
    from event_hub.server.app import create_app

    try:
        app = create_app(preflight.settings(), static=Path(__file__).parent / "static")
    except preflight.Refused as refused:
        sys.stderr.write(f"{refused}\n")
        sys.exit(refused.code)
