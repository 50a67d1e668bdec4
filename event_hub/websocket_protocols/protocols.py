"""The table of protocols: which frames each endpoint of the gateway takes and sends. docs/gateway-protocols.md is generated
from it. Pure."""

from __future__ import annotations

from typing import NamedTuple

from . import audio, chat, llm, replies
from .base import Error, Frame, Ping, Pong


class Protocol(NamedTuple):
    """One endpoint. `client_other`, `server_other`: what is not a JSON frame, as pairs of name and meaning."""

    heading: str
    about: str
    client: tuple[type[Frame], ...] = ()
    server: tuple[type[Frame], ...] = ()
    client_other: tuple[tuple[str, str], ...] = ()
    server_other: tuple[tuple[str, str], ...] = ()


CHAT = Protocol(
    "`/` and `/chat`: text chat",
    "One agent for each connection; it forgets the conversation when the connection ends.",
    client=(chat.Message, chat.Cancel),
    server=(chat.Ready, chat.Delta, chat.Complete, chat.Result),
    server_other=(
        ("in `result`: `function_call`", "a tool call: `name`, and `arguments` as JSON text"),
        ("in `result`: `function_call_output`", "what the model got for it: `output`"),
        ("in `result`: `message`", "what the agent wrote: `role` and `content`"),
    ),
)
LLM = Protocol(
    "`/llm`: an LLM",
    "Stateless: each request contains the whole conversation, in the form of OpenAI's chat completions. [An LLM behind a "
    "WebSocket](websocket-llm.md) is the guide.",
    client=(llm.ChatRequest, llm.CancelRequest),
    server=llm.SERVER,
)
ECHO = Protocol(
    "`/ws`: echo",
    "Returns every text frame as it is, to test a connection.",
    client_other=(("any text", "is returned"),),
    server_other=(("any text", "what the client sent"),),
)
RECORD = Protocol(
    "`/ws/audio-stream`: recording",
    "Records what is sent between two commands to a file. [Audio](gateway-audio.md) is the guide.",
    client=(audio.StartRecording, audio.StopRecording),
    client_other=(("binary", "audio: PCM, or WebM with Opus as MediaRecorder sends it"),),
    server=(audio.RecordingStarted, audio.RecordingSaved, audio.RecordingEmpty),
)
TRANSCRIBE = Protocol(
    "`/ws/transcribe-stream`: transcription",
    "Transcribes speech while it is spoken. `?session_id=` names the session on the hub. [Audio](gateway-audio.md) is the "
    "guide.",
    client=(audio.EndOfAudio,),
    client_other=(("binary", "PCM: 16 kHz, 16 bits, mono, little-endian"),),
    server=(
        *(audio.TranscriptionReady, audio.SpeechStarted, audio.Partial, audio.Final, audio.SpeechEnded),
        *(audio.Reconnecting, audio.TranscriptionEnded),
    ),
)
REPLIES = Protocol(
    "`/ws/llm-stream`: streamed replies with speech",
    "Keeps the conversation of each session. [Voice](gateway-voice.md) is the guide.",
    client=(replies.Ask, replies.Sync, replies.Cancel),
    server=(replies.Start, replies.Chunk, replies.End, replies.Audio, replies.State),
)
EVERYWHERE = Protocol(
    "Every endpoint: keep-alive and errors",
    "Every endpoint but `/ws` answers these, between its own frames.",
    client=(Ping,),
    server=(Pong, Error),
)

PROTOCOLS: tuple[Protocol, ...] = (CHAT, LLM, RECORD, TRANSCRIBE, REPLIES, ECHO, EVERYWHERE)
