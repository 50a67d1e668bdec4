"""A stand-in for Deepgram's streaming speech-to-text: its real protocol, with real recognition.

Protocol: https://developers.deepgram.com/reference/speech-to-text/listen-streaming, the end of speech:
https://developers.deepgram.com/docs/understand-endpointing-interim-results, the messages of the client:
https://developers.deepgram.com/docs/close-stream, …/finalize, …/audio-keep-alive, errors:
https://developers.deepgram.com/docs/stt-troubleshooting-websocket-data-and-net-errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from aiohttp import WSMsgType, web

from ..livekit.speech import RATE, Recogniser
from .ear import Ear, Heard
from .server import Standin, Trouble, cut, decoded, require

SILENCE = 10.0
"""Seconds without audio and without KeepAlive after which Deepgram closes the connection (NET-0001)."""
PARAMETERS = {
    "model", "language", "punctuate", "smart_format", "no_delay", "interim_results", "encoding", "vad_events",
    "sample_rate", "channels", "endpointing", "filler_words", "profanity_filter", "numerals", "mip_opt_out", "diarize",
    "keywords", "keyterm", "utterance_end_ms", "dictation", "replace", "search", "redact", "tag",
}  # fmt: skip


class DeepgramStandin(Standin):
    """`commands`: the types of the client's JSON messages, over all connections."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self._recogniser = recogniser
        self.audio = 0.0
        """Seconds received."""
        self.commands: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/listen", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        self.note(request)
        if trouble.status or request.headers.get("Authorization") != f"Token {self.key}":
            error = {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials.", "request_id": "stand-in"}
            return web.json_response(error, status=trouble.status or 401)
        query = request.query
        expected = {"encoding": "linear16", "sample_rate": str(RATE), "channels": "1"}
        require(expected.items() <= dict(query).items(), f"the audio is described as {dict(query)}")
        require(query.get("model"), "no model")
        require(not set(query) - PARAMETERS, f"unknown parameters: {set(query) - PARAMETERS}")
        require("utterance_end_ms" not in query or query.get("interim_results") == "true", "no interim results")
        async with self.socket(request) as socket:
            if trouble.stall:
                await self.stalled()
            await _Session(self, request, socket, trouble).run()
        return socket

    def listen(self) -> Ear:
        return Ear(self._recogniser)


class _Session:
    def __init__(
        self, standin: DeepgramStandin, request: web.Request, socket: web.WebSocketResponse, trouble: Trouble
    ) -> None:
        self._standin, self._request, self._socket, self._trouble = standin, request, socket, trouble
        self._ear = standin.listen()
        self._id = f"request-{len(standin.asked)}"

    async def run(self) -> None:
        while True:
            try:
                message = await self._socket.receive(timeout=SILENCE)
            except TimeoutError:
                reason = b"NET-0001: no audio was received within the timeout window"
                await self._socket.close(code=1011, message=reason)
                return
            if message.type is WSMsgType.BINARY:
                require(len(message.data) % 2 == 0, "half a sample")
                self._standin.audio += len(message.data) / 2 / RATE
                pcm: bytes = message.data
                await self._tell(await asyncio.to_thread(lambda pcm=pcm: list(self._ear.hear(pcm))))
            elif message.type is WSMsgType.TEXT:
                if await self._command(decoded(message.data).get("type")):
                    return
            else:
                return

    async def _command(self, kind: Any) -> bool:
        """Whether the stream is over."""
        require(kind in ("KeepAlive", "Finalize", "CloseStream"), f"unknown message {kind}")
        self._standin.commands.append(kind)
        if kind == "KeepAlive":
            return False
        await self._tell(await asyncio.to_thread(lambda: list(self._ear.end())), finalized=kind == "Finalize")
        if kind == "Finalize":
            return False
        self._standin.closed += 1
        await self._send(
            type="Metadata", transaction_key="deprecated", request_id=self._id, sha256="0" * 64,
            created="2026-11-26T00:00:00.000Z", duration=self._ear.seconds, channels=1,
        )  # fmt: skip
        await self._socket.close()
        return True

    async def _tell(self, results: Iterable[Heard], finalized: bool = False) -> None:
        query = self._request.query
        for heard in results:
            if heard.kind == "started":
                if query.get("vad_events") == "true":
                    await self._send(type="SpeechStarted", channel=[0, 1], timestamp=heard.start)
                continue
            if heard.kind == "interim" and query.get("interim_results") != "true":
                continue
            final, end = heard.kind == "final", query.get("utterance_end_ms")
            await self._result(heard, speech_final=final and end is None, finalized=finalized)
            if final and end is not None and heard.words:
                await self._send(type="UtteranceEnd", channel=[0, 1], last_word_end=heard.words[-1].end)
            if self._trouble.cut:
                cut(self._request)

    async def _result(self, heard: Heard, *, speech_final: bool, finalized: bool) -> None:
        words = [
            {"word": word.text, "punctuated_word": word.text, "start": word.start, "end": word.end, "confidence": 0.9}
            for word in heard.words
        ]
        alternative = {"transcript": heard.text, "confidence": 0.9 if words else 0.0, "words": words}
        model = {"name": self._request.query["model"], "version": "stand-in", "arch": "pocketsphinx"}
        await self._send(
            type="Results", channel_index=[0, 1], duration=self._ear.seconds - heard.start, start=heard.start,
            is_final=heard.kind == "final", speech_final=speech_final, channel={"alternatives": [alternative]},
            metadata={"request_id": self._id, "model_info": model, "model_uuid": "stand-in"}, from_finalize=finalized,
        )  # fmt: skip

    async def _send(self, **message: Any) -> None:
        await self._socket.send_str(json.dumps(message))
