"""Serves one connection of the text chat: takes messages, answers one after another, sends what the agent writes."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from event_hub.livekit import StreamingTextOutput, attach
from event_hub.livekit.errors import described
from event_hub.websocket_protocols.chat import CLIENT, Cancel, Complete, Delta, Message, Ready, Result

from ..connection import Connection
from ..frames import FrameError, decode
from .agent import STATE, ChatAssistant, forget, make_session
from .results import result_events

if TYPE_CHECKING:
    from ..server import Gateway

logger = logging.getLogger("agent.gateway")

PENDING = 8
"""Messages that wait while one is answered."""
LONGEST = 32_000
"""Characters of a message."""


async def serve(connection: Connection, gateway: Gateway) -> None:
    """Serve until the client leaves or the gateway stops. Raises Failure if the LLM cannot be made."""
    model = await gateway.parts.llm()
    session, output = make_session(model), StreamingTextOutput()
    agent = gateway.state.get(STATE, ChatAssistant)()
    session.output.transcription = output
    attachment = None
    if gateway.publisher is not None:
        attachment = attach(
            session,
            publisher=gateway.publisher,
            room=gateway.settings.room,
            participant="user",
            session_id=connection.id,
        )
    try:
        await session.start(agent, record=False)
        await _Chat(connection, session, output, gateway.closing).run()
    finally:
        output.close()
        await session.aclose()
        if attachment is not None:
            attachment.detach()


class _Chat:
    """The conversation over one connection."""

    def __init__(
        self,
        connection: Connection,
        session: Any,
        output: StreamingTextOutput,
        closing: asyncio.Event,
    ) -> None:
        self._connection, self._session, self._output, self._closing = connection, session, output, closing
        self._pending: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting = 0
        """Messages that are not being answered yet."""
        self._answering = self._cancelled = False
        """Whether a reply is in progress, and whether the next one is to be interrupted when it begins."""

    async def run(self) -> None:
        """Read and answer at the same time, so that `cancel` and a client that leaves are noticed at once."""
        await self._connection.send(Ready())
        reading = asyncio.create_task(self._read(), name=f"{self._connection.id} reading")
        answering = asyncio.create_task(self._answer_all(), name=f"{self._connection.id} answering")
        gone = asyncio.create_task(self._connection.left.wait(), name=f"{self._connection.id} left")
        tasks: set[asyncio.Task[Any]] = {reading, answering, gone}
        try:
            while not self._over(reading, answering, gone):
                await asyncio.wait({task for task in tasks if not task.done()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for error in found:
            if isinstance(error, Exception):
                raise error

    def _over(self, reading: asyncio.Task[None], answering: asyncio.Task[None], gone: asyncio.Task[Any]) -> bool:
        """Whether there is nothing more to do: a client that left gets no answers. When the gateway drains, reading ends
        too, and `left` is set; then what was accepted is still answered."""
        if answering.done() or (reading.done() and reading.exception() is not None):
            return True
        return gone.done() and not self._closing.is_set()

    async def _read(self) -> None:
        async for frame in self._connection.frames():
            try:
                decoded = decode(frame, CLIENT, self._connection.path)
                if isinstance(decoded, Cancel):
                    self._cancel()
                elif isinstance(decoded, Message):
                    self._accept(decoded.message)
            except FrameError as error:
                await self._connection.error(error.code, error.sentence)
        self._pending.put_nowait(None)

    def _accept(self, message: str) -> None:
        """Let a message wait for its turn. Raises FrameError."""
        if not message.strip():
            raise FrameError("empty_message", "The message is empty: write something.")
        if len(message) > LONGEST:
            raise FrameError("message_too_long", f"The message has more than {LONGEST} characters: shorten it.")
        if self._waiting >= PENDING:
            raise FrameError(
                "too_many_pending",
                f"{PENDING} messages wait for their answers already, so this one was refused: send it again later.",
            )
        self._waiting += 1
        self._pending.put_nowait(message)

    def _cancel(self) -> None:
        """Interrupt the reply in progress, or the one that is about to begin. Without either it does nothing: the reply may
        have ended in the meantime."""
        if self._answering:
            self._session.interrupt(force=True)
        else:
            self._cancelled = self._waiting > 0

    async def _answer_all(self) -> None:
        while (message := await self._pending.get()) is not None:
            self._waiting -= 1
            self._answering = True
            try:
                await self._answer(message)
            finally:
                self._answering = False
            await forget(self._session.current_agent)  # a tool may have handed over

    async def _answer(self, message: str) -> None:
        """One turn: its text as it is written, then an error if it failed, then what happened."""
        result = self._session.run(user_input=message)
        if self._cancelled:
            self._cancelled = False
            self._session.interrupt(force=True)
        sent = 0
        async for event in self._output.turn(result):
            if event.type == "text_delta":
                # From `accumulated`, so that a client that reads slowly gets longer deltas, but misses no text.
                if len(event.accumulated) > sent:
                    await self._connection.send(Delta(delta=event.accumulated[sent:], accumulated=event.accumulated))
                    sent = len(event.accumulated)
            else:
                if len(event.text) > sent:
                    await self._connection.send(Delta(delta=event.text[sent:], accumulated=event.text))
                await self._connection.send(Complete(text=event.text, interrupted=event.interrupted or None))
                sent = 0
        try:
            await result
        except Exception as error:  # whatever the LLM's plugin raises
            sentence = str(described(SimpleNamespace(type="llm_error", error=error), self._session.llm)["message"])
            logger.warning("%s: a reply failed: %s", self._connection.id, sentence)
            await self._connection.error(
                "reply_failed", f"{sentence[:1].upper()}{sentence[1:]}: send the message again."
            )
        await self._connection.send(Result(events=result_events(result.events)))
