"""The session under which a client's audio is reported to the hub."""

from __future__ import annotations

from ..connection import Connection

LONGEST = 128


def asked_session_id(connection: Connection) -> str | None:
    """The query's `session_id`, so that a page's audio and replies are one conversation; None if there is none."""
    asked: str = connection.query.get("session_id", "").strip()
    return asked if asked and len(asked) <= LONGEST and asked.isprintable() else None


def session_id_of(connection: Connection) -> str:
    """The query's `session_id`, or else the connection's own."""
    return asked_session_id(connection) or connection.id
