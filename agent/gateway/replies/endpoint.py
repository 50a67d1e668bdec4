"""`/ws/llm-stream`: serves one connection, which may use several sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from event_hub.websocket_protocols.replies import CLIENT, Ask, Cancel, Sync

from ..connection import Connection, Gone
from ..frames import FrameError, decode
from .conversation import Conversation, Conversations
from .reply import Reply
from .state import conversations_of

if TYPE_CHECKING:
    from ..server import Gateway

SESSIONS = 16
"""Sessions that one connection may use."""
FOLLOWED = 32
"""Replies that one connection may wait for."""


async def serve(connection: Connection, gateway: Gateway) -> None:
    """Serve until the client leaves or the gateway stops."""
    await _Client(connection, conversations_of(gateway), gateway.closing).run()


class _Client:
    def __init__(self, connection: Connection, conversations: Conversations, closing: asyncio.Event) -> None:
        self._connection, self._conversations, self._closing = connection, conversations, closing
        self._sessions: dict[str, Conversation] = {}
        self._following: dict[Reply, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            async for frame in self._connection.frames():
                try:
                    await self._take(frame)
                except FrameError as error:
                    await self._connection.error(error.code, error.sentence)
            if self._closing.is_set() and self._following:  # replies in progress are finished while the gateway drains
                await asyncio.wait(list(self._following.values()))
        finally:
            tasks = list(self._following.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for conversation in self._sessions.values():
                conversation.connections -= 1

    async def _take(self, frame: str | bytes) -> None:
        decoded = decode(frame, CLIENT, self._connection.path)
        if isinstance(decoded, Sync):
            await self._connection.send(self._conversations.state(decoded.session_id))
        elif isinstance(decoded, Cancel):
            self._cancel(decoded.request_id)
        elif isinstance(decoded, Ask):
            self._ask(decoded)

    def _ask(self, ask: Ask) -> None:
        conversation = self._use(ask.session_id or self._connection.id)
        if len(self._following) >= FOLLOWED:
            raise FrameError("too_many_pending", f"This connection waits for {FOLLOWED} replies already.")
        reply = conversation.ask(ask)
        if reply not in self._following:
            task = asyncio.create_task(self._follow(reply), name=f"{self._connection.id} {reply.request_id}")
            self._following[reply] = task
            task.add_done_callback(lambda _: self._following.pop(reply, None))

    def _use(self, id: str) -> Conversation:
        if id not in self._sessions:
            if len(self._sessions) >= SESSIONS:
                raise FrameError(
                    "too_many_sessions", f"This connection has used {SESSIONS} sessions: open another connection."
                )
            self._sessions[id] = self._conversations.get(id)
            self._sessions[id].connections += 1
        return self._sessions[id]

    async def _follow(self, reply: Reply) -> None:
        try:
            async for frame in reply.follow():
                await self._connection.send(frame)
        except Gone:
            pass

    def _cancel(self, request_id: str | None) -> None:
        """Cancel a reply that this connection waits for, by default the oldest. It may have ended in the meantime."""
        for reply in self._following:
            if request_id is None or reply.request_id == request_id:
                reply.cancel()
                return
        if request_id is not None:
            known = [conversation.find(request_id) for conversation in self._sessions.values()]
            if not any(known):
                raise FrameError("no_such_request", f"No session of this connection has a request {request_id[:64]}.")
