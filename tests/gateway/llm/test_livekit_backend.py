"""Any LiveKit LLM as the backend of `/llm`: a whole round trip, from an AgentSession's WebSocketLLM and back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError, llm

from agent.gateway.endpoints import LLM_ENDPOINTS
from agent.gateway.llm import BackendError, Finish, LLMServer
from agent.gateway.llm.livekit_backend import LiveKitBackend, _failure
from agent.gateway.parts import Parts
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings
from agent.local.answers import answer
from agent.scripted.llm import Reply, ScriptedLLM
from event_hub.providers import Choice, Providers
from event_hub.websocket_protocols.llm import ChatRequest, ToolCall

from .asking import chunks, connected, text_of
from .servers import run, serving
from .test_endpoint import WEATHER_TOOL
from .test_sessions import Clerk, text_session


async def pieces(backend: LiveKitBackend, request: ChatRequest) -> list[Any]:
    return [piece async for piece in backend.stream(request)]


def test_a_session_through_two_livekit_llms() -> None:
    """L20, L21: the context arrives at the second LLM as the first had it."""

    async def body() -> None:
        inner = ScriptedLLM(answer, speed=50)
        async with serving(LLMServer(LiveKitBackend(inner))) as url, connected(url) as model:
            clerk = Clerk()
            async with text_session(model) as session:
                await session.start(clerk)
                result = await session.run(user_input="What is the weather in Oslo?")
                assert clerk.asked == ["Oslo"]
                assert result.events[-1].item.text_content == "The weather in Oslo is snow, -3 degrees."  # type: ignore[union-attr]

    run(body)


def test_messages_and_tools_become_livekits() -> None:
    seen: list[llm.ChatContext] = []

    def remember(chat_ctx: llm.ChatContext) -> Reply:
        seen.append(chat_ctx)
        return Reply("One moment.", tool="lookup_weather", arguments={"location": "Oslo"})

    async def body() -> None:
        function = {"name": "lookup_weather", "arguments": '{"location": "Oslo"}'}
        parts = [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
        ]
        request = ChatRequest(
            messages=[
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": parts},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "function", "function": function}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "snow"},
            ],
            tools=[WEATHER_TOOL],
            tool_choice="auto",
        )
        backend = LiveKitBackend(ScriptedLLM(remember, speed=50))
        assert backend.name == "event-hub/scripted"
        call, *words, end = await pieces(backend, request)
        assert isinstance(call, ToolCall)
        assert (call.name, json.loads(call.arguments)) == ("lookup_weather", {"location": "Oslo"})
        assert "".join(words) == "One moment."
        assert isinstance(end, Finish)
        assert end.reason == "tool_calls"
        assert end.usage is not None
        assert end.usage.total_tokens > 0
        assert seen[0].to_provider_format("openai")[0] == [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [parts[1] | {"image_url": {"url": "https://example.org/x.png", "detail": "auto"}}, parts[0]]},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "c1", "content": "snow"},
        ]  # fmt: skip
        with pytest.raises(BackendError, match="needs the type function"):
            await pieces(backend, request.model_copy(update={"tools": [{"type": "web_search"}]}))

    run(body)


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (APITimeoutError(), "backend_timeout", True),
        (APIConnectionError(), "backend_failed", True),
        (APIStatusError("key sk-1 is wrong", status_code=401), "backend_refused", False),
        (APIStatusError("x", status_code=429), "backend_busy", True),
        (APIStatusError("x", status_code=500), "backend_failed", True),
    ],
)
def test_what_the_provider_refuses(error: APIError, code: str, retryable: bool) -> None:
    """L06: without the provider's own words."""
    failure = _failure("google/gemini", error)
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "sk-1" not in failure.sentence


def test_a_failing_model_is_asked_once() -> None:
    """L06: the client retries, not the server."""

    async def body() -> None:
        backend = LiveKitBackend(ScriptedLLM(lambda _: Reply("x", failures=9), speed=50))
        request = ChatRequest(messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(BackendError, match="has failed"):
            await asyncio.wait_for(pieces(backend, request), 30)

    run(body)


def test_the_gateway_asks_the_plugin_that_the_settings_choose() -> None:
    """AGENT_LLM=google, for example: one model for all connections, closed with the gateway."""
    closed: list[str] = []

    class Plugin(ScriptedLLM):
        async def aclose(self) -> None:
            closed.append("aclose")

    async def body() -> None:
        parts = Parts(Providers(llm=Choice("google", "gemini-2.5-flash")))
        parts._made["llm"] = Plugin(answer, speed=50)
        gateway = Gateway(GatewaySettings(host="127.0.0.1", port=0), parts=parts, endpoints=LLM_ENDPOINTS, routes=())
        await gateway.start()
        try:
            url = f"ws://127.0.0.1:{gateway.port}/llm"
            async with connected(url) as first, connected(url) as second:
                texts = await asyncio.gather(chunks(first, "hello"), chunks(second, "hello"))
            assert {text_of(found) for found in texts} == {"Hello. How can I help you?"}
            assert gateway.state["llm"].backend.name == "event-hub/scripted"
        finally:
            await gateway.stop()
        assert closed == ["aclose"]

    run(body)
