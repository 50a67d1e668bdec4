"""`/api/rooms/<name>/transcript.<form>`: one transcript of a room, with all of its sessions in order."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request

from ....sessions import Session, captions
from ....sessions.transcripts import entries, markdown, together
from ...cooperate import cooperatively
from ...errors import RequestError
from ...hub import EventHub
from ..queries import parse
from ..session_queries import SpeakersQuery
from . import sessions

_SESSIONS = 50
"""Maximum number of sessions in a transcript, the newest. A room has several if each participant has its own."""


def transcript(hub: EventHub, room: str, form: str) -> Response:
    """The transcript of a room, in one of the `FORMS` of a session's transcript."""
    sessions.check_form(form)
    names = parse(SpeakersQuery, request.args).names()
    with sessions.reading(hub) as (known, through):
        of_room = [session for session in cooperatively(known.newest()) if session.room == room]
        if not of_room:
            raise RequestError("not_found", f"the history has no events of room {room[:256]}")
        chosen = sorted(of_room[:_SESSIONS], key=lambda session: session.first)
        if form in captions.FORMS:
            found = [captions.captions(sessions.reader(hub).spoken(session), names) for session in chosen]
            cues = found[0].cues if len(found) == 1 else captions.together(found)
            return sessions.file(captions.FORMS[form](cooperatively(cues)).encode(), form)
        wholes = [sessions.reader(hub).whole(session)[0] for session in chosen]
        document = _document(room, wholes)
        document["conversation"] = list(cooperatively(document["conversation"]))
    if form == "md":
        return sessions.file("".join(cooperatively(markdown(document, names))).encode("utf-8", "replace"), form)
    answer = {
        "room": room,
        "sessions": [session.id for session in chosen],
        **{name: document[name] for name in ("status", "started", "updated", "duration")},
        "transcript": entries(document, names),
        "forgotten": document["forgotten"],
        "left_out": len(of_room) - len(chosen),
        "cursor": sessions.cursor(hub, through),
    }
    return sessions.file(msgspec.json.encode(answer) + b"\n", form)


def _document(room: str, wholes: list[Session]) -> dict[str, Any]:
    """One document for all sessions."""
    parts = [whole.parts() for whole in wholes]
    started = min((part["started"] for part in parts if part["started"] is not None), default=None)
    updated = max((part["updated"] for part in parts if part["updated"] is not None), default=None)
    return {
        "room": room,
        "session": f"{len(parts)} sessions" if len(parts) > 1 else parts[0]["session"],
        "status": "live" if any(part["status"] == "live" for part in parts) else "ended",
        "started": started,
        "updated": updated,
        "duration": updated - started if started is not None and updated is not None else None,
        "counts": {"turns": sum(part["counts"]["turns"] for part in parts)},
        "conversation": together(parts),
        "forgotten": sum(part["forgotten"]["items"] for part in parts),
    }
