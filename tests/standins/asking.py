"""Ask an LLM and collect its reply; a tool that it may call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from livekit.agents import APIConnectOptions, function_tool
from livekit.agents.llm import LLM, ChatContext

from .plugins import ONCE


@function_tool
async def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It is 7 °C in {city}."


@dataclass
class Reply:
    deltas: list[str] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    usage: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.deltas)


def asking(text: str) -> ChatContext:
    context = ChatContext.empty()
    context.add_message(role="system", content="Be brief.")
    context.add_message(role="user", content=text)
    return context


async def answered(
    llm: LLM[Any], context: ChatContext, options: APIConnectOptions = ONCE, reply: Reply | None = None
) -> Reply:
    """The whole reply; `reply` has what came before an error."""
    reply = reply or Reply()
    async with llm.chat(chat_ctx=context, tools=[get_weather], conn_options=options) as stream:
        async for chunk in stream:
            if chunk.usage:
                reply.usage.append(chunk.usage)
            if chunk.delta and chunk.delta.content:
                reply.deltas.append(chunk.delta.content)
            if chunk.delta:
                reply.calls += chunk.delta.tool_calls
    return reply


async def closing(llm: LLM[Any], context: ChatContext, **more: Any) -> Reply:
    try:
        return await answered(llm, context, **more)
    finally:
        await llm.aclose()
