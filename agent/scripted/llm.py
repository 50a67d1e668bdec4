"""An LLM whose answers are scripted. To the AgentSession it is an ordinary plugin: it streams text, calls tools, reports
usage, and fails where the script says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from livekit.agents import APIConnectionError, llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import shortuuid

from .reply import CALL_TOKENS, FIRST_TOKEN, WORDS_PER_SECOND, Reply, tokens, words

Answer = Callable[[llm.ChatContext], Reply]
"""Chooses the reply from the conversation so far. It must be stateless: the session may ask twice for one reply."""


class ScriptedLLM(llm.LLM[Any]):
    """Replies with what `answer` returns. `speed` 10 is ten times as fast."""

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
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,  # noqa: ARG002  a reply has at most one call
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,  # noqa: ARG002  the script decides
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,  # noqa: ARG002  not used
    ) -> llm.LLMStream:
        return _ScriptedLLMStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _ScriptedLLMStream(llm.LLMStream):
    def __init__(
        self, model: ScriptedLLM, *, chat_ctx: llm.ChatContext, tools: list[llm.Tool], conn_options: APIConnectOptions
    ) -> None:
        self._reply = model.answer(chat_ctx)
        self._speed = model.speed
        self._attempt = 0
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)

    async def _run(self) -> None:
        """Runs once per attempt: LiveKit retries after an APIConnectionError, and reports that as recoverable."""
        await asyncio.sleep(FIRST_TOKEN / self._speed)
        self._attempt += 1
        if self._attempt <= self._reply.failures:
            raise APIConnectionError("the scripted model does not respond: the script says so")
        request = shortuuid("scripted_")
        if self._reply.tool:
            call = llm.FunctionToolCall(
                name=self._reply.tool, arguments=json.dumps(self._reply.arguments), call_id=shortuuid("call_")
            )
            self._send(request, llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        for word in words(self._reply.text):
            self._send(request, llm.ChoiceDelta(role="assistant", content=word))
            await asyncio.sleep(1 / WORDS_PER_SECOND / self._speed)
        prompt = sum(tokens(item.text_content or "") for item in self._chat_ctx.messages())
        answered = tokens(self._reply.text) + (CALL_TOKENS if self._reply.tool else 0)
        usage = llm.CompletionUsage(prompt_tokens=prompt, completion_tokens=answered, total_tokens=prompt + answered)
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=usage))

    def _send(self, request: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))


__all__ = ["Answer", "Reply", "ScriptedLLM"]
