"""`WebSocketLLM`'s connections: used again, replaced, cancelled, bounded."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest
from livekit.agents import (
    APIConnectionError,
    APITimeoutError,
    utils,
)
from websockets.asyncio.server import ServerConnection

from agent.gateway.llm import Piece
from event_hub.livekit import WebSocketLLM
from event_hub.websocket_protocols.llm import ChatRequest

from ...hubs import free_port
from .asking import ONCE, chunks, connected, context, text_of
from .servers import Model, SeedServer, connections, for_ever, run, serving, three_words, until


def test_interrupting_a_server_that_knows_no_cancel_costs_the_socket() -> None:
    """L22: its late deltas cannot be told from the next answer's, so the next request gets another socket."""

    async def endless(socket: ServerConnection) -> None:
        while True:
            await socket.send(json.dumps({"type": "delta", "content": "late "}))
            await asyncio.sleep(0.005)

    async def body() -> None:
        seed = SeedServer()
        seed.script.append(endless)
        async with seed.running() as url, connected(url) as model:
            stream = model.chat(chat_ctx=context("hi"), conn_options=ONCE)
            await anext(stream)
            await stream.aclose()
            assert text_of(await chunks(model)) == "Hello there friend."
            assert seed.sockets == 2
            assert {frame["type"] for frame in seed.received} == {"chat"}

    run(body)


def test_sequential_requests_share_a_socket_and_parallel_ones_the_pool() -> None:
    """L22: twenty requests in turn use one socket; twenty at once at most `pool_size`."""

    async def slowly(_request: ChatRequest) -> AsyncIterator[Piece]:
        yield "a"
        await asyncio.sleep(0.02)
        yield "b"

    async def body() -> None:
        seed = SeedServer()
        async with seed.running() as url, connected(url, pool_size=3) as model:
            for _ in range(20):
                await chunks(model)
            assert seed.sockets == 1
        most = 0
        async with serving(Model(slowly)) as url, connected(url, pool_size=3) as model:
            asking = asyncio.gather(*(chunks(model) for _ in range(20)))
            while not asking.done():
                most = max(most, await connections(url))
            assert {text_of(found) for found in asking.result()} == {"ab"}
        assert 1 <= most <= 3

    run(body)


def test_a_full_pool_is_a_timeout_that_names_the_setting() -> None:
    """L22: a request does not wait for ever for a socket."""

    async def body() -> None:
        async with (
            serving(Model(for_ever)) as url,
            connected(url, pool_size=1, connect_timeout=1.0) as model,
            model.chat(chat_ctx=context("hi"), conn_options=ONCE) as busy,
        ):
            await anext(busy)
            with pytest.raises(APITimeoutError, match="set a larger pool_size"):
                await chunks(model)

    run(body)


def test_a_socket_that_died_while_idle_is_replaced_without_an_error() -> None:
    """L22: also if the server has been restarted; LiveKit sees neither an error nor a retry."""

    async def body() -> None:
        seed, errors = SeedServer(), []
        port = free_port()
        model = WebSocketLLM(ws_url=f"ws://127.0.0.1:{port}")
        model.on("error", errors.append)
        for _ in range(2):
            async with seed.running(port=port):
                assert text_of(await chunks(model)) == "Hello there friend."
        assert (seed.sockets, errors) == (2, [])
        await model.aclose()

    run(body)


def test_a_request_that_meets_a_dying_socket_is_asked_again_on_a_new_one() -> None:
    """L22: the server closes as the request arrives, before it has sent anything of the answer."""

    async def close(socket: ServerConnection) -> None:
        await socket.close()

    async def body() -> None:
        seed, errors = SeedServer(), []
        async with seed.running() as url, connected(url) as model:
            model.on("error", errors.append)
            await chunks(model)
            seed.script.append(close)
            assert text_of(await chunks(model)) == "Hello there friend."
            assert (seed.sockets, errors, len(seed.received)) == (2, [], 3)
            seed.script += [close, close]
            with pytest.raises(APIConnectionError, match="before the answer was complete"):
                await chunks(model)

    run(body)


def test_cancel_keeps_the_socket_and_late_frames_are_ignored() -> None:
    """L22: an interruption sends `cancel`; the backend stops; the next answer comes over the same socket, unmixed."""

    async def body() -> None:
        server = Model(for_ever)
        async with serving(server) as url, connected(url, pool_size=1) as model:
            for number in range(1, 4):
                stream = model.chat(chat_ctx=context("hi"), conn_options=ONCE)
                await anext(stream)
                await stream.aclose()
                await until(lambda number=number: server.ended == number)  # type: ignore[misc]
            server.generate = three_words
            found = await chunks(model)
            assert text_of(found) == "One two three."
            assert await connections(url) == 1
            assert len({request.request_id for request in server.requests}) == 4

    run(body)


def test_a_stream_closed_before_its_request_was_sent_leaves_nothing_behind() -> None:
    """L22: cancelled while it connects, while it waits for a socket, and before anything was received."""

    async def body() -> None:
        server = Model(for_ever)
        async with serving(server) as url, connected(url, pool_size=1) as model:
            for pause in (0.0, 0.001, 0.003, 0.01, 0.03):
                stream = model.chat(chat_ctx=context("hi"), conn_options=ONCE)
                await asyncio.sleep(pause)
                await stream.aclose()
            server.generate = three_words
            assert text_of(await chunks(model)) == "One two three."
        await until(lambda: server.ended == len(server.requests))

    run(body)


def test_one_instance_serves_several_event_loops() -> None:
    """L22: each loop has its own sockets; `aclose` closes those of all."""

    async def body() -> None:
        seed = SeedServer()
        async with seed.running() as url:
            model = WebSocketLLM(ws_url=url)
            asked, stop = threading.Event(), asyncio.Event()
            texts: list[str] = []
            loops: list[asyncio.AbstractEventLoop] = []

            async def elsewhere() -> None:
                loops.append(asyncio.get_running_loop())
                texts.append(text_of(await chunks(model)))
                asked.set()
                await stop.wait()

            thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
            thread.start()
            texts.append(text_of(await chunks(model)))
            await asyncio.to_thread(asked.wait)
            assert texts == ["Hello there friend."] * 2
            assert seed.sockets == 2
            await model.aclose()
            await until(lambda: not seed.open)
            loops[0].call_soon_threadsafe(stop.set)
            await asyncio.to_thread(thread.join)
            with pytest.raises(APIConnectionError, match="closed"):
                await chunks(model)

    run(body)


def test_livekits_own_http_session_is_used_where_there_is_one() -> None:
    """L22: it belongs to the job, which closes it; the next job brings another."""

    async def body() -> None:
        seed = SeedServer()
        async with seed.running() as url, connected(url) as model:
            for sockets in (1, 2):
                async with utils.http_context.open() as session:
                    assert text_of(await chunks(model)) == "Hello there friend."
                    assert len(session.connector._acquired) == 1  # type: ignore[union-attr]
                assert seed.sockets == sockets
                await until(lambda: not seed.open)

    run(body)


def test_prewarming_opens_the_socket_that_the_first_request_uses() -> None:
    async def body() -> None:
        seed = SeedServer()
        async with seed.running() as url, connected(url) as model:
            model.prewarm()
            await until(lambda: seed.sockets == 1)
            await chunks(model)
            assert seed.sockets == 1
        async with connected(f"ws://127.0.0.1:{free_port()}") as model:
            model.prewarm()  # where nothing listens: the first request reports it
            with pytest.raises(APIConnectionError):
                await chunks(model)

    run(body)
