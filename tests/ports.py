"""Ports for servers of tests, which no other process of tests takes."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def _claim_ports() -> Iterator[int]:
    """Ports that this process has for itself, again and again: no other process of tests on this machine takes one between
    the look at it and the start of the server. They are outside the range for outgoing connections, one of which could take
    it too."""
    global _claim
    name = f"hub-test-ports-{os.getuid()}"
    _claim = os.open(Path(tempfile.gettempdir()) / name, os.O_RDWR | os.O_CREAT, 0o600)
    blocks = list(range(10_000, 32_000, _BLOCK))
    random.shuffle(blocks)
    for first in blocks:
        with suppress(OSError):
            fcntl.lockf(_claim, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first)  # until the process ends
            return itertools.cycle(range(first, first + _BLOCK))
    return itertools.cycle(range(10_000, 32_000))


_BLOCK = 100
_claim = -1
_ports = _claim_ports()


def free_port() -> int:
    """A free port for a server to be started later."""
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
