"""A hub whose descriptors are exhausted by clients that connect and send nothing, or half a request."""

from __future__ import annotations

import resource
import socket
from contextlib import suppress
from pathlib import Path

from ...hubs import until
from .scene import Scene

_LIMIT = 160
"""Descriptors of the hub (`ulimit -n`)."""
_CLIENTS = 400
_LINE = "new connections have to wait"
"""What the hub logs, at most once a minute."""
_SPARE = 4
"""Descriptors left when the fault begins: other programs of the machine have taken the rest (ENFILE looks the same)."""
_BEGINNINGS = (
    b"",
    b"GET /api/stream HT",
    b"GET /api/stream HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /api/agent/data HTTP/1.1\r\n",
)


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))


def descriptors_exhausted(scene: Scene) -> None:
    """Open far more connections than the hub has descriptors for, hold them for a while, and close them."""
    for _ in range(scene.rng.randrange(1, 4)):
        scene.progress()
        clients = []
        worker = scene.hub.worker_pid()
        used = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (min(used + _SPARE, _LIMIT), _LIMIT))
        try:
            for _ in range(_CLIENTS):
                clients.append(socket.socket())
                clients[-1].setblocking(False)
                clients[-1].connect_ex(("127.0.0.1", scene.hub.port))
            for client in clients:
                with suppress(OSError):
                    client.send(scene.rng.choice(_BEGINNINGS))
            until(lambda: _LINE in scene.hub.output(), "the hub to have no descriptor left")
            scene.pause(2.0)
        finally:
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (_LIMIT, _LIMIT))
            for client in clients:
                if scene.rng.random() < 0.5:  # half of them with RST
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
    scene.progress()
    if (lines := scene.hub.output().count(_LINE)) > 1:
        scene.problems.append(f"{lines} lines in the log about descriptors")
