"""A backend that asks any LiveKit LLM: for the providers that only LiveKit's plugins know. Loaded where one is chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from livekit.agents import APIConnectOptions, APIError, APIStatusError, APITimeoutError, function_tool, llm

from event_hub.websocket_protocols.llm import ChatRequest, ToolCall, Usage

from .backends import BackendError, Finish, Piece
from .scripted import text_of

_NO_RETRY = APIConnectOptions(max_retry=0, timeout=30.0)
"""The client decides about retries. Seconds that the provider may be silent."""


class LiveKitBackend:
    """`model` stays its owner's: `aclose` does not close it."""

    def __init__(self, model: llm.LLM[Any]) -> None:
        self.name = f"{model.provider}/{model.model}"
        self._model = model

    async def stream(self, request: ChatRequest) -> AsyncIterator[Piece]:
        options: dict[str, Any] = {}
        if request.tools and request.tool_choice is not None:
            options["tool_choice"] = request.tool_choice
        if request.tools and request.parallel_tool_calls is not None:
            options["parallel_tool_calls"] = request.parallel_tool_calls
        usage: Usage | None = None
        called = False
        try:
            async with self._model.chat(
                chat_ctx=_context(request.messages),
                tools=[_tool(tool) for tool in request.tools or []],
                conn_options=_NO_RETRY,
                **options,
            ) as stream:
                async for chunk in stream:
                    if chunk.usage is not None:
                        usage = _usage(chunk.usage)
                    if chunk.delta is None:
                        continue
                    if chunk.delta.content:
                        yield chunk.delta.content
                    for call in chunk.delta.tool_calls:
                        called = True
                        yield ToolCall(id=call.call_id, name=call.name, arguments=call.arguments or "{}")
        except APIError as error:
            raise _failure(self.name, error) from None
        yield Finish("tool_calls" if called else "stop", usage)

    async def aclose(self) -> None:
        """The model is closed by its owner."""


def _context(messages: list[dict[str, Any]]) -> llm.ChatContext:
    """OpenAI's messages as LiveKit's context."""
    chat_ctx = llm.ChatContext.empty()
    names: dict[str, str] = {}
    for message in messages:
        role = message["role"]
        if role in ("tool", "function"):
            call_id = str(message.get("tool_call_id") or message.get("name") or "")
            output = llm.FunctionCallOutput(
                call_id=call_id, name=names.get(call_id, ""), output=text_of(message), is_error=False
            )
            chat_ctx.items.append(output)
            continue
        content = _content(message.get("content"))
        if content:
            chat_ctx.items.append(llm.ChatMessage(role=cast(llm.ChatRole, role), content=content))
        for call in message.get("tool_calls") or []:
            function = call.get("function") or {}
            names[str(call.get("id"))] = str(function.get("name"))
            chat_ctx.items.append(
                llm.FunctionCall(
                    call_id=str(call.get("id")),
                    name=str(function.get("name")),
                    arguments=str(function.get("arguments") or "{}"),
                )
            )
    return chat_ctx


def _content(content: Any) -> list[llm.ChatContent]:
    if not isinstance(content, list):
        return [content] if content else []
    found: list[llm.ChatContent] = []
    for part in content:
        if isinstance(part, dict) and part.get("type") == "text":
            found.append(str(part.get("text", "")))
        elif isinstance(part, dict) and part.get("type") == "image_url":
            image = part.get("image_url")
            found.append(llm.ImageContent(image=str(image.get("url") if isinstance(image, dict) else image)))
    return found


def _tool(tool: dict[str, Any]) -> llm.Tool:
    """A tool that only has a schema: the client runs it."""
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict) or not function.get("name"):
        raise BackendError(
            "tools: each needs the type function, and a function with a name.", code="backend_refused", retryable=False
        )
    schema = {"description": "", "parameters": {"type": "object", "properties": {}}, **function}

    async def not_here(raw_arguments: dict[str, object]) -> None:
        raise NotImplementedError("the client runs its tools")

    return function_tool(not_here, raw_schema=cast(Any, schema))


def _usage(usage: llm.CompletionUsage) -> Usage:
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_cached_tokens=usage.prompt_cached_tokens,
    )


def _failure(name: str, error: APIError) -> BackendError:
    """Without the provider's own text, which may quote the messages or a part of the key."""
    if isinstance(error, APITimeoutError):
        return BackendError(f"{name} does not respond.", code="backend_timeout")
    if isinstance(error, APIStatusError):
        if error.status_code == 429:
            return BackendError(f"{name} has too many requests (HTTP 429): try again later.", code="backend_busy")
        if 400 <= error.status_code < 500 and error.status_code != 408:
            sentence = f"{name} refuses the request or the key (HTTP {error.status_code})."
            return BackendError(sentence, code="backend_refused", retryable=False)
    return BackendError(f"{name} has failed.")
