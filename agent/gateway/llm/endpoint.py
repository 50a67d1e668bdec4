"""The endpoint: reads one client's requests, and answers several of them at once."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from event_hub.websocket_protocols.llm import CLIENT, CancelRequest, ChatRequest

from ..connection import Connection
from ..frames import FrameError, decode
from .answer import Answer
from .choose import BUILT_IN, backend_of
from .reports import Reports
from .server import STATE, LLMServer

if TYPE_CHECKING:
    from ..server import Gateway

AT_ONCE = 8
"""Requests of a connection that are answered at the same time."""
OPEN = 32
"""Requests of a connection that are answered or wait; further requests are refused."""


async def serve(connection: Connection, gateway: Gateway) -> None:
    """Answer the requests of one client until it leaves."""
    model = gateway.state.get(STATE) or await _model(gateway)
    reports = Reports(lambda: gateway.report(session=connection.id, participant="user", mode="text"))
    client = _Client(connection, model, reports, gateway.closing)
    try:
        await client.run()
    finally:
        reports.ended("the server stops" if gateway.closing.is_set() else "the client has left")


async def _model(gateway: Gateway) -> LLMServer:
    """The gateway's model, made for the first client. Raises Failure."""
    choice = gateway.parts.providers.llm
    if choice is None or choice.plugin in BUILT_IN:
        made = LLMServer(backend_of(choice, os.environ))
    else:
        from .livekit_backend import LiveKitBackend

        made = LLMServer(LiveKitBackend(await gateway.parts.llm()))
    model: LLMServer = gateway.state.setdefault(STATE, made)  # another client may have been first
    if model is made:
        gateway.on_close.append(made.aclose)
    return model


class _Client:
    """One connection's requests. Those with an id may overlap; those without are answered in order."""

    def __init__(self, connection: Connection, model: LLMServer, reports: Reports, closing: asyncio.Event) -> None:
        self._connection, self._model, self._reports, self._closing = connection, model, reports, closing
        self._named: dict[str, Answer] = {}
        self._unnamed: deque[Answer] = deque()
        self._turn = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            async for text in self._connection.frames():
                await self._take(text)
            if self._tasks and self._closing.is_set():  # the server drains
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, text: str | bytes) -> None:
        try:
            frame = decode(text, CLIENT, self._connection.path)
        except FrameError as error:
            await self._refuse(error.code, error.sentence, _request_id(text))
            return
        if isinstance(frame, CancelRequest):
            self._cancel(frame.request_id)
        elif isinstance(frame, ChatRequest):
            await self._start(frame)

    def _cancel(self, request_id: str | None) -> None:
        """An unknown id is that of an answer which has just ended."""
        if request_id is not None:
            answer = self._named.get(request_id)
        else:
            answer = self._unnamed[0] if self._unnamed else None
        if answer is not None:
            answer.cancel()

    async def _start(self, request: ChatRequest) -> None:
        request_id = request.request_id
        if len(self._tasks) >= OPEN:
            sentence = f"{OPEN} requests of this connection are open: wait for one of them to end."
            await self._refuse("too_many_requests", sentence, request_id, retryable=True)
            return
        if request_id in self._named:
            sentence = "A request with this request_id is being answered: use another id."
            await self._refuse("duplicate_request_id", sentence, request_id)
            return
        answer = Answer(self._connection, self._model, request, self._reports)
        if request_id is None:
            self._unnamed.append(answer)
        else:
            self._named[request_id] = answer
        task = asyncio.create_task(self._run(answer, request_id), name=f"{self._connection.id} answer")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._ended(task, answer, request_id))

    def _ended(self, task: asyncio.Task[None], answer: Answer, request_id: str | None) -> None:
        self._tasks.discard(task)
        if request_id is None:
            self._unnamed.remove(answer)
        else:
            del self._named[request_id]

    async def _run(self, answer: Answer, request_id: str | None) -> None:
        await answer.run(self._place() if request_id is not None else self._place_in_line())

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        async with self._slots:
            yield

    @asynccontextmanager
    async def _place_in_line(self) -> AsyncIterator[None]:
        async with self._turn, self._slots:
            yield

    async def _refuse(self, code: str, sentence: str, request_id: str | None, *, retryable: bool = False) -> None:
        await self._connection.error(code, sentence, request_id=request_id, retryable=retryable)


def _request_id(text: str | bytes) -> str | None:
    """The id of a request that is refused, if it can be read."""
    try:
        fields = json.loads(text)
        found = fields.get("request_id")
    except (ValueError, RecursionError, AttributeError):
        return None
    return found if isinstance(found, str) else None
