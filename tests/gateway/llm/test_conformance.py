"""What LiveKit expects of every LLM, checked of `WebSocketLLM`: the subjects of the tests of LiveKit's own plugins (chat,
consecutive messages, function calls of every shape, choice of tools, images, cancellation, fallback). The model behind the
real server is a script, so the checks are about what reaches it and what comes back."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, ToolError, function_tool, llm

from agent.gateway.llm import LLMServer, Piece
from agent.gateway.llm.scripted import ScriptedBackend
from event_hub.livekit import WebSocketLLM
from event_hub.websocket_protocols.llm import ChatRequest, ToolCall

from ...hubs import free_port
from .asking import ONCE, chunks, connected, context, text_of
from .servers import Generate, Model, run, serving, until


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@function_tool
async def get_weather(location: str, unit: Unit = Unit.CELSIUS) -> str:
    """Get the weather.

    Args:
        location: The city.
        unit: The unit of the temperature.
    """
    return f"{location}: 20 {unit.value}"


@function_tool
async def select_currencies(currencies: list[str]) -> str:
    """Select currencies.

    Args:
        currencies: Codes.
    """
    return ",".join(currencies)


@function_tool
async def set_volume(volume: Literal[0, 11, 30]) -> str:
    """Set the volume.

    Args:
        volume: The volume.
    """
    return str(volume)


@function_tool
async def update_user(name: str | None = None, email: str | None = None) -> str:
    """Update the user.

    Args:
        name: The name.
        email: The address.
    """
    return f"{name} {email}"


@function_tool
async def fails() -> str:
    """Fail."""
    raise ToolError("It cannot be done.")


def says(*pieces: Piece) -> Generate:
    async def generate(_request: ChatRequest) -> AsyncIterator[Piece]:
        for piece in pieces:
            yield piece

    return generate


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(id=f"call_{name}", name=name, arguments=json.dumps(arguments))


def test_text_chat_and_consecutive_messages_of_one_role() -> None:
    async def body() -> None:
        server = Model(says("Sure."))
        async with serving(server) as url, connected(url) as model:
            chat_ctx = llm.ChatContext.empty()
            for role, text in (
                ("system", "You sell burgers."),
                ("assistant", "Hello."),
                ("assistant", "Busy day?"),
                ("user", "I need help."),
                ("user", "Cancel my order."),
            ):
                chat_ctx.add_message(role=role, content=text)  # type: ignore[arg-type]
            assert text_of(await chunks(model, chat_ctx=chat_ctx)) == "Sure."
            sent = server.requests[0].messages
            assert [m["content"] for m in sent] == [
                "You sell burgers.",
                "Hello.",
                "Busy day?",
                "I need help.",
                "Cancel my order.",
            ]
            assert text_of(await chunks(model, chat_ctx=_greeting())) == "Sure."

    run(body)


def _greeting() -> llm.ChatContext:
    """A session's first request: instructions, and no user yet."""
    chat_ctx = llm.ChatContext.empty()
    chat_ctx.add_message(role="system", content="Greet the user.")
    return chat_ctx


@pytest.mark.parametrize(
    ("calls", "outputs"),
    [
        ([call("get_weather", location="Paris"), call("get_weather", location="Oslo", unit="fahrenheit")],
         ["Paris: 20 celsius", "Oslo: 20 fahrenheit"]),
        ([call("select_currencies", currencies=["eur", "gbp", "sek"])], ["eur,gbp,sek"]),
        ([call("set_volume", volume=30)], ["30"]),
        ([call("update_user", name="Theo")], ["Theo None"]),
        ([call("fails")], ["It cannot be done."]),
        ([ToolCall(id="c", name="get_weather", arguments="{not json")], [None]),
    ],
)  # fmt: skip
def test_function_calls_of_every_shape_are_executed(calls: list[ToolCall], outputs: list[str | None]) -> None:
    """Schemas reach the model, calls come back complete, and LiveKit can run them, also those that fail."""
    tools = [get_weather, select_currencies, set_volume, update_user, fails]

    async def body() -> None:
        server = Model(says(*calls))
        async with serving(server) as url, connected(url) as model:
            response = await model.chat(chat_ctx=context("Go."), tools=list(tools), conn_options=ONCE).collect()
            sent = server.requests[0].tools
            assert sent == llm.ToolContext(list(tools)).parse_function_tools("openai", strict=False)
            results = []
            for found in response.tool_calls:
                done = await llm.execute_function_call(found, llm.ToolContext(list(tools)))
                assert done.fnc_call_out is not None
                results.append(done.fnc_call_out)
            for result, output in zip(results, outputs, strict=True):
                assert result.is_error if output is None else result.output == output
            chat_ctx = context("Go.")
            for found, result in zip(response.tool_calls, results, strict=True):
                chat_ctx.insert(
                    llm.FunctionCall(call_id=found.call_id, name=found.name, arguments=found.arguments or "{}")
                )
                chat_ctx.insert(result)
            await chunks(model, chat_ctx=chat_ctx, tools=list(tools))
            assert server.requests[1].messages[-1]["role"] == "tool"

    run(body)


@pytest.mark.parametrize(
    "choice", ["auto", "required", "none", {"type": "function", "function": {"name": "get_weather"}}], ids=str
)
def test_the_choice_of_tools_reaches_the_model(choice: Any) -> None:
    async def body() -> None:
        server = Model(says("Fine."))
        async with serving(server) as url, connected(url) as model:
            await chunks(model, tools=[get_weather], tool_choice=choice, parallel_tool_calls=True)
            assert (server.requests[0].tool_choice, server.requests[0].parallel_tool_calls) == (choice, True)

    run(body)


def test_images_are_sent_in_openais_form() -> None:
    async def body() -> None:
        server = Model(says("A heart."))
        async with serving(server) as url, connected(url) as model:
            frame = rtc.VideoFrame(64, 64, rtc.VideoBufferType.RGBA, bytes(64 * 64 * 4))
            chat_ctx = llm.ChatContext.empty()
            pictures = [llm.ImageContent(image=frame), llm.ImageContent(image="https://example.org/heart.png")]
            chat_ctx.add_message(role="user", content=["What is this?", *pictures])
            assert text_of(await chunks(model, chat_ctx=chat_ctx)) == "A heart."
            parts = server.requests[0].messages[0]["content"]
            assert [part["type"] for part in parts].count("image_url") == 2
            assert any(part.get("image_url", {}).get("url", "").startswith("data:image/") for part in parts)

    run(body)


def test_closing_a_stream_twice_or_unread_and_the_model_before_its_streams() -> None:
    async def body() -> None:
        async def slow(_request: ChatRequest) -> AsyncIterator[Piece]:
            for _ in range(1000):
                yield "word "
                await asyncio.sleep(0.01)

        server = Model(slow)
        async with serving(server) as url:
            model = WebSocketLLM(ws_url=url)
            unread = model.chat(chat_ctx=context("hi"), conn_options=ONCE)
            await until(lambda: server.requests)
            await unread.aclose()
            await unread.aclose()
            open_stream = model.chat(chat_ctx=context("hi"), conn_options=ONCE)
            await anext(open_stream)
            await model.aclose()
            with pytest.raises(Exception, match="before the answer was complete"):
                async for _ in open_stream:
                    pass
            await open_stream.aclose()
            await model.aclose()
            await until(lambda: server.ended == len(server.requests))

    run(body)


def test_livekits_fallback_moves_to_another_model() -> None:
    """FallbackAdapter needs errors that are APIErrors, and a recovery check that closes its stream."""

    async def body() -> None:
        async with (
            serving(LLMServer(ScriptedBackend(speed=50))) as url,
            connected(url) as good,
            connected(f"ws://127.0.0.1:{free_port()}") as dead,
        ):
            adapter = llm.FallbackAdapter([dead, good], attempt_timeout=5, max_retry_per_llm=0)
            stream = adapter.chat(chat_ctx=context("hello"), conn_options=APIConnectOptions(max_retry=0, timeout=5))
            collected = await stream.collect()
            assert collected.text == "Hello. How can I help you?"
            await adapter.aclose()

    run(body)


def test_metadata() -> None:
    model = WebSocketLLM(ws_url="wss://user:secret@llm.example.org/llm?access_token=secret")
    assert (model.model, model.provider) == ("websocket", "llm.example.org")
    assert "secret" not in model.label
