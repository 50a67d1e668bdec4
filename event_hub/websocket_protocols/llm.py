"""The protocol of `/llm`: an LLM behind a WebSocket. Each request carries the whole conversation; the server keeps none.

A client sends `chat`; the server answers with `delta` frames, then `complete` exactly once, or `error`. That much is all a
server needs. Tools, request ids, `cancel` and usage are optional on both sides: a client that sends no `request_id`
receives none, and its requests are answered in order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from .base import Error, Frame

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
"""Roles of a message, as in OpenAI's chat completions."""
MAX_REQUEST_ID = 200
"""Characters of a `request_id`: it is repeated in every frame of the answer."""


def _checked(message: dict[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise PydanticCustomError("role", "role must be one of " + ", ".join(sorted(ROLES)))
    content = message.get("content")
    if content is not None and not isinstance(content, (str, list)):
        raise PydanticCustomError("content", "content must be a string, a list of parts, or null")
    if content is None and role != "assistant":
        raise PydanticCustomError("content", "content is missing")
    return message


Message = Annotated[dict[str, Any], AfterValidator(_checked)]
"""One message in the form of OpenAI's chat completions; fields not named here reach the backend unchanged."""


class ChatRequest(Frame):
    """Asks for the model's next message. The server remembers nothing between requests."""

    type: Literal["chat"] = "chat"
    messages: list[Message] = Field(
        min_length=1, description="the whole conversation in OpenAI's form, tool calls and tool results included"
    )
    request_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_REQUEST_ID,
        description="repeated in every frame of the answer; requests with ids may overlap",
    )
    tools: list[dict[str, Any]] | None = Field(
        default=None, description="the tools that the model may call, in OpenAI's form"
    )
    tool_choice: str | dict[str, Any] | None = Field(
        default=None, description="`auto`, `required`, `none`, or the tool to call, in OpenAI's form"
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="whether an answer may contain several tool calls"
    )
    report: bool = Field(
        default=True,
        description="false: the caller reports the conversation to the hub itself",
    )


class CancelRequest(Frame):
    """Stops answering a request; it ends with `complete` and the `finish_reason` `cancelled`, unless it is over."""

    type: Literal["cancel"] = "cancel"
    request_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_REQUEST_ID,
        description="the request to stop; without it, the request without an id that is being answered",
    )


class Delta(Frame):
    """The next piece of the answer's text."""

    type: Literal["delta"] = "delta"
    content: str = Field(description="the new text")
    request_id: str | None = Field(default=None, description="as in the request")


class ToolCall(Frame):
    """A tool that the model calls. The client runs it, and sends its result in the messages of the next request."""

    type: Literal["tool_call"] = "tool_call"
    id: str = Field(description="repeated as `tool_call_id` in the result")
    name: str = Field(description="the tool")
    arguments: str = Field(description="all arguments, as JSON text")
    request_id: str | None = Field(default=None, description="as in the request")


class Usage(Frame):
    """How many tokens a request took."""

    prompt_tokens: int = Field(default=0, ge=0, description="tokens of the messages")
    completion_tokens: int = Field(default=0, ge=0, description="tokens of the answer")
    total_tokens: int = Field(default=0, ge=0, description="both")
    prompt_cached_tokens: int = Field(
        default=0, ge=0, description="of the messages' tokens: read from the provider's cache"
    )


class Complete(Frame):
    """The end of an answer, exactly once."""

    type: Literal["complete"] = "complete"
    content: str = Field(description="the whole text: all deltas, joined")
    request_id: str | None = Field(default=None, description="as in the request")
    usage: Usage | None = Field(default=None, description="tokens, where the backend reports them")
    finish_reason: str | None = Field(
        default=None, description="`stop`, `tool_calls`, `length`, `content_filter`, or `cancelled`"
    )


class LLMError(Error):
    """A request that failed, or a frame that could not be read. The socket stays usable."""

    code: str = Field(default="", description="for programs; a server of your own may leave it out")


CLIENT: dict[str, type[Frame]] = {"chat": ChatRequest, "cancel": CancelRequest}
"""What clients send: type → model."""
SERVER: tuple[type[Frame], ...] = (Delta, ToolCall, Complete, LLMError)
