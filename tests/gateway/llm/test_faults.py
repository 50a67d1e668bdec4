"""`WebSocketLLM` and a server in its own process that is killed, frozen, or refuses the token."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, APITimeoutError

from ...hubs import free_port
from .asking import ONCE, RETRYING, chunks, connected, context, text_of
from .servers import run
from .test_example_server import start

LONG = "Tell me a long story."


def test_a_server_killed_in_mid_answer_is_an_error_and_its_successor_is_used(tmp_path: Path) -> None:
    """D11: kill -9 while it speaks: an error, never a short success; the next request finds the new server by itself."""
    port = free_port()

    async def body() -> None:
        async with connected(f"ws://127.0.0.1:{port}") as model:
            errors: list[Any] = []
            model.on("error", errors.append)
            with start(tmp_path / "first", GATEWAY_PORT=str(port)) as server:
                await asyncio.to_thread(server.ready)
                stream = model.chat(chat_ctx=context(LONG), conn_options=RETRYING)
                await anext(stream)
                os.kill(server.process.pid, signal.SIGKILL)
                with pytest.raises(APIConnectionError, match="before the answer was complete"):
                    async for _ in stream:
                        pass
                await stream.aclose()
                assert [error.recoverable for error in errors] == [False]
            with start(tmp_path / "second", GATEWAY_PORT=str(port)) as server:
                await asyncio.to_thread(server.ready)
                assert text_of(await chunks(model, "hello")) == "Hello. How can I help you?"

    run(body)


def test_a_frozen_server_is_a_timeout_and_its_sockets_are_not_used_again(tmp_path: Path) -> None:
    """D11: stopped with SIGSTOP, as a swapping machine looks from outside. Once it runs again, so does the client."""
    with start(tmp_path) as server:
        server.ready()

        async def body() -> None:
            limit = APIConnectOptions(max_retry=0, timeout=1.0)
            async with connected(f"ws://127.0.0.1:{server.port}") as model:
                stream = model.chat(chat_ctx=context(LONG), conn_options=APIConnectOptions(max_retry=2, timeout=1.0))
                await anext(stream)
                os.kill(server.process.pid, signal.SIGSTOP)
                with pytest.raises(APITimeoutError, match="sent nothing for 1 s") as failed:
                    async for _ in stream:
                        pass
                assert not failed.value.retryable  # the story would begin again
                with pytest.raises(APITimeoutError):
                    await chunks(model, "hello", conn_options=limit)
                os.kill(server.process.pid, signal.SIGCONT)
                assert text_of(await chunks(model, "hello", conn_options=ONCE)) == "Hello. How can I help you?"
                await stream.aclose()

        run(body)


def test_a_wrong_token_is_not_retried(tmp_path: Path) -> None:
    """L23: 401, once; the right token is accepted."""
    with start(tmp_path, GATEWAY_TOKEN="sesame") as server:
        server.ready()
        url = f"ws://127.0.0.1:{server.port}"

        async def body() -> None:
            for token in (None, "wrong"):
                async with connected(url, token=token) as model:
                    errors: list[Any] = []
                    model.on("error", errors.append)
                    with pytest.raises(APIStatusError) as refused:
                        await chunks(model, "hello", conn_options=RETRYING)
                    assert (refused.value.status_code, refused.value.retryable) == (401, False)
                    assert len(errors) == 1
            async with connected(url, token="sesame") as model:
                assert text_of(await chunks(model, "hello")) == "Hello. How can I help you?"

        run(body)


@pytest.mark.parametrize(("status", "retryable"), [(401, False), (403, False), (503, True), (200, False)])
def test_a_refusal_before_the_upgrade(status: int, retryable: bool) -> None:
    """L23, D11: by a proxy in front of the server, for example."""

    async def body() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            writer.close()

        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with connected(url) as model:
                with pytest.raises(APIStatusError) as refused:
                    await chunks(model)
                assert (refused.value.status_code, refused.value.retryable) == (status, retryable)

    run(body)
