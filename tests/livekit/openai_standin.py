"""A stand-in for OpenAI: its wire protocol on loopback, with real speech and real recognition, and answers by rule.

It is not OpenAI, and knows a weather report, a long story and a greeting. It answers as OpenAI's documents say: chat as
server-sent events with tool calls in pieces and a usage chunk, transcriptions of the WAV it is sent, speech as PCM of
24 kHz in events or raw. It can fail on request.
"""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from .speech import RATE, Recogniser, Sound, resampled, said

SPEECH_RATE = 24000
GREETING = "Hello. What can I do for you?"
STORY = (
    "Once upon a time there was a little house by the sea. An old man and his dog lived in the house. "
    "Every morning they walked along the beach and looked for stones. One day the dog found a box of gold. "
    "The old man took the box home and put it under his bed. That night he could not sleep at all. "
    "In the morning he gave the gold to the people of the town. And they were happy for many years."
)
"""Some thirty seconds: long enough to be interrupted."""


@dataclass
class Request:
    """What was asked of the stand-in: when, and with what."""

    path: str
    time: float
    body: dict[str, Any]
    heard: str = ""
    """Of a transcription: the answer."""


@dataclass
class Trouble:
    """What the next requests of a path get instead of an answer: a status, or nothing at all for `stall` seconds."""

    status: int = 0
    stall: float = 0.0
    times: int = 1


@dataclass
class Standin:
    """The running stand-in. `base_url` is what OPENAI_BASE_URL is to be."""

    requests: list[Request] = field(default_factory=list)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    """Path (`/v1/chat/completions`) → what goes wrong there next."""

    def __post_init__(self) -> None:
        self._recogniser = Recogniser()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.standin = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def recogniser_pid(self) -> int:
        return self._recogniser.pid

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def recognise(self, wav: bytes) -> str:
        return self._recogniser.text(_from_wav(wav))

    def trouble(self, path: str) -> int:
        """The error status for a request of `path`, or 0. Stalls if requested."""
        trouble = self.troubles.get(path)
        if trouble is None or trouble.times <= 0:
            return 0
        trouble.times -= 1
        self._closing.wait(trouble.stall)
        return trouble.status

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._recogniser.close()

    def __enter__(self) -> Standin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str | tuple[str, dict[str, str]]:
    """What the model says to a conversation: a text, or a tool's name and its arguments."""
    spoken = [message for message in messages if message["role"] in ("user", "assistant", "tool")]
    if not spoken or spoken[-1]["role"] == "assistant":
        return GREETING
    text = _text(spoken[-1].get("content"))
    if spoken[-1]["role"] == "tool":
        return f"I have looked it up. {text}".replace("°C", "degrees")
    if spoken[-1]["role"] == "user" and "weather" in text.lower():
        for tool in tools:
            function = tool["function"]
            if "weather" in function["name"]:
                place = re.search(r"weather in (\w+)", text.lower())
                parameter = next(iter(function["parameters"]["properties"]))
                return function["name"], {parameter: place.group(1).title() if place else "London"}
    if "story" in text.lower():
        return STORY
    return f"I have heard you say: {text}" if text else GREETING


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict))
    return str(content or "")


def _from_wav(data: bytes) -> Sound:
    with wave.open(io.BytesIO(data)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())
        return resampled(np.ascontiguousarray(sound[:, 0]), file.getframerate(), RATE)


def _as_wav(sound: Sound) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(sound.tobytes())
    return buffer.getvalue()


def chat_chunks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer to a chat request as OpenAI's chunks."""
    what = answer(body["messages"], body.get("tools") or [])
    head = {
        "id": f"chatcmpl-{time.time_ns():x}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice], "usage": None}

    if isinstance(what, str):
        pieces = re.findall(r"\S+\s*", what)
        yield chunk({"role": "assistant", "content": "", "refusal": None})
        yield from (chunk({"content": piece}) for piece in pieces)
        yield chunk({}, "stop")
    else:
        name, arguments = what
        text = json.dumps(arguments)
        pieces = re.findall(r".{1,6}", text)
        call = {"index": 0, "id": f"call_{time.time_ns():x}", "type": "function"}
        yield chunk(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**call, "function": {"name": name, "arguments": ""}}],
            }
        )
        yield from (chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces)
        yield chunk({}, "tool_calls")
    if (body.get("stream_options") or {}).get("include_usage"):
        prompt = sum(len(_text(message.get("content")).split()) for message in body["messages"])
        usage = {"prompt_tokens": prompt, "completion_tokens": len(pieces), "total_tokens": prompt + len(pieces)}
        details = {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}
        yield {**head, "choices": [], "usage": {**usage, **details}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    standin: Standin

    def handle_error(self, *_: object) -> None:
        """A client that leaves is none: interrupted speech is not fetched to its end."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/v1/models"):
            models = ("gpt-4.1-mini", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts")
            data = [{"id": name, "object": "model", "created": 1, "owned_by": "stand-in"} for name in models]
            return self._json(200, {"object": "list", "data": data})
        return self._error(404)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        routes = {
            "/v1/chat/completions": self._chat,
            "/v1/audio/transcriptions": self._transcription,
            "/v1/audio/speech": self._speech,
        }
        if path not in routes:
            return self._error(404)
        kind = self.headers.get("Content-Type", "")
        body = json.loads(data) if kind.startswith("application/json") else _form(kind, data)
        request = Request(path, time.time(), {k: v for k, v in body.items() if not isinstance(v, bytes)})
        self.server.standin.requests.append(request)
        if status := self.server.standin.trouble(path):
            return self._error(status)
        return routes[path](request, body)

    def _chat(self, request: Request, body: dict[str, Any]) -> None:
        if not body.get("stream"):
            return self._error(400)
        self._begin("text/event-stream; charset=utf-8")
        for chunk in chat_chunks(body):
            self._part(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self._part(b"data: [DONE]\n\n")
        return self._part(b"")

    def _transcription(self, request: Request, body: dict[str, Any]) -> None:
        request.heard = self.server.standin.recognise(body["file"])
        answer: dict[str, Any] = {"text": request.heard}
        if body.get("response_format") == "verbose_json":
            answer |= {"task": "transcribe", "language": "english", "duration": 0.0, "segments": []}
        self._json(200, answer)

    def _speech(self, request: Request, body: dict[str, Any]) -> None:
        text = str(body["input"]).strip()
        sound = resampled(said(text), RATE, SPEECH_RATE) if text else np.zeros(0, np.int16)
        # Of its formats the stand-in has two; it says which of them it sends, as other servers of this protocol do.
        pcm = body.get("response_format") == "pcm"
        audio = sound.tobytes() if pcm else _as_wav(sound)
        if body.get("stream_format") == "sse" and pcm:
            self._begin("text/event-stream; charset=utf-8")
            for start in range(0, len(audio), 9600):
                delta = base64.b64encode(audio[start : start + 9600]).decode()
                self._part(f"data: {json.dumps({'type': 'speech.audio.delta', 'audio': delta})}\n\n".encode())
            usage = {"input_tokens": len(text.split()), "output_tokens": len(sound) // 1200, "total_tokens": 0}
            self._part(f"data: {json.dumps({'type': 'speech.audio.done', 'usage': usage})}\n\n".encode())
            self._part(b"data: [DONE]\n\n")
        else:
            self._begin("audio/pcm" if pcm else "audio/wav")
            for start in range(0, len(audio), 9600):
                self._part(audio[start : start + 9600])
        self._part(b"")

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("x-request-id", f"req_{time.time_ns():x}")
        self.end_headers()

    def _part(self, data: bytes) -> None:
        """A chunk of the body; an empty one ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _json(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int) -> None:
        codes = {401: ("invalid_api_key", "Incorrect API key provided."), 429: ("rate_limit_exceeded", "Rate limit.")}
        code, message = codes.get(status, ("stand_in", f"The stand-in was set to answer {status}."))
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self._json(status, {"error": error})


def _form(kind: str, data: bytes) -> dict[str, Any]:
    """The fields of a multipart form; files as bytes."""
    mimetype, options = parse_options_header(kind)
    parser = FormDataParser(stream_factory=lambda **_: io.BytesIO())
    _, form, files = parser.parse(io.BytesIO(data), mimetype, len(data), options)
    return {**form.to_dict(), **{name: file.read() for name, file in files.items()}}
