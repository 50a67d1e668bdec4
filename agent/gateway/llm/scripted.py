"""A backend without a key or a network: the scripted LLM's rules, at the pace of a fast model."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from event_hub.websocket_protocols.llm import ChatRequest, ToolCall, Usage

from ...scripted.reply import CALL_TOKENS, FIRST_TOKEN, WORDS_PER_SECOND, Reply, tokens, words
from ...scripted.rules import TOOL, reply_to
from ...weather import example_weather
from .backends import Finish, Piece

Answer = Callable[[ChatRequest], Reply]
"""Chooses the reply; it must be stateless."""


class ScriptedBackend:
    """Replies with what `answer` returns. `speed` 10 is ten times as fast."""

    name = "scripted"

    def __init__(self, answer: Answer | None = None, *, speed: float = 1.0) -> None:
        self._answer, self._speed = answer or by_rule, speed

    async def stream(self, request: ChatRequest) -> AsyncIterator[Piece]:
        reply = self._answer(request)
        await asyncio.sleep(FIRST_TOKEN / self._speed)
        if reply.tool:
            arguments = json.dumps(reply.arguments)
            yield ToolCall(id=f"call_{uuid.uuid4().hex[:12]}", name=reply.tool, arguments=arguments)
        for word in words(reply.text):
            yield word
            await asyncio.sleep(1 / WORDS_PER_SECOND / self._speed)
        prompt = sum(tokens(text_of(message)) for message in request.messages)
        answered = tokens(reply.text) + (CALL_TOKENS if reply.tool else 0)
        usage = Usage(prompt_tokens=prompt, completion_tokens=answered, total_tokens=prompt + answered)
        yield Finish("tool_calls" if reply.tool else "stop", usage)

    async def aclose(self) -> None:
        """There is nothing to release."""


def by_rule(request: ChatRequest) -> Reply:
    """The rules' reply. Where the client offers no weather tool, the example weather is looked up here."""
    said, found = "", ""
    for message in request.messages:
        if message["role"] == "user":
            said, found = text_of(message), ""
        elif message["role"] == "tool":
            found = text_of(message)
    reply = reply_to(said, found)
    if reply.tool == TOOL and (request.tool_choice == "none" or TOOL not in tool_names(request)):
        return reply_to(said, example_weather(str(reply.arguments["location"])))
    return reply


def tool_names(request: ChatRequest) -> set[str]:
    """The names of the tools that the client offers."""
    functions = [tool.get("function") for tool in request.tools or []]
    return {str(function.get("name")) for function in functions if isinstance(function, dict)}


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, whose content may come in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and "text" in part)
    return content if isinstance(content, str) else ""
