"""gunicorn's configuration: the same for `python flask_server.py`, the Procfile and `make run`.

gunicorn -c python:event_hub.server.serving.gunicorn_config flask_server:app
"""

from __future__ import annotations

import gc
import math
import os
import signal
import sys
from typing import Any

from event_hub.server.descriptors import raise_descriptor_limit
from event_hub.server.instance import INSTANCE
from event_hub.server.serving import balance, ending, patching, preflight  # noqa: F401 - balance: shared memory

gc.disable()  # until the hub serves: see `patching`
try:
    _settings = preflight.settings()
    raise_descriptor_limit()
except preflight.StartRefused as refused:
    print(refused, file=sys.stderr)
    sys.exit(refused.code)

bind = [
    f"[{address}]:{_settings.port}" if ":" in address else f"{address}:{_settings.port}"
    for address in preflight.addresses(_settings)
]
worker_class = "event_hub.server.serving.worker.HubWorker"
workers = _settings.workers
worker_connections = 1  # unused: the hub has its own limit
keepalive = 75  # seconds: publishers reuse their connection; proxies expect 60
timeout = 60  # seconds without a heartbeat to the master after which a worker is restarted
graceful_timeout = math.ceil(_settings.drain) + 2
backlog = 4096
limit_request_line = 8190
limit_request_fields = 64
# A client must not choose its own path or scheme: such headers count only from the configured proxies.
forwarded_allow_ips = ",".join(_settings.proxies)
forwarder_headers = "SCRIPT_NAME" if _settings.proxies else ""
loglevel = "warning"
control_socket_disable = True
logger_class = "event_hub.server.serving.redacting_logger.RedactingLogger"
preload_app = False  # the worker opens the history


def on_starting(server: Any) -> None:
    """Check everything before a worker starts."""
    global _settings
    if server.cfg.is_ssl:
        print(
            "The hub does not start: it does not serve TLS itself. Terminate TLS at a proxy (docs/operations.md).",
            file=sys.stderr,
        )
        sys.exit(2)
    # gunicorn would restart the worker, and so cut every stream; ours reads its keys and prices again.
    server.handle_hup = lambda: server.kill_workers(signal.SIGHUP)
    stop = server.stop

    def stop_all(graceful: bool = True) -> None:
        ending.announce()
        stop(graceful)

    server.stop = stop_all
    os.environ[INSTANCE] = os.urandom(8).hex()
    try:
        if server.cfg.workers != _settings.workers:  # the command line decides, for gunicorn and for the hub
            os.environ["HUB_WORKERS"] = str(server.cfg.workers)
            _settings = preflight.settings()
        server.own_valkey = preflight.start_own_valkey(_settings)
        preflight.check(_settings)
    except preflight.StartRefused as refused:
        print(refused, file=sys.stderr)
        if getattr(server, "own_valkey", None) is not None:
            server.own_valkey.stop()
        sys.exit(refused.code)


def on_exit(server: Any) -> None:
    """After the last worker."""
    if getattr(server, "own_valkey", None) is not None:
        server.own_valkey.stop()


def when_ready(server: Any) -> None:
    """Check the addresses, which only now are known, and print them."""
    try:
        preflight.check_bound(_settings, [listener.getsockname() for listener in server.LISTENERS])
    except preflight.StartRefused as refused:
        print(refused, file=sys.stderr)
        server.halt(exit_status=refused.code)
    preflight.say(preflight.banner(_settings))
    patching.serving()


def post_fork(server: Any, worker: Any) -> None:
    """Import the application without garbage collection, as the master did."""
    gc.disable()
