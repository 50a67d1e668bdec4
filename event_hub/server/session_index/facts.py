"""What one event adds to the index beside its session's summary: words to be found, an error, a tool call. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ...sessions import Session
from ...sessions.fields import Event, name, seconds, stamp, text

MESSAGE = 500
"""Characters of an error's message that are kept."""
_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+", re.IGNORECASE)
"""What differs between two errors of a kind: numbers, addresses, ids."""


class Words(NamedTuple):
    """What was said in an utterance; or a note, whose utterance is its offset with a minus."""

    offset: int
    utterance: int
    turn: int | None
    at: float | None
    role: str
    speaker: str
    text: str


class Problem(NamedTuple):
    """An error."""

    offset: int
    turn: int | None
    at: float | None
    source: str
    message: str
    kind: str
    recoverable: bool | None


class Call(NamedTuple):
    """A tool call that has finished."""

    offset: int
    turn: int | None
    at: float | None
    name: str
    is_error: bool
    duration: float | None
    message: str | None


Fact = Words | Problem | Call


def fact(event: Event, offset: int, session: Session) -> Fact | None:
    """What `event` adds; `session` has just taken it."""
    handler = _HANDLERS.get(event["type"])
    return handler(event, offset, session) if handler is not None else None


def _words(event: Event, offset: int, session: Session) -> Words | None:
    said, utterance = text(event, "text"), session.newest_utterance
    if event.get("final") is False or not said.strip() or utterance is None:
        return None
    role = "agent" if event.get("role") == "agent" else "user"
    speaker = name(event, "participant") or ""
    return Words(offset, utterance, session.turns.touched or None, stamp(event), role, speaker, said)


def _note(event: Event, offset: int, _session: Session) -> Words | None:
    noted = " ".join(filter(None, (text(event, "text"), text(event, "tag"))))
    if not noted.strip():
        return None
    turn = event.get("turn")
    turn = turn if isinstance(turn, int) else None
    return Words(offset, -offset, turn, stamp(event), "note", text(event, "author"), noted)


def _problem(event: Event, offset: int, session: Session) -> Problem:
    message = text(event, "message")[:MESSAGE]
    recoverable = event.get("recoverable")
    return Problem(
        offset,
        session.turns.touched or None,
        stamp(event),
        name(event, "source") or "",
        message,
        _VARIABLE.sub("…", message),
        recoverable if isinstance(recoverable, bool) else None,
    )


def _call(event: Event, offset: int, session: Session) -> Call | None:
    called = name(event, "name")
    if event.get("correction") is True or called is None:
        return None
    failed = event.get("is_error") is True
    output: Any = event.get("output")
    message = output[:MESSAGE] if failed and isinstance(output, str) else None
    return Call(
        offset, session.turns.touched or None, stamp(event), called, failed, seconds(event.get("duration")), message
    )


_HANDLERS = {
    "transcript": _words,
    "annotation": _note,
    "agent_error": _problem,
    "tool_call_finished": _call,
}
