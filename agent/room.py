"""One room, now: the agent joins it without being dispatched, and talks with whoever comes, one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from livekit import rtc
from livekit.agents import utils
from livekit.agents.voice.room_io import RoomOptions
from livekit.api import AccessToken, VideoGrants

from event_hub.livekit import attach, report_ready

from .assistant import Assistant
from .checks import livekit_answers
from .failure import UNREACHABLE, Failure
from .parts import Parts
from .running import until_stopped
from .session import make_session
from .settings import LiveKit, shown

logger = logging.getLogger("agent")

JOIN = 10.0
"""Seconds that joining may take."""
AGAIN = 1.0
"""Seconds until the agent joins again: LiveKit closes a room in which there is nobody but agents."""
_SENT_AWAY = (rtc.DisconnectReason.PARTICIPANT_REMOVED, rtc.DisconnectReason.DUPLICATE_IDENTITY)


async def stay(livekit: LiveKit, name: str, instructions: str | None, parts: Parts, stop: asyncio.Event) -> None:
    """Be in the room until `stop` is set or somebody removes the agent. Raises Failure where it cannot be joined."""
    identity = utils.shortuuid("agent-")
    async with utils.http_context.open():
        first = True
        while not stop.is_set():
            room, gone = rtc.Room(), _Gone()
            room.on("disconnected", gone.notice)
            try:
                await _connect(room, livekit, name, identity)
                if first:
                    report_ready(f"The agent is in room {name} and waits for somebody to talk to.")
                    first = False
                await until_stopped(stop, gone.or_until(_talk(room, instructions, parts)))
            finally:
                await room.disconnect()
            if gone.reason in _SENT_AWAY and not stop.is_set():
                logger.warning("the agent was removed from room %s", name)
                return
            await until_stopped(stop, asyncio.sleep(AGAIN))


class _Gone:
    """Whether the room is lost, and why."""

    def __init__(self) -> None:
        self.reason: int | None = None
        self._event = asyncio.Event()

    def notice(self, reason: int) -> None:
        self.reason = reason
        self._event.set()

    async def or_until(self, work: Awaitable[None]) -> None:
        await until_stopped(self._event, work)


async def _connect(room: rtc.Room, livekit: LiveKit, name: str, identity: str) -> None:
    token = (
        AccessToken(livekit.key, livekit.secret)
        .with_identity(identity)
        .with_name("Assistant")
        .with_kind("agent")
        .with_grants(VideoGrants(room_join=True, room=name, agent=True))
        .to_jwt()
    )
    try:
        async with asyncio.timeout(JOIN):
            await room.connect(livekit.url, token)
    except (TimeoutError, rtc.ConnectError) as error:
        await asyncio.to_thread(livekit_answers, livekit)  # which says more precisely what it is, where it does not
        raise Failure(
            f"The room {name} at {shown(livekit.url)} could not be joined: see livekit-server's log.",
            "livekit",
            UNREACHABLE,
        ) from error


async def _talk(room: rtc.Room, instructions: str | None, parts: Parts) -> None:
    """A session for each caller; it closes when that one leaves."""
    while room.isconnected():
        try:
            caller = await utils.wait_for_participant(room)
        except RuntimeError:  # the room is lost
            return
        session = make_session(parts)
        closed = asyncio.Event()
        session.on("close", lambda _event, closed=closed: closed.set())
        attach(session, room=room.name, participant=caller.identity)
        try:
            await session.start(
                Assistant(instructions), room=room, room_options=RoomOptions(participant_identity=caller.identity)
            )
            await closed.wait()
        finally:
            await session.aclose()
