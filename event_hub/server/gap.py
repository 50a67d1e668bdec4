"""A gap: events that a reader cannot get any more. Pure.

The one value behind `stream_gap` on the stream, `gap` in `/api/events`, the gap line of an export and the gap that a
forwarding target is sent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..sse import Cursor


class Gap(NamedTuple):
    """`missed` events after `after` up to and including `to` are missing, for `reason`.

    missed: None if the number cannot be known. after: None if the reader's last event is unknown.
    """

    missed: int | None
    after: Cursor | None
    to: Cursor
    reason: str

    def fields(self) -> dict[str, Any]:
        """The fields of a `stream_gap` event."""
        return {
            "missed": self.missed,
            "from": None if self.after is None else str(self.after),
            "to": str(self.to),
            "reason": self.reason,
        }

    def joined(self, later: Gap) -> Gap:
        """This gap and `later`, which begins where this one ends, as one."""
        known = self.missed is not None and later.missed is not None
        return Gap((self.missed or 0) + (later.missed or 0) if known else None, self.after, later.to, self.reason)
