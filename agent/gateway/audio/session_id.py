"""The session under which a client's audio is reported to the hub."""

from __future__ import annotations

from ..connection import Connection

LONGEST = 128


def session_id_of(connection: Connection) -> str:
    """The query's `session_id`, so that a page's audio and replies are one conversation; otherwise the connection's own."""
    asked: str = connection.query.get("session_id", "").strip()
    return asked if asked and len(asked) <= LONGEST and asked.isprintable() else connection.id
