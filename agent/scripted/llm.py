"""An LLM that is told what to answer: a plugin like any other to the AgentSession, with text that streams, tool calls,
usage, and errors where the script wants one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import APIConnectionError, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import shortuuid

FIRST_TOKEN = 0.35
"""Seconds until the first piece of text, and until a tool call: what a quick model takes."""
PIECES_PER_SECOND = 25.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says, or the tool it calls instead. `failures`: so many requests fail before one is answered."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    failures: int = 0


Answer = Callable[[llm.ChatContext], Reply]
"""Decides from the conversation so far. It must not remember: the session may ask twice for one answer."""


class ScriptedLLM(llm.LLM[Any]):
    """Answers with what `answer` returns; `speed` 10 is ten times as fast."""

    def __init__(self, answer: Answer, *, speed: float = 1.0) -> None:
        super().__init__()
        self.answer, self.speed = answer, speed

    @property
    def model(self) -> str:
        return "scripted"

    @property
    def provider(self) -> str:
        return "event-hub"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,  # noqa: ARG002  there is never more than one
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,  # noqa: ARG002  the script decides
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002  there are none
    ) -> llm.LLMStream:
        return _Stream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Stream(llm.LLMStream):
    def __init__(
        self, model: ScriptedLLM, *, chat_ctx: llm.ChatContext, tools: list[llm.Tool], conn_options: APIConnectOptions
    ) -> None:
        self._reply = model.answer(chat_ctx)
        self._speed = model.speed
        self._attempt = 0
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)

    async def _run(self) -> None:
        """Once for each try: LiveKit repeats it after an APIConnectionError, and reports that as recoverable."""
        await asyncio.sleep(FIRST_TOKEN / self._speed)
        self._attempt += 1
        if self._attempt <= self._reply.failures:
            raise APIConnectionError("the scripted model does not answer, as the script wants it")
        request = shortuuid("scripted_")
        if self._reply.tool:
            call = llm.FunctionToolCall(
                name=self._reply.tool, arguments=json.dumps(self._reply.arguments), call_id=shortuuid("call_")
            )
            self._send(request, llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        for piece in _pieces(self._reply.text):
            self._send(request, llm.ChoiceDelta(role="assistant", content=piece))
            await asyncio.sleep(1 / PIECES_PER_SECOND / self._speed)
        prompt = sum(_tokens(item.text_content or "") for item in self._chat_ctx.messages())
        answered = _tokens(self._reply.text) + (12 if self._reply.tool else 0)
        usage = llm.CompletionUsage(prompt_tokens=prompt, completion_tokens=answered, total_tokens=prompt + answered)
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=usage))

    def _send(self, request: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))


def _pieces(text: str) -> list[str]:
    """Words, the space before each but the first: joined they are the text."""
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)] if text else []


def _tokens(text: str) -> int:
    """About as many as a model would count."""
    return (len(text) + 3) // 4
