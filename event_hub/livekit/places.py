"""Where a session takes place: what its job and its room know of themselves, as early as they know it."""

from __future__ import annotations

import logging
from typing import Any

from livekit.agents import AgentSession, JobContext
from livekit.agents.voice.room_io import RoomIO

logger = logging.getLogger("event_hub.livekit")


def identity(job: JobContext | None, room: Any) -> str | None:
    """The agent's own: the job's token has it before the room is joined."""
    if job is not None:
        try:
            if identity := job.token_claims().identity:
                return identity
        except Exception as error:  # a job without a token of LiveKit's, such as a simulated one
            logger.debug("no identity in the job's token: %s", error)
    return room.local_participant.identity if room is not None and room.isconnected() else None


def room_io_of(session: AgentSession[Any]) -> RoomIO | None:
    try:
        return session.room_io
    except RuntimeError:  # a session without a room
        return None


def mode(session: AgentSession[Any]) -> str:
    """What the session works with: a room, audio of its own, or text alone."""
    if room_io_of(session):
        return "room"
    return "audio" if session.output.audio or session.input.audio else "text"
