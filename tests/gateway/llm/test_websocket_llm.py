"""`WebSocketLLM` against our server and against a server that does only what the original protocol says: what is sent, and
what comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.agents import (
    function_tool,
    llm,
)
from websockets.asyncio.server import ServerConnection

from agent.gateway.llm import Finish, Piece
from event_hub.livekit import WebSocketLLM
from event_hub.websocket_protocols.llm import ChatRequest, ToolCall, Usage

from .asking import ONCE, chunks, connected, context, text_of
from .servers import Model, SeedServer, run, serving, three_words


@function_tool
async def lookup_weather(location: str, days: int = 1) -> str:
    """Look up the weather.

    Args:
        location: The city.
    """
    return f"sunny in {location} for {days}"


def test_one_chunk_per_delta_in_order_then_the_usage() -> None:
    """L09, L10: ids are the request's; roles are set; the usage comes last and with LiveKit's metrics."""

    async def answer(_request: ChatRequest) -> AsyncIterator[Piece]:
        for number in range(50):
            yield f"{number} "
        yield Finish("stop", Usage(prompt_tokens=7, completion_tokens=50, total_tokens=57, prompt_cached_tokens=3))

    async def body() -> None:
        async with serving(Model(answer)) as url, connected(url) as model:
            metrics: list[Any] = []
            model.on("metrics_collected", metrics.append)
            found = await chunks(model)
            assert [chunk.delta.content for chunk in found[:-1] if chunk.delta] == [f"{n} " for n in range(50)]
            assert all(chunk.delta.role == "assistant" for chunk in found[:-1] if chunk.delta)
            assert len({chunk.id for chunk in found}) == 1
            usage = found[-1].usage
            assert usage is not None
            assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 50, 57)
            assert usage.prompt_cached_tokens == 3
            assert (metrics[0].completion_tokens, metrics[0].ttft >= 0, metrics[0].cancelled) == (50, True, False)
            assert model.provider == url.removeprefix("ws://")

    run(body)


def test_the_whole_conversation_and_the_tools_are_sent() -> None:
    """L20: in OpenAI's form, tool calls and results included; without tools no choice of tools; not to be reported."""

    async def body() -> None:
        server = Model(three_words)
        async with serving(server) as url, connected(url) as model:
            chat_ctx = context("What is the weather?")
            chat_ctx.items.insert(0, llm.ChatMessage(role="system", content=["Be kind."]))
            call = llm.FunctionCall(call_id="c1", name="lookup_weather", arguments='{"location": "Oslo"}')
            chat_ctx.insert(call)
            chat_ctx.insert(llm.FunctionCallOutput(call_id="c1", name="lookup_weather", output="snow", is_error=False))
            choice: Any = {"type": "function", "function": {"name": "lookup_weather"}}
            await chunks(
                model, chat_ctx=chat_ctx, tools=[lookup_weather], tool_choice=choice, parallel_tool_calls=False
            )
            await chunks(model, tool_choice="required", parallel_tool_calls=True)
        first, second = server.requests
        assert [message["role"] for message in first.messages] == ["system", "user", "assistant", "tool"]
        assert first.messages[2]["tool_calls"][0]["function"]["name"] == "lookup_weather"
        assert first.messages[3]["tool_call_id"] == "c1"
        assert first.tools is not None
        function = first.tools[0]["function"]
        assert function["name"] == "lookup_weather"
        assert set(function["parameters"]["properties"]) == {"location", "days"}
        assert (first.tool_choice, first.parallel_tool_calls, first.report) == (choice, False, False)
        assert (second.tools, second.tool_choice, second.parallel_tool_calls) == (None, None, None)
        assert first.request_id != second.request_id

    run(body)


def test_tool_calls_arrive_complete_and_several_at_once() -> None:
    """L21: text before the calls stays before them; arguments are not touched."""

    async def answer(_request: ChatRequest) -> AsyncIterator[Piece]:
        yield "Let me look."
        yield ToolCall(id="c1", name="lookup_weather", arguments='{"location": "Zürich – ☃"}')
        yield ToolCall(id="c2", name="lookup_weather", arguments='{"location": "Paris"}')

    async def body() -> None:
        async with serving(Model(answer)) as url, connected(url) as model:
            found = await chunks(model, tools=[lookup_weather])
            assert text_of(found[:1]) == "Let me look."
            calls = [call for chunk in found if chunk.delta for call in chunk.delta.tool_calls]
            assert [(call.call_id, call.name) for call in calls] == [("c1", "lookup_weather"), ("c2", "lookup_weather")]
            assert json.loads(calls[0].arguments) == {"location": "Zürich – ☃"}
            collected = await model.chat(chat_ctx=context("hi"), tools=[lookup_weather], conn_options=ONCE).collect()
            assert (collected.text, len(collected.tool_calls)) == ("Let me look.", 2)

    run(body)


def test_a_server_of_the_original_protocol_is_enough() -> None:
    """L10: no request ids, no tools, no usage; one socket serves request after request."""

    async def body() -> None:
        seed = SeedServer()
        async with seed.running() as url, connected(url) as model:
            for _ in range(5):
                found = await chunks(model, "What are symptoms of a cold?", tools=[lookup_weather])
                assert text_of(found) == "Hello there friend."
                assert len(found) == 3
            assert seed.sockets == 1
            assert seed.received[0]["type"] == "chat"
            assert seed.received[0]["messages"] == [{"role": "user", "content": "What are symptoms of a cold?"}]

    run(body)


def test_a_server_that_does_not_stream_is_understood() -> None:
    """L10: `complete` alone has the whole text."""

    async def at_once(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "complete", "content": "All at once."}))

    async def body() -> None:
        seed = SeedServer()
        seed.script.append(at_once)
        async with seed.running() as url, connected(url) as model:
            assert text_of(await chunks(model)) == "All at once."

    run(body)


def test_unknown_frames_are_ignored() -> None:
    """A newer server may send more than this client knows: `ready` at the start, for example."""

    async def more(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "thinking", "content": "hm"}))
        await socket.send(b"\x00")
        await socket.send(json.dumps({"type": "delta", "content": "Fine.", "mood": "good"}))
        await socket.send(json.dumps({"type": "complete", "content": "Fine."}))

    async def body() -> None:
        seed = SeedServer()
        seed.script.append(more)
        async with seed.running() as url, connected(url) as model:
            assert text_of(await chunks(model)) == "Fine."

    run(body)


@pytest.mark.parametrize("url", ["", "localhost:8765", "ftp://x", "ws://", "ws://x:port", "ws://x:99999999"])
def test_a_wrong_address_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="ws_url must be"):
        WebSocketLLM(ws_url=url)
    with pytest.raises(ValueError, match="pool_size"):
        WebSocketLLM(ws_url="ws://localhost", pool_size=0)
