"""A stand-in for Murf's text-to-speech: its real protocol, speaking with flite.

Protocol: https://murf.ai/api/docs/text-to-speech/web-sockets (`stream-input`: text in pieces, one `context_id` per reply) and
https://murf.ai/api/docs/text-to-speech/streaming (`POST /v1/speech/stream`). The status for a wrong key, 403, is the
stand-in's assumption.
"""

from __future__ import annotations

from typing import Any

from aiohttp import WSMsgType, web

from .server import Standin, Trouble, cut, decoded, require
from .voice import BEFORE_CUT, encoded, spoken

RATES = {"8000", "16000", "24000", "44100", "48000"}
VOICE_FIELDS = {"voice_id", "style", "rate", "pitch", "variation", "multi_native_locale", "pronunciation_dictionary"}


class MurfStandin(Standin):
    """`spoken`: the texts that were asked for, one per `context_id` or POST. `voices`: with which voice."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken: dict[str, str] = {}
        self.voices: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/speech/stream-input", self._socket), web.post("/v1/speech/stream", self._post)]

    def _refusal(self, request: web.Request, trouble: Trouble) -> web.Response | None:
        if trouble.status:
            return web.json_response({"errorMessage": "stand-in"}, status=trouble.status)
        if request.headers.get("api-key") != self.key:
            return web.json_response({"errorCode": 403, "errorMessage": "Invalid api-key header"}, status=403)
        return None

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        self.note(request)
        if refusal := self._refusal(request, trouble):
            return refusal
        query = request.query
        require(query.get("sample_rate") in RATES, f"sample_rate is {query.get('sample_rate')}")
        require(query.get("format", "").lower() == "pcm", f"the stand-in knows pcm, not {query.get('format')}")
        require(query.get("model"), "no model")
        async with self.socket(request) as socket:
            if trouble.stall:
                await self.stalled()
            async for message in socket:
                require(message.type is WSMsgType.TEXT, "a binary frame")
                if trouble.drop:
                    cut(request)
                    break
                await self._speak(request, socket, decoded(message.data), trouble)
        return socket

    async def _speak(
        self, request: web.Request, socket: web.WebSocketResponse, message: dict[str, Any], trouble: Trouble
    ) -> None:
        context, voice = message.get("context_id"), message.get("voice_config")
        require(isinstance(context, str), "no context_id")
        require(isinstance(voice, dict) and not set(voice) - VOICE_FIELDS, f"voice_config is {voice}")
        require("text" in message or message.get("end") is True, "neither text nor end")
        context = str(context)
        if context not in self.spoken:
            self.voices.append(str((voice or {}).get("voice_id")))
        text = str(message.get("text", ""))
        self.spoken[context] = self.spoken.get(context, "") + text
        for number, chunk in enumerate(await spoken(text, int(request.query["sample_rate"]))):
            await socket.send_json({"audio": encoded(chunk), "context_id": context})
            if trouble.cut and number == BEFORE_CUT:
                cut(request)
                return
        if message.get("end"):
            await socket.send_json({"final": True, "context_id": context})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        body = decoded(await request.text())
        self.note(request, body)
        if refusal := self._refusal(request, trouble):
            return refusal
        require(body.get("format") in ("pcm", "PCM"), f"the stand-in knows pcm, not {body.get('format')}")
        require(str(body.get("sample_rate")) in RATES, f"sample_rate is {body.get('sample_rate')}")
        require(body.get("text") and body.get("voice_id"), "no text or no voice")
        if trouble.stall:
            await self.stalled()
        self.spoken[f"post {len(self.asked)}"] = str(body["text"])
        self.voices.append(str(body["voice_id"]))
        if trouble.drop:
            cut(request)
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        for number, chunk in enumerate(await spoken(str(body["text"]), int(body["sample_rate"]))):
            await response.write(chunk)
            if trouble.cut and number == BEFORE_CUT:
                cut(request)
                return response
        await response.write_eof()
        return response
