"""One room, joined directly: the agent is not dispatched, and talks with one caller after another."""

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
from .checks import check_livekit
from .failure import UNREACHABLE, Failure
from .pipeline import Pipeline
from .running import until_stopped
from .session import make_session
from .settings import LiveKit, shown

logger = logging.getLogger("agent")

JOIN = 10.0
"""Seconds to join the room."""
AGAIN = 1.0
"""Seconds until the agent joins again: LiveKit closes a room that has only agents in it."""
_REMOVED = (rtc.DisconnectReason.PARTICIPANT_REMOVED, rtc.DisconnectReason.DUPLICATE_IDENTITY)


async def stay(livekit: LiveKit, name: str, instructions: str | None, pipeline: Pipeline, stop: asyncio.Event) -> None:
    """Stay in the room until `stop` is set or the agent is removed. Raises Failure if it cannot join."""
    identity = utils.shortuuid("agent-")
    async with utils.http_context.open():
        first = True
        while not stop.is_set():
            room, disconnection = rtc.Room(), _Disconnection()
            room.on("disconnected", disconnection.notice)
            try:
                await _connect(room, livekit, name, identity)
                if first:
                    report_ready(f"The agent is in room {name} and waits for a caller.")
                    first = False
                await until_stopped(stop, disconnection.or_until(_talk(room, instructions, pipeline)))
            finally:
                await room.disconnect()
            if disconnection.reason in _REMOVED and not stop.is_set():
                logger.warning("the agent was removed from room %s", name)
                return
            await until_stopped(stop, asyncio.sleep(AGAIN))


class _Disconnection:
    """Whether the connection to the room is lost, and why."""

    def __init__(self) -> None:
        self.reason: int | None = None
        self._event = asyncio.Event()

    def notice(self, reason: int) -> None:
        self.reason = reason
        self._event.set()

    async def or_until(self, work: Awaitable[None]) -> None:
        """Await `work`, cancelled once the connection is lost."""
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
        await asyncio.to_thread(check_livekit, livekit)  # raises a more precise Failure if it can
        raise Failure(
            f"Cannot join the room {name} at {shown(livekit.url)}: see livekit-server's log.",
            "livekit",
            UNREACHABLE,
        ) from error


async def _talk(room: rtc.Room, instructions: str | None, pipeline: Pipeline) -> None:
    """One session per caller; it closes when the caller leaves."""
    while room.isconnected():
        try:
            caller = await utils.wait_for_participant(room)
        except RuntimeError:  # the connection is lost
            return
        session = make_session(pipeline)
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
