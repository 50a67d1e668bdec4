"""The hub's own frames: stream_opened, heartbeat, stream_gap, stream_closing. Pure: time is an argument."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from ... import sse
from ...sse import Cursor
from ..gap import Gap

_encode = msgspec.json.Encoder().encode
RETRY_MS = 1_000
"""Minimum delay before a subscriber reconnects; each is given up to twice that, to spread the reconnections."""


def _frame(at: Cursor, type: str, now: float, fields: dict[str, Any]) -> bytes:
    """`at`: where a subscriber that has seen nothing later resumes."""
    return sse.frame(at.epoch, at.offset, _encode({"type": type, "timestamp": now, **fields}))


def opened(cursor: Cursor, now: float, *, resumed: bool, replayed: int | None, spread: float) -> bytes:
    """The first bytes of a stream. `spread`: this subscriber's share of the reconnection delay, 0 to 1."""
    before, after = _around_timestamp(cursor, resumed, replayed)
    return b"%b%b%b%b" % (sse.retry(int(RETRY_MS * (1 + spread))), before, _encode(now), after)


@lru_cache(maxsize=64)
def _around_timestamp(cursor: Cursor, resumed: bool, replayed: int | None) -> tuple[bytes, bytes]:
    """`stream_opened` before and after its timestamp: the same for all who come back with one cursor."""
    frame = _frame(cursor, "stream_opened", 0.0, {"cursor": str(cursor), "resumed": resumed, "replayed": replayed})
    before, _, after = frame.partition(b'"timestamp":0.0')
    return before + b'"timestamp":', after


def heartbeat(cursor: Cursor, now: float, *, degraded: bool = False) -> bytes:
    """A sign of life. A subscriber that has reached the head can resume from its id. `degraded`: the history cannot be
    written."""
    fields: dict[str, Any] = {"cursor": str(cursor)}
    if degraded:
        fields["degraded"] = True
    return _frame(cursor, "heartbeat", now, fields)


def gap(gap: Gap, now: float) -> bytes:
    """Events are missing. A subscriber that has seen this frame resumes after the gap."""
    return _frame(gap.to, "stream_gap", now, gap.fields())


def closing(cursor: Cursor, now: float, *, retry_ms: int, reason: str = "shutdown") -> bytes:
    """The last bytes of a stream. Scripts in a page cannot read `retry:`, so the event repeats it."""
    fields = {"cursor": str(cursor), "reason": reason, "retry": retry_ms}
    return sse.retry(retry_ms) + _frame(cursor, "stream_closing", now, fields)
