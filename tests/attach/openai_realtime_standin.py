"""A stand-in for OpenAI's Realtime API: its real protocol over a loopback WebSocket, for one session. The test speaks for
the caller.

Protocol: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

RATE = 24_000
SECONDS_A_WORD = 0.3


class OpenAIRealtimeStandin:
    """Answers each turn with the next of `replies`; a reply is a list of at least one message."""

    def __init__(self, replies: list[list[str]]) -> None:
        self.url = ""
        self.replies = iter(replies)
        self._ids = itertools.count(1)
        self._socket: web.WebSocketResponse | None = None
        self._last: str | None = None
        self.connected = asyncio.Event()
        self.truncated: list[dict[str, Any]] = []

    async def _send(self, kind: str, **fields: Any) -> None:
        assert self._socket is not None
        await self._socket.send_json({"type": kind, "event_id": f"event_{next(self._ids)}", **fields})

    async def say(self, text: str) -> None:
        """The caller speaks, and the model answers by itself, as with server-side turn detection."""
        item = f"item_user_{next(self._ids)}"
        await self._send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)
        await self._send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=900)
        await self._added({"id": item, "type": "message", "role": "user", "content": []})
        common = {"item_id": item, "content_index": 0}
        first, _, rest = text.partition(" ")
        for delta in (first, f" {rest}"):
            await self._send("conversation.item.input_audio_transcription.delta", delta=delta, **common)
        usage = {"type": "duration", "seconds": 0.9}
        kind = "conversation.item.input_audio_transcription.completed"
        await self._send(kind, transcript=text, usage=usage, **common)
        await self._respond({})

    async def interrupt(self) -> None:
        """The caller starts to speak during the answer."""
        item = f"item_user_{next(self._ids)}"
        await self._send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)

    async def _added(self, item: dict[str, Any]) -> None:
        await self._send("conversation.item.added", previous_item_id=self._last, item=item)
        self._last = item["id"]

    async def _respond(self, metadata: dict[str, Any]) -> None:
        response = f"resp_{next(self._ids)}"
        described = {"id": response, "object": "realtime.response", "status": "in_progress", "metadata": metadata}
        await self._send("response.created", response=described)
        for index, text in enumerate(next(self.replies)):
            item = {"id": f"item_agent_{next(self._ids)}", "type": "message", "role": "assistant", "content": []}
            place = {"response_id": response, "output_index": index}
            await self._send("response.output_item.added", item=item, **place)
            await self._added(item)
            part = {**place, "item_id": item["id"], "content_index": 0}
            await self._send("response.content_part.added", part={"type": "audio", "transcript": ""}, **part)
            audio = base64.b64encode(bytes(2 * round(RATE * SECONDS_A_WORD))).decode()
            for word in text.split(" "):
                await self._send("response.output_audio_transcript.delta", delta=f"{word} ", **part)
                await self._send("response.output_audio.delta", delta=audio, **part)
            await self._send("response.output_audio.done", **part)
            await self._send("response.output_item.done", item=item, **place)
        usage = {"total_tokens": 30, "input_tokens": 10, "output_tokens": 20}
        await self._send("response.done", response={**described, "status": "completed", "usage": usage})

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = web.WebSocketResponse()
        await self._socket.prepare(request)
        await self._send("session.created", session={"id": "sess_1", "type": "realtime"})
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            event = message.json()
            kind = event["type"]
            if kind == "session.update":
                await self._send("session.updated", session=event["session"])
                self.connected.set()
            elif kind == "conversation.item.create":
                await self._added(event["item"])
            elif kind == "conversation.item.truncate":
                self.truncated.append(event)
            elif kind == "response.create":
                await self._respond((event.get("response") or {}).get("metadata") or {})
        return self._socket

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[OpenAIRealtimeStandin]:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._serve)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()
