"""`WebSocketLLM`'s errors: what LiveKit retries, and what it must not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
    llm,
)
from websockets.asyncio.server import ServerConnection

from agent.gateway.llm import BackendError, Piece
from event_hub.livekit.websocket_llm.errors import SocketClosed, of_close, of_frame
from event_hub.websocket_protocols.llm import ChatRequest, LLMError

from ...hubs import free_port
from .asking import RETRYING, chunks, connected, context, text_of
from .servers import Model, SeedServer, connections, run, serving, three_words, until


def test_an_error_frame_leaves_the_socket_usable_and_livekit_retries_as_it_says() -> None:
    """L06, D11: `retryable` decides; after the retry the answer is whole."""

    async def body() -> None:
        failures = [BackendError("Too busy.", code="backend_busy"), BackendError("No.", retryable=False)]

        async def answer(request: ChatRequest) -> AsyncIterator[Piece]:
            if failures:
                raise failures.pop(0)
            async for piece in three_words(request):
                yield piece

        server = Model(answer)
        async with serving(server) as url, connected(url) as model:
            errors: list[Any] = []
            model.on("error", errors.append)
            with pytest.raises(APIStatusError, match="No") as refused:
                await chunks(model, conn_options=RETRYING)
            assert (refused.value.retryable, refused.value.status_code) == (False, 502)
            assert refused.value.body == {"code": "backend_failed"}
            assert [(str(error.error.message), error.recoverable) for error in errors] == [
                ("Too busy.", True),
                ("No.", False),
            ]
            assert text_of(await chunks(model)) == "One two three."
            assert await connections(url) == 1

    run(body)


def test_an_error_of_the_original_protocol_is_retried() -> None:
    """L06, D11: without `code` and `retryable`."""

    async def fail(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "error", "message": "The backend failed"}))

    async def body() -> None:
        seed = SeedServer()
        async with seed.running() as url, connected(url) as model:
            seed.script.append(fail)
            assert text_of(await chunks(model, conn_options=RETRYING)) == "Hello there friend."
            seed.script.append(fail)
            with pytest.raises(APIError, match="The backend failed"):
                await chunks(model)
            assert seed.sockets == 1

    run(body)


@pytest.mark.parametrize("ending", ["close", "abort", "error", "silence"])
def test_what_was_said_is_never_said_again(ending: str) -> None:
    """D11: an answer that breaks off is an error, not a short success, and it is not retried."""

    async def break_off(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "delta", "content": "Take two "}))
        if ending == "close":
            await socket.close()
        elif ending == "abort":
            socket.transport.abort()
        elif ending == "error":
            await socket.send(json.dumps({"type": "error", "message": "Broken", "retryable": True}))
        else:
            await socket.wait_closed()

    async def body() -> None:
        seed = SeedServer()
        seed.script.append(break_off)
        async with seed.running() as url, connected(url, response_timeout=1.0) as model:
            errors: list[Any] = []
            model.on("error", errors.append)
            found: list[llm.ChatChunk] = []
            with pytest.raises(APIError) as failed:
                async with model.chat(chat_ctx=context("hi"), conn_options=RETRYING) as stream:
                    async for chunk in stream:
                        found.append(chunk)
            assert text_of(found) == "Take two "
            assert len(seed.received) == 1
            assert not failed.value.retryable
            assert [error.recoverable for error in errors] == [False]
            assert isinstance(failed.value, APITimeoutError) == (ending == "silence")
            assert text_of(await chunks(model)) == "Hello there friend."

    run(body)


def test_before_the_first_word_everything_transient_is_retried() -> None:
    """D11: the connection closes, is cut, is silent; then the answer comes, once."""

    async def close(socket: ServerConnection) -> None:
        await socket.close(1011)

    async def silent(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async def body() -> None:
        seed = SeedServer()
        seed.script += [close, silent]
        async with seed.running() as url, connected(url, response_timeout=1.0) as model:
            errors: list[Any] = []
            model.on("error", errors.append)
            assert text_of(await chunks(model, conn_options=RETRYING)) == "Hello there friend."
            assert [(type(error.error), error.recoverable) for error in errors] == [
                (APIConnectionError, True),
                (APITimeoutError, True),
            ]

    run(body)


def test_nothing_listens() -> None:
    """D11: APIConnectionError that names the server, after all retries."""

    async def body() -> None:
        port = free_port()
        async with connected(f"ws://user:secret@127.0.0.1:{port}/x?access_token=secret") as model:
            with pytest.raises(APIConnectionError) as failed:
                await chunks(model)
            assert f"127.0.0.1:{port} cannot be reached" in str(failed.value)
            assert "secret" not in str(failed.value)
            with pytest.raises(APIConnectionError, match="after 3 attempts"):
                await chunks(model, conn_options=RETRYING)

    run(body)


def test_a_server_that_accepts_but_does_not_answer_is_a_connect_timeout() -> None:
    """D11: the connect timeout is honoured, whether it comes from the session or from the constructor."""

    async def body() -> None:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with connected(url, connect_timeout=0.1) as model:
                with pytest.raises(APITimeoutError, match="did not accept the connection within 0.1 s"):
                    await chunks(model)
            async with connected(url) as model:
                with pytest.raises(APITimeoutError, match="within 0.2 s"):
                    await chunks(model, conn_options=APIConnectOptions(max_retry=0, timeout=0.2))

    run(body)


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"type": "delta"}', '{"type": "delta", "content": 5}'])
def test_a_server_of_another_protocol_is_an_error_at_once(text: str) -> None:
    """X03: what is not this protocol is not worth a retry."""

    async def body() -> None:
        async def nonsense(socket: ServerConnection) -> None:
            await socket.send(text)

        seed = SeedServer()
        seed.script += [nonsense, nonsense]
        async with seed.running() as url, connected(url) as model:
            with pytest.raises(APIStatusError, match="does not speak the LLM protocol") as failed:
                await chunks(model, conn_options=RETRYING)
            assert not failed.value.retryable
            assert len(seed.received) == 1

    run(body)


@pytest.mark.parametrize(
    ("code", "sent", "kind", "status", "retryable"),
    [
        ("", None, APIStatusError, 502, True),
        ("backend_failed", False, APIStatusError, 502, False),
        ("backend_busy", True, APIStatusError, 429, True),
        ("backend_timeout", None, APITimeoutError, None, True),
        ("not_configured", None, APIStatusError, 502, False),
        ("too_many_requests", True, APIStatusError, 429, True),
        ("bad_frame", True, APIStatusError, 400, False),
        ("frame_too_large", None, APIStatusError, 413, False),
        ("unauthorized", None, APIStatusError, 401, False),
    ],
)
def test_which_error_a_code_becomes(
    code: str, sent: bool | None, kind: type[APIError], status: int | None, retryable: bool
) -> None:
    """L06, D11: what fails again is not tried again, whatever the server says."""
    error = of_frame(LLMError(message="It failed.", code=code, retryable=sent, error=None, request_id="r1"))
    assert type(error) is kind
    assert (getattr(error, "status_code", None), error.retryable, error.message) == (status, retryable, "It failed.")


def test_which_error_a_close_code_becomes() -> None:
    """L23, D11: an error that the server sent before it closed says more than the code."""
    for code, status in ((4401, 401), (4403, 403), (4404, 404), (1009, 413), (1008, 403)):
        refused = of_close(SocketClosed(code, "x"), "host")
        assert isinstance(refused, APIStatusError)
        assert (refused.status_code, refused.retryable) == (status, False)
    for code in (None, 1000, 1001, 1006, 1011, 4408):
        lost = of_close(SocketClosed(code), "host")
        assert type(lost) is APIConnectionError
        assert lost.retryable
    told = LLMError(message="Set a key.", code="not_configured", error=None, retryable=None, request_id=None)
    assert of_close(SocketClosed(1011, "", told), "host").message == "Set a key."


def test_what_the_server_says_while_nothing_is_asked_fails_nothing() -> None:
    """L22: `idle` and `too_fast` are information; the next request uses another socket."""

    async def idle(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "error", "message": "Slowly.", "code": "too_fast"}))
        await socket.send(json.dumps({"type": "delta", "content": "Fine."}))
        await socket.send(json.dumps({"type": "complete", "content": "Fine."}))
        await socket.send(json.dumps({"type": "error", "message": "Idle.", "code": "idle"}))
        await socket.close(4408, "idle")

    async def body() -> None:
        seed = SeedServer()
        seed.script.append(idle)
        async with seed.running() as url, connected(url) as model:
            assert text_of(await chunks(model)) == "Fine."
            await until(lambda: not seed.open)
            assert text_of(await chunks(model)) == "Hello there friend."
            assert seed.sockets == 2

    run(body)
