"""What the LiveKit job, its room and the current speech know about a session."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import Any

from livekit.agents import AgentSession, JobContext, JobExecutorType
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.room_io import RoomIO

from ..client import Publisher
from .job_publisher import ends_with
from .recording_upload import is_primary

try:
    # Private, but it is exact where `session.current_speech` is not: before a reply's turn comes.
    from livekit.agents.voice.agent_activity import _SpeechHandleContextVar as _speech_handle
except ImportError:
    _speech_handle = ContextVar("no_speech_handle")

logger = logging.getLogger("event_hub.livekit")

_FLUSH = 4.0
"""Seconds that the end of a job waits for the hub: LiveKit kills a job's process ten seconds after it was asked to end."""
_REPORTED = "event_hub_reported"


def identity(job: JobContext | None, room: Any) -> str | None:
    """The agent's identity. The job's token has it before the agent joins the room."""
    if job is not None:
        try:
            if identity := job.token_claims().identity:
                return identity
        except Exception as error:  # a job without a LiveKit token, such as a simulated one
            logger.debug("no identity in the job's token: %s", error)
    return room.local_participant.identity if room is not None and room.isconnected() else None


def room_io_of(session: AgentSession[Any]) -> RoomIO | None:
    try:
        return session.room_io
    except RuntimeError:  # a session without a room
        return None


def about_job(job: JobContext, session: AgentSession[Any]) -> dict[str, Any]:
    """What joins a session with what LiveKit's agent uploads of its job."""
    room = job.job.room
    return {
        "job": job.job.id,
        "primary": is_primary(job, session),
        "room_sid": room.sid or None,
        "agent_name": job.job.agent_name or None,
    }


def mode(session: AgentSession[Any]) -> str:
    """How the session talks: in a room, over other audio, or by text only."""
    if room_io_of(session):
        return "room"
    return "audio" if session.output.audio or session.input.audio else "text"


def own_speech() -> str | None:
    """The id of the SpeechHandle that the running task belongs to."""
    handle: SpeechHandle | None = _speech_handle.get(None)
    return None if handle is None else handle.id


def current_speech(session: AgentSession[Any] | None) -> SpeechHandle | None:
    """The SpeechHandle that is being said, or None."""
    handle: SpeechHandle | None = _speech_handle.get(None)
    return session.current_speech if handle is None and session is not None else handle


def deliver_before_the_end(job: JobContext, publisher: Publisher, *, shared: bool) -> None:
    """When the job ends, wait for the publisher's events to reach the hub, and log how many did not.

    `shared`: the process has no other use for the publisher, so what is left is abandoned now: at the end of the process,
    the log no longer reaches the worker.
    """
    reported: set[Publisher] = vars(job).setdefault(_REPORTED, set())
    if publisher in reported:
        return
    reported.add(publisher)

    async def deliver() -> None:
        await asyncio.to_thread(publisher.flush, _FLUSH)
        process_ends = publisher.stats.queued and shared and job.proc.executor_type is JobExecutorType.PROCESS
        if process_ends or ends_with(job, publisher):
            await asyncio.to_thread(publisher.close, 0.0)
        stats = publisher.stats
        why = f" {stats.last_error}" if stats.last_error else ""
        if stats.dropped:
            logger.warning(
                "%d events did not reach the hub at %s and were given up.%s", stats.dropped, publisher.url, why
            )
        if stats.queued:
            logger.warning("%d events have not reached the hub at %s yet.%s", stats.queued, publisher.url, why)

    job.add_shutdown_callback(deliver)
