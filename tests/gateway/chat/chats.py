"""A gateway in this process whose LLM a test scripts, and clients of its chat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
from livekit.agents import APIStatusError, llm

from agent.gateway.endpoints import ENDPOINTS
from agent.gateway.parts import Parts
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings
from agent.local.answers import answer as local_answer
from agent.scripted.llm import Answer, Reply, ScriptedLLM
from event_hub.client import Publisher

from ...hubs import PATIENCE

SPEED = 20.0
CHAT = tuple(endpoint for endpoint in ENDPOINTS if endpoint.target in ("chat:serve", "echo:serve"))
LONG = "word " * 2_000
"""A reply that takes as long as a test wants."""


def answer(context: llm.ChatContext) -> Reply:
    """As the gateway's scripted LLM does, and what tests ask for."""
    last = context.items[-1]
    asked = (last.text_content or "") if last.type == "message" else ""
    if asked == "long":
        return Reply(LONG)
    if asked == "look":
        return Reply("Let me look.", tool="lookup_weather", arguments={"location": "Oslo"})
    if asked == "memory":
        return Reply(" / ".join(item.text_content or "" for item in context.messages() if item.role == "user"))
    if last.type == "function_call_output" and any(item.text_content == "look" for item in context.messages()):
        return Reply(f"It is {last.output}.")
    return local_answer(context)


class FailingLLM(ScriptedLLM):
    """Refuses `fail`, as a vendor refuses a wrong key."""

    def chat(self, *, chat_ctx: llm.ChatContext, **options: Any) -> llm.LLMStream:
        stream = super().chat(chat_ctx=chat_ctx, **options)
        if chat_ctx.items[-1].type == "message" and chat_ctx.items[-1].text_content == "fail":

            async def run() -> None:
                raise APIStatusError("the key sk-secret is wrong", status_code=401)

            stream._run = run  # type: ignore[method-assign]
        return stream


@dataclass
class ScriptedParts:
    """The gateway's parts, with a scripted LLM that all connections share, as they share the real one."""

    answer: Answer = answer
    speed: float = SPEED
    model: llm.LLM[Any] | None = field(default=None)

    async def llm(self) -> llm.LLM[Any]:
        self.model = self.model or FailingLLM(self.answer, speed=self.speed)
        return self.model

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def serving(
    parts: ScriptedParts | None = None, *, publisher: Publisher | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        replace(GatewaySettings(port=0, drain=2.0), **settings),
        parts=cast(Parts, parts or ScriptedParts()),
        publisher=publisher,
        endpoints=CHAT,
        routes=(),
    )
    await gateway.start()
    try:
        yield gateway
    finally:
        if not gateway.closing.is_set():
            await gateway.stop()


class Chat:
    """One client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, frame: Any) -> None:
        await self.socket.send_str(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def ask(self, message: str) -> list[dict[str, Any]]:
        """All frames of one turn."""
        await self.send({"message": message})
        return await self.until("result")

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads((await self.socket.receive(timeout=PATIENCE)).data)
        return frame

    async def until(self, kind: str) -> list[dict[str, Any]]:
        frames = [await self.receive()]
        while frames[-1]["type"] != kind:
            frames.append(await self.receive())
        return frames


@asynccontextmanager
async def chatting(gateway: Gateway, path: str = "/chat") -> AsyncIterator[Chat]:
    """A client that has received `ready`."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{gateway.port}{path}") as socket,
    ):
        chat = Chat(socket)
        assert await chat.receive() == {"type": "ready", "message": "Agent ready"}
        yield chat


def of(frames: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [frame for frame in frames if frame["type"] == kind]


def run(test: Awaitable[Any]) -> None:
    async def limited() -> None:
        before = asyncio.all_tasks()
        await test
        for _ in range(100):  # tasks that are being cancelled
            if asyncio.all_tasks() <= before:
                break
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() <= before

    asyncio.run(asyncio.wait_for(limited(), 4 * PATIENCE))
