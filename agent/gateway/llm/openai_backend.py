"""A backend that asks OpenAI, or a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import openai

from event_hub.websocket_protocols.llm import ChatRequest, ToolCall, Usage

from .backends import BackendError, Finish, Piece

MODEL = "gpt-4o-mini"
SILENCE = openai.Timeout(30.0, connect=5.0)
"""Seconds without a byte before a request is given up."""


class OpenAIBackend:
    """Reads OPENAI_API_KEY and OPENAI_BASE_URL. Raises openai.OpenAIError if there is no key.

    It does not retry: the client is told whether that is worthwhile, and knows whether the user still waits.
    """

    def __init__(self, model: str = MODEL, *, base_url: str | None = None, api_key: str | None = None) -> None:
        self.name = f"openai/{model}"
        self._model = model
        self._client = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, timeout=SILENCE)

    async def stream(self, request: ChatRequest) -> AsyncIterator[Piece]:
        calls = _Calls()
        reason: str | None = None
        usage: Usage | None = None
        try:
            chunks = await self._client.chat.completions.create(**self._arguments(request))
            async with chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        usage = _usage(chunk.usage)
                    for choice in chunk.choices:
                        if choice.delta is None:  # Azure, where its content filter intervenes
                            continue
                        if choice.delta.content:
                            yield choice.delta.content
                        for call in choice.delta.tool_calls or []:
                            calls.add(call)
                        reason = choice.finish_reason or reason
        except openai.APIStatusError as error:
            raise _refusal(self.name, error) from None
        except (
            Exception
        ) as error:  # in the middle of a stream, the HTTP library's own: httpx or httpx2, as the version has it
            if isinstance(error, openai.APITimeoutError) or "Timeout" in type(error).__name__:
                raise BackendError(f"{self.name} does not respond.", code="backend_timeout") from None
            raise BackendError(f"{self.name} cannot be used: {type(error).__name__}.") from error
        if reason is None:
            raise BackendError(f"{self.name} ended the answer before it was complete.")
        for complete in calls.complete():
            yield complete
        yield Finish(reason, usage)

    async def aclose(self) -> None:
        await self._client.close()

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._model,
            "messages": request.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.tools:  # OpenAI refuses the choice of a tool where there is none
            arguments["tools"] = request.tools
            if request.tool_choice is not None:
                arguments["tool_choice"] = request.tool_choice
            if request.parallel_tool_calls is not None:
                arguments["parallel_tool_calls"] = request.parallel_tool_calls
        return arguments


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: str


class _Calls:
    """Tool calls arrive in pieces, several of them interleaved by `index`."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def add(self, piece: Any) -> None:
        function = piece.function
        index = piece.index
        if index is None or (piece.id and index in self._calls and self._calls[index].id != piece.id):
            index = len(self._calls)  # servers that number all calls 0, or none
        call = self._calls.setdefault(index, _Call(piece.id or f"call_{uuid.uuid4().hex[:12]}", "", ""))
        if function is not None:
            call.name += function.name or ""
            call.arguments += function.arguments or ""

    def complete(self) -> list[ToolCall]:
        return [
            ToolCall(id=call.id, name=call.name, arguments=call.arguments or "{}")
            for call in self._calls.values()
            if call.name
        ]


def _usage(usage: Any) -> Usage:
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        total_tokens=usage.total_tokens or 0,
        prompt_cached_tokens=getattr(details, "cached_tokens", None) or 0,
    )


def _refusal(name: str, error: openai.APIStatusError) -> BackendError:
    """What the provider refused, without its text: that may quote the messages or a part of the key."""
    status = error.status_code
    if status == 429:
        return BackendError(f"{name} has too many requests (HTTP 429): try again later.", code="backend_busy")
    if status in (401, 403):
        sentence = f"{name} refuses the key (HTTP {status}): check OPENAI_API_KEY."
        return BackendError(sentence, code="backend_refused", retryable=False)
    if status < 500 and status != 408:
        return BackendError(f"{name} refuses the request (HTTP {status}).", code="backend_refused", retryable=False)
    return BackendError(f"{name} has failed (HTTP {status}).")
