"""The OpenAI backend against the stand-in, over OpenAI's wire protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agent.failure import Failure
from agent.gateway.llm import Backend, BackendError, Finish
from agent.gateway.llm.choose import backend_of, choice_of
from agent.gateway.llm.openai_backend import OpenAIBackend, _Calls
from event_hub.websocket_protocols.llm import ChatRequest, ToolCall

from ...livekit.openai_standin import Standin, Trouble
from ..conftest import outliving
from .servers import run
from .test_endpoint import WEATHER_TOOL

PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def openai() -> Iterator[Standin]:
    with outliving() as keep, Standin() as standin:
        keep()
        yield standin


def request(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": text}], **fields)


async def answer(backend: Backend, asked: ChatRequest) -> list[Any]:
    return [piece async for piece in backend.stream(asked)]


def backend_at(openai: Standin, **environ: str) -> Backend:
    settings = {"OPENAI_BASE_URL": openai.base_url, **environ}
    return backend_of(choice_of(settings), settings)


def test_text_is_streamed_with_its_usage(openai: Standin) -> None:
    """L04, L20: gpt-4o-mini by default, another by AGENT_LLM; nothing is sent that was not asked for."""

    async def body() -> None:
        backend = backend_at(openai)
        *texts, end = await answer(backend, request("Hello there", tool_choice="auto", parallel_tool_calls=True))
        assert "".join(texts) == "I have heard you say: Hello there"
        assert len(texts) == 7
        assert (end.reason, end.usage.completion_tokens, end.usage.prompt_tokens) == ("stop", 7, 2)
        assert (backend.name, openai.asked(PATH)[-1].body["model"]) == ("openai/gpt-4o-mini", "gpt-4o-mini")
        assert set(openai.asked(PATH)[-1].body) == {"model", "messages", "stream", "stream_options"}
        other = backend_at(openai, AGENT_LLM="openai/gpt-4.1")
        await answer(other, request("Hello"))
        assert openai.asked(PATH)[-1].body["model"] == "gpt-4.1"
        await backend.aclose()
        await other.aclose()

    run(body)


def test_a_tool_call_in_pieces_arrives_whole(openai: Standin) -> None:
    """L20: and its result is sent back as the client wrote it."""

    async def body() -> None:
        backend = backend_at(openai)
        call, end = await answer(
            backend,
            request(
                "What is the weather in Oslo?", tools=[WEATHER_TOOL], tool_choice="auto", parallel_tool_calls=False
            ),
        )
        assert isinstance(call, ToolCall)
        assert (call.name, call.arguments) == ("lookup_weather", '{"location": "Oslo"}')
        assert isinstance(end, Finish)
        assert end.reason == "tool_calls"
        sent = openai.asked(PATH)[-1].body
        assert (sent["tools"], sent["tool_choice"], sent["parallel_tool_calls"]) == ([WEATHER_TOOL], "auto", False)
        function = {"name": call.name, "arguments": call.arguments}
        messages = [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": call.id, "content": "snow"},
        ]
        *texts, _ = await answer(backend, ChatRequest(messages=messages, tools=[WEATHER_TOOL]))
        assert "".join(texts) == "I have looked it up. snow"
        assert openai.asked(PATH)[-1].body["messages"] == messages
        await backend.aclose()

    run(body)


@pytest.mark.parametrize(
    ("status", "code", "retryable", "sentence"),
    [
        (401, "backend_refused", False, "check OPENAI_API_KEY"),
        (400, "backend_refused", False, "HTTP 400"),
        (429, "backend_busy", True, "try again later"),
        (500, "backend_failed", True, "HTTP 500"),
    ],
)
def test_what_openai_refuses(openai: Standin, status: int, code: str, retryable: bool, sentence: str) -> None:
    """L06: one request, no retry of its own; the sentence does not quote what OpenAI wrote."""

    async def body() -> None:
        backend = backend_at(openai)
        openai.troubles[PATH] = Trouble(status=status)
        before = len(openai.asked(PATH))
        with pytest.raises(BackendError) as failed:
            await answer(backend, request("Hello"))
        assert (failed.value.code, failed.value.retryable) == (code, retryable)
        assert sentence in failed.value.sentence
        assert "stand-in" not in failed.value.sentence
        assert len(openai.asked(PATH)) == before + 1
        await backend.aclose()

    run(body)


def test_an_openai_that_is_not_there_is_silent_or_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """L06, D11: a short answer is not a success."""
    import openai as package

    from agent.gateway.llm import openai_backend

    monkeypatch.setattr(openai_backend, "SILENCE", package.Timeout(0.2))

    async def body() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        event = b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
        sent, hold = b"", asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            await writer.drain()
            if sent.endswith(event + b"\r\n"):
                await hold.wait()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            chunk = b"%x\r\n%s\r\n" % (len(event), event)
            for sent, code in (
                (head + chunk, "backend_timeout"),
                (head + chunk + b"5\r\nxx", "backend_failed"),
                (head + chunk + b"0\r\n\r\n", "backend_failed"),
                (b"", "backend_failed"),
            ):
                backend = OpenAIBackend(base_url=url, api_key="x")
                pieces = []
                with pytest.raises(BackendError) as failed:
                    async for piece in backend.stream(request("Hello")):
                        pieces.append(piece)
                assert (failed.value.code, failed.value.retryable) == (code, True)
                assert pieces == (["Hi"] if sent else [])
                await backend.aclose()
            hold.set()
        backend = OpenAIBackend(base_url=url, api_key="x")
        with pytest.raises(BackendError, match="cannot be used"):
            await answer(backend, request("Hello"))
        await backend.aclose()

    run(body)


def test_interleaved_tool_calls_are_put_together() -> None:
    """L20: by index; servers that number all calls 0 are told apart by the ids."""
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction

    def piece(index: int, id: str | None, name: str | None, arguments: str) -> ChoiceDeltaToolCall:
        return ChoiceDeltaToolCall(
            index=index, id=id, function=ChoiceDeltaToolCallFunction(name=name, arguments=arguments)
        )

    calls = _Calls()
    for part in (
        piece(0, "a", "one", '{"x"'),
        piece(1, "b", "two", ""),
        piece(0, None, None, ": 1}"),
        piece(1, None, None, '{"y": 2}'),
    ):
        calls.add(part)
    assert [(call.id, call.name, call.arguments) for call in calls.complete()] == [
        ("a", "one", '{"x": 1}'),
        ("b", "two", '{"y": 2}'),
    ]
    same = _Calls()
    same.add(piece(0, "a", "one", "{}"))
    same.add(piece(0, "b", "two", ""))
    assert [(call.id, call.arguments) for call in same.complete()] == [("a", "{}"), ("b", "{}")]


def test_the_choice_of_a_backend() -> None:
    """L18, W03: without a key the script answers; a key that is missing is named."""
    assert backend_of(choice_of({}), {}).name == "scripted"
    with pytest.raises(Failure, match="OPENAI_API_KEY is not set"):
        backend_of(choice_of({"AGENT_LLM": "openai"}), {})
    with pytest.raises(Failure, match="AGENT_LLM=google/gemini: this server has openai and scripted"):
        backend_of(choice_of({"AGENT_LLM": "google/gemini"}), {})
    with pytest.raises(Failure, match="AGENT_LLM=none"):
        backend_of(choice_of({"AGENT_LLM": "none"}), {})
    with pytest.raises(Failure, match="do you mean openai"):
        choice_of({"AGENT_LLM": "openia"})
