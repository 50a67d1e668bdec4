"""A stand-in for AssemblyAI's streaming speech-to-text, version 3: its real protocol, with real recognition.

Protocol: https://www.assemblyai.com/docs/streaming/message-sequence, closures:
https://www.assemblyai.com/docs/streaming/common-session-errors-and-closures, fields:
https://www.assemblyai.com/docs/api-reference/streaming-api/streaming-api. A wrong key is answered on the open socket, with
an `Error` frame and close code 1008, as there; `Trouble(status=…)` refuses the handshake.
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

MODELS = {
    "universal-streaming-english", "universal-streaming-multilingual", "u3-rt-pro", "universal-3-5-pro", "universal-3-6-pro",
}  # fmt: skip
MIN_AUDIO, MAX_AUDIO = 0.05, 1.0
"""Seconds of audio in one message."""
PARAMETERS = {
    "sample_rate", "encoding", "speech_model", "format_turns", "continuous_partials", "interruption_delay",
    "end_of_turn_confidence_threshold", "min_turn_silence", "max_turn_silence", "keyterms_prompt", "language_detection",
    "language_codes", "prompt", "agent_context", "previous_context_n_turns", "vad_threshold", "speaker_labels",
    "max_speakers", "domain", "voice_focus", "voice_focus_threshold", "mode", "token", "inactivity_timeout",
}  # fmt: skip


class AssemblyAIStandin(Standin):
    """`audio`: seconds received, over all connections."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self._recogniser = recogniser
        self.audio = 0.0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v3/ws", self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        self.note(request)
        if trouble.status:
            return web.Response(status=trouble.status, text="stand-in")
        query = request.query
        require(query.get("encoding", "pcm_s16le") == "pcm_s16le", "the stand-in knows pcm_s16le only")
        require(query.get("sample_rate") == str(RATE), f"sample_rate is {query.get('sample_rate')}, not {RATE}")
        require(query.get("speech_model") in MODELS, f"speech_model is {query.get('speech_model')}")
        require(not set(query) - PARAMETERS, f"unknown parameters: {set(query) - PARAMETERS}")
        async with self.socket(request) as socket:
            if request.headers.get("Authorization") != self.key:
                error = {"type": "Error", "error_code": 1008, "error": "Unauthorized Connection: Invalid API key"}
                await socket.send_json(error)
                await socket.close(code=1008, message=b"See Error message for details")
                return socket
            await socket.send_json({"type": "Begin", "id": f"session-{len(self.asked)}", "expires_at": 2_000_000_000})
            if trouble.stall:
                await self.stalled()
            await _Session(self, request, socket, trouble).run()
        return socket

    def listen(self) -> Ear:
        return Ear(self._recogniser)


class _Session:
    def __init__(
        self, standin: AssemblyAIStandin, request: web.Request, socket: web.WebSocketResponse, trouble: Trouble
    ) -> None:
        self._standin, self._request, self._socket, self._trouble = standin, request, socket, trouble
        self._ear = standin.listen()
        self._turn = 0
        self._short = False

    async def run(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                await self._hear(message.data)
            elif message.type is WSMsgType.TEXT and await self._command(decoded(message.data)):
                return

    async def _hear(self, pcm: bytes) -> None:
        seconds = len(pcm) / 2 / RATE
        require(len(pcm) % 2 == 0, "half a sample")
        require(seconds <= MAX_AUDIO, f"{seconds} s of audio in one message")
        require(not self._short, f"less than {MIN_AUDIO} s of audio in a message that is not the last")
        self._short = seconds < MIN_AUDIO
        self._standin.audio += seconds
        await self._tell(await asyncio.to_thread(lambda: list(self._ear.hear(pcm))))

    async def _command(self, command: dict[str, Any]) -> bool:
        """Whether the session is over."""
        kind = command.get("type")
        require(
            kind in ("Terminate", "ForceEndpoint", "UpdateConfiguration", "KeepAlive"), f"unknown message {command}"
        )
        if kind in ("Terminate", "ForceEndpoint"):
            await self._tell(await asyncio.to_thread(lambda: list(self._ear.end())))
        if kind != "Terminate":
            return False
        self._standin.closed += 1
        duration = round(self._ear.seconds)
        await self._send(type="Termination", audio_duration_seconds=duration, session_duration_seconds=duration)
        await self._socket.close()
        return True

    async def _tell(self, results: Iterable[Heard]) -> None:
        for heard in results:
            if heard.kind == "started":
                await self._send(type="SpeechStarted", timestamp=round(heard.start * 1000))
                continue
            final = heard.kind == "final"
            words = [
                {"text": word.text, "start": round(word.start * 1000), "end": round(word.end * 1000),
                 "confidence": 0.9, "word_is_final": final}
                for word in heard.words
            ]  # fmt: skip
            await self._send(
                type="Turn", turn_order=self._turn, turn_is_formatted=final, end_of_turn=final,
                transcript=heard.text if final else "", end_of_turn_confidence=1.0 if final else 0.1,
                words=words, utterance=heard.text if final else "", language_code="en",
            )  # fmt: skip
            self._turn += final
            if self._trouble.cut:
                cut(self._request)

    async def _send(self, **message: Any) -> None:
        await self._socket.send_str(json.dumps(message))
