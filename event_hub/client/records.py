"""What comes from a hub: an event with its id, and what became of a POST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Received:
    """One event of a stream or of the history.

    `id` is its place (send it back as `last_event_id` or `after`), `event` the decoded object, `raw` the same as the
    JSON text that the hub sent: integers of any size and the order of the fields as they were.
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
        """A gap that a page of the history tells of, as the event that a stream has for it."""
        event = {"type": "stream_gap", **gap}
        return cls(str(gap.get("to") or ""), event, msgspec.json.encode(event).decode())


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a POST: how many events are new, how many were there already (by their `event_id`), to how many
    subscribers the new ones went, and the ids of the first and the last (None after an empty POST)."""

    accepted: int
    duplicates: int
    clients_notified: int
    first_id: str | None
    last_id: str | None


class Stored(msgspec.Struct):
    """An event on a page of the history."""

    id: str
    event: msgspec.Raw

    def received(self) -> Received:
        """The same, decoded."""
        raw = bytes(self.event)
        return Received(self.id, msgspec.json.decode(raw), raw.decode())


class Page(msgspec.Struct):
    """A page of the history, as docs/protocol.md has it."""

    events: list[Stored]
    more: bool
    after: str
    before: str
    cursor: str
    gap: dict[str, Any] | None = None


class SessionsPage(msgspec.Struct):
    """A page of sessions, as docs/sessions.md has them."""

    sessions: list[dict[str, Any]]
    more: bool
