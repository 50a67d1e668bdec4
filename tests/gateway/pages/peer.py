"""A server with the gateway's protocols that does what a test wants: it loses connections, fails, and sends malformed frames.

The real gateway does none of that on request. Pages and modules come from the gateway's own handlers.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import wave
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from aiohttp import WSMsgType, web

from agent.gateway import pages

from ...hubs import PATIENCE, until

Socket = web.WebSocketResponse
REPLY = ("It ", "is ", "noon.")


def tone(seconds: float = 0.3) -> str:
    """A WAV file, base64-encoded as in an `audio` frame."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16000, 0, "NONE", ""))
        out.writeframes(b"".join((8000 if n // 40 % 2 else -8000).to_bytes(2, "little", signed=True) for n in range(int(seconds * 16000))))  # fmt: skip
    return base64.b64encode(file.getvalue()).decode()


class Peer:
    """Runs in a thread. Its behaviour is in attributes, which tests replace."""

    def __init__(self) -> None:
        self.received: dict[str, list[Any]] = {}
        """Path → frames: JSON decoded, other text as it is, binary frames as bytes. For `POST`: the objects."""
        self.opened: dict[str, int] = {}
        self.refused: set[str] = set()
        """Paths where no WebSocket is accepted."""
        self.frozen = False
        """Whether pings remain without an answer."""
        self.silent: set[str] = set()
        """Paths where nothing is answered."""
        self.history: list[dict[str, str]] = []
        self.reply: Callable[[Socket, dict[str, Any]], Awaitable[None]] = self.answer
        self.query: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = lambda frame: (
            200,
            {"response": "".join(REPLY), "session_id": frame["session_id"], "request_id": frame["request_id"]},
        )
        self.transcripts = ["what", "what time"], "What time is it?"
        self.sockets: dict[str, list[Socket]] = {}
        self.tokens: dict[str, list[str | None]] = {}
        """Path → the token of each connection."""
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    # -- for tests -----------------------------------------------------------------------------------------------------

    def frames(self, path: str, **fields: Any) -> list[Any]:
        """What was received there, as JSON objects with these fields."""
        objects = [each for each in self.received.get(path, []) if isinstance(each, dict)]
        return [each for each in objects if all(each.get(name) == value for name, value in fields.items())]

    def frames_text(self, path: str) -> list[str]:
        return [each for each in self.received.get(path, []) if isinstance(each, str)]

    def requests(self) -> list[dict[str, Any]]:
        return [each for each in self.frames("/ws/llm-stream") if "text" in each]

    def wait(self, what: str, condition: Callable[[], Any]) -> Any:
        return until(condition, f"{what}; received: {str(self.received)[:2000]}")

    def open_sockets(self) -> int:
        return sum(len(sockets) for sockets in self.sockets.values())

    def send(self, path: str, frame: Any) -> None:
        """Send to all who are connected there."""
        text = frame if isinstance(frame, str | bytes) else json.dumps(frame)

        async def send() -> None:
            for socket in self.sockets.get(path, []):
                await (socket.send_bytes(text) if isinstance(text, bytes) else socket.send_str(text))

        asyncio.run_coroutine_threadsafe(send(), self.loop).result(PATIENCE)

    def drop(self, path: str) -> None:
        """Cut the connections without a close frame, as a network does."""

        def cut() -> None:
            for socket in self.sockets.get(path, []):
                transport = socket._req.transport if socket._req else None
                if transport:
                    transport.abort()

        self.loop.call_soon_threadsafe(cut)

    def close(self, path: str, code: int) -> None:
        async def close() -> None:
            for socket in list(self.sockets.get(path, [])):
                await socket.close(code=code)

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(PATIENCE)

    # -- what it does --------------------------------------------------------------------------------------------------

    async def answer(self, socket: Socket, frame: dict[str, Any]) -> None:
        """A reply as the gateway sends it."""
        own = {"request_id": frame["request_id"]}
        await socket.send_json({"type": "start", "message": "…", "session_id": frame["session_id"], **own})
        for content in REPLY:
            await socket.send_json({"type": "chunk", "content": content, **own})
        await socket.send_json({"type": "end", "final_response": "".join(REPLY), "message": "…", **own})
        if frame.get("voice_id") != "none":
            await self.speak(socket, frame)

    async def speak(self, socket: Socket, frame: dict[str, Any]) -> None:
        audio = {"type": "audio", "content_type": "audio/wav", "data": tone(), "voice_id": "slt"}
        await socket.send_json({**audio, "request_id": frame["request_id"]})

    async def _llm_stream(self, socket: Socket, frame: Any) -> None:
        if isinstance(frame, dict) and frame.get("type") == "sync":
            state = {"type": "state", "session_id": frame["session_id"], "history": self.history}
            await socket.send_json(state)
        elif isinstance(frame, dict) and "text" in frame:
            await self.reply(socket, frame)

    async def _transcribe(self, socket: Socket, frame: Any) -> None:
        interims, final = self.transcripts
        heard = sum(isinstance(each, bytes) for each in self.received["/ws/transcribe-stream"])
        if isinstance(frame, bytes) and heard == 2:
            await socket.send_json({"type": "speech_started"})
            for text in interims:
                await socket.send_json({"type": "partial", "text": text, "utterance": "u1"})
        elif isinstance(frame, dict) and frame.get("type") == "end":
            await socket.send_json({"type": "speech_ended"})
            await socket.send_json({"type": "final", "text": final, "utterance": "u1"})
            await socket.send_json({"type": "end"})

    async def _audio_stream(self, socket: Socket, frame: Any) -> None:
        if frame == "START_RECORDING":
            await socket.send_json({"type": "recording_started", "session_id": "x"})
        elif frame == "STOP_RECORDING":
            saved = {"file": "streamed_audio_x_1.wav", "url": "/uploads/streamed_audio_x_1.wav", "format": "wav"}
            await socket.send_json({"type": "recording_saved", "bytes": 32044, "duration": 1.0, **saved})

    # -- the server ----------------------------------------------------------------------------------------------------

    def _websocket(self, path: str, act: Callable[[Socket, Any], Awaitable[None]]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.opened[path] = self.opened.get(path, 0) + 1
            self.tokens.setdefault(path, []).append(request.query.get("access_token"))
            if path in self.refused:
                raise web.HTTPServiceUnavailable
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            self.sockets.setdefault(path, []).append(socket)
            try:
                if path == "/ws/transcribe-stream" and path not in self.silent:
                    ready = {"type": "ready", "sample_rate": 16000, "channels": 1}
                    await socket.send_json({**ready, "session_id": request.query["session_id"]})
                async for message in socket:
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    await self._receive(socket, path, message.data, act)
            except (ConnectionError, RuntimeError):
                pass  # cut while something was being sent
            finally:
                self.sockets[path].remove(socket)
            return socket

        return handle

    async def _receive(self, socket: Socket, path: str, data: Any, act: Any) -> None:
        frame = data
        if isinstance(data, str) and data.startswith("{"):
            frame = json.loads(data)
            if frame.get("type") == "ping":
                if not self.frozen:
                    await socket.send_json({**frame, "type": "pong"})
                return
        self.received.setdefault(path, []).append(frame)
        if path not in self.silent:
            await act(socket, frame)

    async def _query(self, request: web.Request) -> web.StreamResponse:
        frame = await request.json()
        self.received.setdefault("POST", []).append(frame)
        status, body = self.query(frame)
        return web.json_response(body, status=status)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        app = web.Application()
        app.router.add_get("/voice.html", pages.handler("voice.html"))
        app.router.add_get("/static/{path:.+}", pages.static_file)
        app.router.add_post("/llm/query", self._query)
        for path, act in {
            "/ws/llm-stream": self._llm_stream,
            "/ws/transcribe-stream": self._transcribe,
            "/ws/audio-stream": self._audio_stream,
        }.items():
            app.router.add_get(path, self._websocket(path, act))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._started.set()
        await self._end.wait()
        for socket in [each for sockets in self.sockets.values() for each in sockets]:
            await socket.close()
        await runner.cleanup()

    def __enter__(self) -> Peer:
        self._thread.start()
        assert self._started.wait(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)
