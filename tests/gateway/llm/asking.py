"""Asks a WebSocketLLM as LiveKit does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit.agents import APIConnectOptions, llm

from event_hub.livekit import WebSocketLLM

ONCE = APIConnectOptions(max_retry=0, timeout=20.0)
RETRYING = APIConnectOptions(max_retry=2, retry_interval=0.01, timeout=20.0)


def context(*texts: str) -> llm.ChatContext:
    """A conversation that the user begins, in turns."""
    chat_ctx = llm.ChatContext.empty()
    for number, text in enumerate(texts):
        chat_ctx.add_message(role="assistant" if number % 2 else "user", content=text)
    return chat_ctx


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[WebSocketLLM]:
    model = WebSocketLLM(ws_url=url, **options)
    try:
        yield model
    finally:
        await model.aclose()


async def chunks(model: WebSocketLLM, text: str = "hi", **options: Any) -> list[llm.ChatChunk]:
    """All chunks of an answer. Raises what the stream raises."""
    options.setdefault("conn_options", ONCE)
    found = []
    async with model.chat(chat_ctx=options.pop("chat_ctx", None) or context(text), **options) as stream:
        async for chunk in stream:
            found.append(chunk)
    return found


def text_of(found: list[llm.ChatChunk]) -> str:
    return "".join(chunk.delta.content or "" for chunk in found if chunk.delta)
