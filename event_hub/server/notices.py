"""The hub's own frames: opened, heartbeat, gap, closing. Pure: time comes in."""

from __future__ import annotations

from typing import Any

import msgspec

from .. import sse
from ..sse import Cursor

RETRY_MS = 1_000
"""How long a subscriber waits before it comes back, at the least; each gets up to twice that, so that they spread."""


def _frame(at: Cursor, type: str, now: float, fields: dict[str, Any]) -> bytes:
    """`at`: where a subscriber resumes that has seen nothing later than this."""
    return sse.frame(at.epoch, at.offset, msgspec.json.encode({"type": type, "timestamp": now, **fields}))


def opened(cursor: Cursor, now: float, *, resumed: bool, replayed: int | None, spread: float) -> bytes:
    """The first bytes of a stream. `spread`: 0 to 1, this subscriber's own share of the reconnection delay."""
    retry = sse.retry(int(RETRY_MS * (1 + spread)))
    fields = {"cursor": str(cursor), "resumed": resumed, "replayed": replayed}
    return retry + _frame(cursor, "stream_opened", now, fields)


def heartbeat(cursor: Cursor, now: float) -> bytes:
    """A sign of life; its id lets who has reached the head resume from there."""
    return _frame(cursor, "heartbeat", now, {"cursor": str(cursor)})


def gap(missed: int | None, from_: str | None, to: Cursor, reason: str, now: float) -> bytes:
    """`missed` events between `from_` (the last cursor before) and `to` (the last that is missing) are not coming."""
    return _frame(to, "stream_gap", now, {"missed": missed, "from": from_, "to": str(to), "reason": reason})


def closing(cursor: Cursor, now: float, *, retry_ms: int) -> bytes:
    """The last bytes of a stream. A script in a page cannot see `retry:`, so the event says it too."""
    fields = {"cursor": str(cursor), "reason": "shutdown", "retry": retry_ms}
    return sse.retry(retry_ms) + _frame(cursor, "stream_closing", now, fields)
