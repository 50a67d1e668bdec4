"""Detecting idle peers whose network has vanished: neither FIN nor RST ever arrives from them."""

from __future__ import annotations

import math
import socket
from typing import Any

_PROBES = 3
"""Unanswered keepalive probes after which a connection counts as dead."""


def detect_dead_peers(listener: Any, stall: float) -> None:
    """Make the kernel close idle connections accepted by `listener` whose peer answers nothing for `stall` seconds.

    Streams have heartbeats in flight, for which the sweep looks at the acknowledgements (`streaming.tcp_info`);
    TCP_USER_TIMEOUT would also close the connection of a slow subscriber that has no room. Accepted sockets inherit the
    options of their listener.
    """
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    interval = max(1, math.ceil(stall / (_PROBES + 1)))
    options = [
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", interval),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", interval),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", _PROBES),
    ]
    for level, name, value in options:
        if hasattr(socket, name):  # macOS and Windows lack some
            listener.setsockopt(level, getattr(socket, name), value)
