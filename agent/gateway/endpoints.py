"""The table of endpoints. Modules are imported when the gateway starts, because some of them load LiveKit."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from .connection import Connection

Serve = Callable[[Connection, Any], Awaitable[None]]
"""Takes the connection and the `Gateway`, whose module imports this one."""
Handle = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A WebSocket endpoint. `target`: `module:function`, below this package."""

    path: str
    target: str
    about: str
    answers_pings: bool = True
    protocol_path: str = ""
    """The path by which its protocol goes, if it is served at another one."""
    prepare: str = ""
    """`module:function`, called with the gateway when it starts. Must not take time."""

    def load(self) -> Serve:
        found: Serve = _load(self.target)
        return found

    def prepare_in(self, gateway: Any) -> None:
        """Do what must be done before the first connection."""
        if self.prepare:
            _load(self.prepare)(gateway)


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP route next to the endpoints."""

    method: str
    path: str
    target: str
    about: str

    def load(self) -> Handle:
        found: Handle = _load(self.target)
        return found


E = TypeVar("E", "Endpoint", "Route")

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("/", "chat:serve", "text chat, for clients that know no path", protocol_path="/chat"),
    Endpoint("/chat", "chat:serve", "text chat with an agent"),
    Endpoint("/llm", "llm:serve", "an LLM for agents and pages: stateless, with tools"),
    Endpoint("/ws", "echo:serve", "echo, to test a connection", answers_pings=False),
    Endpoint("/ws/audio-stream", "audio:record", "records audio to a file", prepare="audio:prepare"),
    Endpoint("/ws/transcribe-stream", "audio:transcribe", "transcribes speech while it is spoken"),
    Endpoint("/ws/llm-stream", "replies:serve", "streamed replies with speech; keeps the conversation"),
)
LLM_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("/", "llm:serve", "an LLM for agents and pages", protocol_path="/llm"),
    Endpoint("/llm", "llm:serve", "the same"),
)
"""What is served on GATEWAY_LLM_PORT, and by the stand-alone LLM server."""
ROUTES: tuple[Route, ...] = (
    Route("POST", "/llm/query", "replies:query", "one reply without a WebSocket"),
    Route("GET", "/uploads/{file}", "audio:download", "a recording"),
)


def built(table: Sequence[E]) -> tuple[E, ...]:
    """The rows whose module exists: while the gateway is being built, not all do."""
    return tuple(
        row for row in table if importlib.util.find_spec(f"{__package__}.{row.target.partition(':')[0]}") is not None
    )


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)
