"""Whether a peer still acknowledges what it is sent: the kernel knows, long before it gives up."""

from __future__ import annotations

import socket
import struct
from typing import Any

_TCP_INFO = getattr(socket, "TCP_INFO", None)
_UNACKED, _LAST_ACK = 24, 56
"""Offsets in Linux' `struct tcp_info`: segments in flight, and milliseconds since the last acknowledgement.
https://github.com/torvalds/linux/blob/v6.1/include/uapi/linux/tcp.h#L214"""


def has_vanished(connection: Any, seconds: float) -> bool:
    """Whether data is in flight, and nothing was acknowledged for `seconds`: the peer's network is gone.

    A peer that is only slow acknowledges, even while it has no room. Always False where the system cannot tell.
    """
    if _TCP_INFO is None:
        return False
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAST_ACK + 4)
    except OSError:
        return False
    if len(info) < _LAST_ACK + 4:
        return False
    (unacked,) = struct.unpack_from("=I", info, _UNACKED)
    (last_ack,) = struct.unpack_from("=I", info, _LAST_ACK)
    return bool(unacked and last_ack > seconds * 1000)
