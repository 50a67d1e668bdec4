"""What a hub returns: events with their ids, pages of them, and the result of a POST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Received:
    """One event of a stream or of the history.

    `id` is its cursor (pass it as `last_event_id` or `after` to resume), `event` the decoded object, and `raw` the JSON
    text exactly as the hub sent it: integers of any size, fields in their original order.
    """

    id: str
    event: dict[str, Any]
    raw: str

    @property
    def type(self) -> str:
        """The type of the event."""
        return str(self.event["type"])

    @classmethod
    def gap(cls, gap: dict[str, Any]) -> Received:
        """The gap of a history page, in the form of the event that a stream sends for it."""
        event = {"type": "stream_gap", **gap}
        return cls(str(gap.get("to") or ""), event, msgspec.json.encode(event).decode())


@dataclass(frozen=True, slots=True)
class Posted:
    """The result of a POST: how many events were new, how many the hub already had (by `event_id`), how many subscribers
    the new ones were sent to (None if the key may not know), and the ids of the first and last event (None after an empty
    POST)."""

    accepted: int
    duplicates: int
    clients_notified: int | None
    first_id: str | None
    last_id: str | None


class StoredEvent(msgspec.Struct):
    """An event on a page of the history."""

    id: str
    event: msgspec.Raw

    def received(self) -> Received:
        """Decode the event."""
        raw = bytes(self.event)
        return Received(self.id, msgspec.json.decode(raw), raw.decode())


class EventsPage(msgspec.Struct):
    """A page of the history (docs/protocol.md)."""

    events: list[StoredEvent]
    more: bool
    after: str
    before: str
    cursor: str
    gap: dict[str, Any] | None = None


class SessionsPage(msgspec.Struct):
    """A page of sessions (docs/sessions.md)."""

    sessions: list[dict[str, Any]]
    more: bool
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Erased:
    """What `Hub.forget` has erased, or with `dry_run` would erase: `events` of `sessions` in the history, and `lines` in
    `files` of forwarding targets. `receivers`: webhook receivers, which may have got the events. `agent_logs`: the folder of
    the agents' logs on the hub's machine, which are not erased; None: there are none."""

    events: int
    bytes: int
    sessions: int
    lines: int
    files: int
    receivers: list[str]
    dry_run: bool
    agent_logs: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A link to watch with: its `token`, the `url` of the page, and when it expires, in epoch seconds."""

    token: str
    url: str
    expires_at: float

    def __repr__(self) -> str:
        return f"<Share until {self.expires_at}>"
