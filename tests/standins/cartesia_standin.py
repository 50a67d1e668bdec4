"""A stand-in for Cartesia's text-to-speech: its real protocol, speaking with flite.

Protocol: https://docs.cartesia.ai/api-reference/tts/websocket (contexts, continuations, timestamps, cancellation) and
https://docs.cartesia.ai/api-reference/tts/bytes.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import WSMsgType, web

from .server import Standin, Trouble, cut, decoded, require
from .voice import BEFORE_CUT, encoded, spoken

VERSIONS = {"2024-11-13", "2025-04-16", "2026-03-01"}


class CartesiaStandin(Standin):
    """`spoken`: the texts that were asked for, one per context or POST. `voices`: with which voice."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: dict[str, str] = {}
        self.voices: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/tts/websocket", self._socket), web.post("/tts/bytes", self._bytes)]

    def _refusal(self, request: web.Request, trouble: Trouble) -> web.Response | None:
        if trouble.status:
            return web.json_response({"title": "stand-in", "error_code": "stand_in"}, status=trouble.status)
        if request.headers.get("X-API-Key") != self.key:
            error = {"title": "Unauthorized", "message": "Invalid API key", "error_code": "unauthorized"}
            return web.json_response(error, status=401)
        return None

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        self.note(request)
        if refusal := self._refusal(request, trouble):
            return refusal
        require(request.query.get("cartesia_version") in VERSIONS, f"version {request.query.get('cartesia_version')}")
        async with self.socket(request) as socket:
            if trouble.stall:
                await self.stalled()
            async for message in socket:
                require(message.type is WSMsgType.TEXT, "a binary frame")
                if trouble.drop:
                    cut(request)
                    break
                await self._generate(request, socket, decoded(message.data), trouble)
        return socket

    async def _generate(
        self, request: web.Request, socket: web.WebSocketResponse, message: dict[str, Any], trouble: Trouble
    ) -> None:
        context = message.get("context_id")
        require(isinstance(context, str), "no context_id")
        context = str(context)
        if message.get("cancel"):
            return
        rate = _checked(message)
        common = {"context_id": context, "done": False, "status_code": 206}
        if context not in self.spoken:
            self.voices.append(str(message["voice"]["id"]))
        text = str(message["transcript"])
        offset = len(self.spoken.get(context, "").split())
        self.spoken[context] = self.spoken.get(context, "") + text
        began = time.monotonic()
        for number, chunk in enumerate(await spoken(text, rate)):
            step = round((time.monotonic() - began) * 1000)
            await socket.send_json({"type": "chunk", "data": encoded(chunk), "step_time": step, **common})
            if trouble.cut and number == BEFORE_CUT:
                cut(request)
                return
        if message.get("add_timestamps") and text.strip():
            words = text.split()
            starts = [(offset + i) * 0.3 for i in range(len(words))]
            stamps = {"words": words, "start": starts, "end": [start + 0.3 for start in starts]}
            await socket.send_json({"type": "timestamps", "word_timestamps": stamps, **common})
        if not message.get("continue"):
            await socket.send_json({**common, "type": "done", "done": True})

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        body = decoded(await request.text())
        self.note(request, body)
        if refusal := self._refusal(request, trouble):
            return refusal
        require(request.headers.get("Cartesia-Version") in VERSIONS, "no Cartesia-Version")
        rate = _checked(body)
        if trouble.stall:
            await self.stalled()
        self.spoken[f"post {len(self.asked)}"] = str(body["transcript"])
        self.voices.append(str(body["voice"]["id"]))
        if trouble.drop:
            cut(request)
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        for number, chunk in enumerate(await spoken(str(body["transcript"]), rate)):
            await response.write(chunk)
            if trouble.cut and number == BEFORE_CUT:
                cut(request)
                return response
        await response.write_eof()
        return response


def _checked(message: dict[str, Any]) -> int:
    """The sample rate of a request for speech; raises Violation."""
    require(message.get("model_id"), "no model_id")
    voice = message.get("voice")
    require(isinstance(voice, dict) and voice.get("mode") == "id" and voice.get("id"), f"voice is {voice}")
    output = message.get("output_format")
    require(isinstance(output, dict), "no output_format")
    output = dict(output or {})
    require(output.get("container") == "raw" and output.get("encoding") == "pcm_s16le", f"output_format is {output}")
    require(isinstance(message.get("transcript"), str), "no transcript")
    return int(output["sample_rate"])
