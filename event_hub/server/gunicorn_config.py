"""How gunicorn serves the hub: the one configuration of `python flask_server.py`, the Procfile and `make run`.

gunicorn -c python:event_hub.server.gunicorn_config flask_server:app
"""

from __future__ import annotations

import math
import sys
from typing import Any

from event_hub.server import preflight
from event_hub.server.limits import raise_descriptor_limit

try:
    _settings = preflight.settings()
    raise_descriptor_limit()
except preflight.Refused as refused:
    print(refused, file=sys.stderr)
    sys.exit(refused.code)

bind = [
    f"[{address}]:{_settings.port}" if ":" in address else f"{address}:{_settings.port}"
    for address in preflight.addresses(_settings)
]
worker_class = "event_hub.server.worker.HubWorker"
workers = 1
worker_connections = 1  # unused: the worker asks the hub
keepalive = 75  # seconds: publishers keep their connection; proxies expect 60
timeout = 60  # a worker that does not answer its master for so long is restarted
graceful_timeout = math.ceil(_settings.drain) + 2
backlog = 4096
limit_request_line = 8190
limit_request_fields = 64
loglevel = "warning"
control_socket_disable = True
preload_app = False  # the history belongs to the worker


def on_starting(server: Any) -> None:
    """Say what is wrong before anything is started."""
    try:
        preflight.check(_settings)
    except preflight.Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(refused.code)


def when_ready(server: Any) -> None:
    """Where to go from here."""
    preflight.say(preflight.banner(_settings))
