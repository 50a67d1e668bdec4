"""The text chat over real sockets, with a real AgentSession for each connection (W07–W17, W19, X06, X12, D09, D10)."""

from __future__ import annotations

import asyncio
import gc
import json
import logging

import pytest
from livekit.agents.voice import SpeechHandle

from agent.gateway.chat.agent import CONTEXT

from ...hubs import PATIENCE
from .chats import LONG, ScriptedParts, chatting, of, run, serving


def test_the_question_of_the_document() -> None:
    """W07 W08 W09 W10 W11 W17: to the letter, at both addresses."""

    async def test() -> None:
        async with serving() as gateway:
            for path in ("/", "/chat"):
                async with chatting(gateway, path) as chat:
                    frames = await chat.ask("What is the weather in San Francisco?")
                    deltas = of(frames, "delta")
                    assert len(deltas) > 3
                    assert all(set(frame) == {"type", "delta", "accumulated"} for frame in deltas)
                    text = "The weather in San Francisco is sunny, 68°F."
                    assert "".join(frame["delta"] for frame in deltas) == deltas[-1]["accumulated"] == text
                    assert frames[len(deltas) :] == [
                        {"type": "complete", "text": text},
                        {
                            "type": "result",
                            "events": [
                                {
                                    "type": "function_call",
                                    "name": "lookup_weather",
                                    "arguments": '{"location": "San Francisco"}',
                                },
                                {"type": "function_call_output", "output": "sunny, 68°F"},
                                {"type": "message", "role": "assistant", "content": text},
                            ],
                        },
                    ]

    run(test())


def test_a_turn_with_text_before_its_tool_call_stays_in_step() -> None:
    """D09 W10: two generations, each with its complete; the next answer belongs to the next question."""

    async def test() -> None:
        async with serving() as gateway, chatting(gateway) as chat:
            for _ in range(2):
                frames = await chat.ask("look")
                completes = of(frames, "complete")
                assert completes[0]["text"] == "Let me look."
                assert completes[1]["text"].startswith("It is ")
                assert "".join(frame["delta"] for frame in of(frames, "delta")) == "".join(
                    frame["text"] for frame in completes
                )
                assert [frame["type"] for frame in frames[-2:]] == ["complete", "result"]
                kinds = [event["type"] for event in frames[-1]["events"]]
                assert sorted(kinds) == ["function_call", "function_call_output", "message", "message"]
                assert of(await chat.ask("hello"), "complete") == [
                    {"type": "complete", "text": "Hello. How can I help you?"}
                ]

    run(test())


@pytest.mark.parametrize("times", [6])
def test_an_llm_that_fails(times: int, caplog: pytest.LogCaptureFixture) -> None:
    """W12 D10: an error and a result for each, without the exception's text; the chat outlives any number of them."""

    async def test() -> None:
        async with serving() as gateway, chatting(gateway) as chat:
            for _ in range(times):
                error, result = await chat.ask("fail")
                assert error["code"] == "reply_failed"
                assert "status 401: wrong key" in error["message"]
                assert "sk-secret" not in json.dumps(error)
                assert result == {"type": "result", "events": []}
            assert of(await chat.ask("hello"), "complete")
            memory = of(await chat.ask("memory"), "complete")[0]["text"]
            assert memory == " / ".join(["fail"] * times + ["hello", "memory"])  # W14: the context is intact

    caplog.set_level(logging.CRITICAL, "livekit")
    run(test())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"message": ""}', "empty_message"),
        ('{"message": " \\n\\t"}', "empty_message"),
        ("{}", "bad_frame"),
        ('{"message": null}', "bad_frame"),
        ('{"message": ["a"]}', "bad_frame"),
        ('{"message": 5}', "bad_frame"),
        ('{"type": "nonsense", "message": "hello"}', "bad_frame"),
        ('{"message": "' + "x" * 32_001 + '"}', "message_too_long"),
        ("hello", "bad_json"),
        ("[]", "bad_json"),
        ('{"type": "chat", "messages": []}', "wrong_endpoint"),
    ],
)
def test_what_is_not_a_message_starts_no_run(frame: str, code: str) -> None:
    """W12 W13 X06: one error, and the connection stays usable."""
    asked = []

    async def test() -> None:
        parts = ScriptedParts()
        ordinary = parts.answer
        parts.answer = lambda context: asked.append(1) or ordinary(context)  # type: ignore[func-returns-value]
        async with serving(parts) as gateway, chatting(gateway) as chat:
            await chat.send(frame)
            error = await chat.receive()
            assert (error["type"], error["code"]) == ("error", code)
            assert error["message"].endswith(".")
            await chat.send('{"type": "cancel"}')  # with nothing to cancel
            assert asked == []
            assert of(await chat.ask("hello"), "complete")

    run(test())


def test_cancel() -> None:
    """The text so far completes, marked; the next question is answered; the agent remembers what it said."""

    async def test() -> None:
        async with serving() as gateway, chatting(gateway) as chat:
            await chat.send({"message": "long"})
            deltas = [await chat.receive() for _ in range(3)]
            await chat.send({"type": "cancel"})
            frames = deltas + await chat.until("result")
            (complete,) = of(frames, "complete")
            assert complete["interrupted"] is True
            assert LONG.startswith(complete["text"])
            assert complete["text"] == "".join(frame["delta"] for frame in of(frames, "delta"))
            assert len(complete["text"]) < len(LONG)
            assert [event["role"] for event in frames[-1]["events"]] == ["assistant"]

            await chat.send({"message": "long"})
            await chat.send({"type": "cancel"})  # before the first word
            frames = await chat.until("result")
            assert of(frames, "complete")[-1]["interrupted"] is True
            (complete,) = of(await chat.ask("hello"), "complete")
            assert "interrupted" not in complete

    run(test())


def test_messages_wait_in_order_up_to_a_limit() -> None:
    """A flood: one is answered, eight wait, the others are refused, each with its error."""

    async def test() -> None:
        async with serving(rate=10_000.0) as gateway, chatting(gateway) as chat:
            await chat.send({"message": "long"})
            await chat.receive()
            for n in range(50):
                await chat.send({"message": f"number {n}"})
            refused = 0
            while refused < 42:
                frame = await chat.receive()
                if frame["type"] == "error":
                    assert frame["code"] == "too_many_pending"
                    refused += 1
            await chat.send({"type": "cancel"})
            await chat.until("result")
            for n in range(8):
                (complete,) = of(await chat.until("result"), "complete")
                assert f"number {n}" in complete["text"]
            (complete,) = of(await chat.ask("number 50"), "complete")
            assert "number 50" in complete["text"]

    run(test())


def test_connections_do_not_share_anything() -> None:
    """W14 W15: each has its own session and context."""

    async def test() -> None:
        async with serving() as gateway, chatting(gateway) as first, chatting(gateway) as second:
            await asyncio.gather(first.ask("red"), second.ask("blue"))
            told = await asyncio.gather(first.ask("memory"), second.ask("memory"))
            assert [of(frames, "complete")[0]["text"] for frames in told] == ["red / memory", "blue / memory"]

    run(test())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_client_that_leaves_in_mid_stream(how: str) -> None:
    """W16: its session ends, with or without a close frame, and the next client is served."""

    async def test() -> None:
        async with serving(ScriptedParts(speed=2.0)) as gateway, chatting(gateway) as neighbour:
            before = len(asyncio.all_tasks())
            async with chatting(gateway) as leaving:
                await leaving.send({"message": "long"})
                for _ in range(8):
                    await leaving.send({"message": "and then"})
                await leaving.until("delta")
                if how == "abort":
                    transport = leaving.socket._response.connection.transport  # type: ignore[union-attr]
                    assert transport is not None
                    transport.abort()
            while gateway.connections > 1 or len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)
            assert of(await neighbour.ask("hello"), "complete")
            async with chatting(gateway) as following:
                assert of(await following.ask("hello"), "complete")

    run(test())


@pytest.mark.parametrize("leaves", [True, False])
def test_an_llm_that_never_answers(leaves: bool) -> None:
    """W16: the client leaves or cancels; neither waits for the LLM."""

    async def test() -> None:
        async with serving(ScriptedParts(speed=1e-6)) as gateway, chatting(gateway) as chat:
            await chat.send({"message": "hello"})
            await chat.send({"type": "ping", "id": 1})
            assert (await chat.receive())["type"] == "pong"
            if leaves:
                await chat.socket.close()
                while gateway.connections:
                    await asyncio.sleep(0.01)
                return
            await chat.send({"type": "cancel"})
            frames = await chat.until("result")
            assert frames == [
                {"type": "complete", "text": "", "interrupted": True},
                {"type": "result", "events": []},
            ]

    run(test())


def test_a_client_that_stops_reading() -> None:
    """It is disconnected after GATEWAY_STALL; its neighbour notices nothing."""

    async def test() -> None:
        loud = "x" * 20_000
        parts = ScriptedParts(speed=1_000.0)
        ordinary = parts.answer
        from agent.scripted.llm import Reply

        parts.answer = lambda context: (
            Reply(f"{loud} " * 2_000) if context.items[-1].text_content == "loud" else ordinary(context)  # type: ignore[union-attr]
        )
        async with serving(parts, stall=0.5) as gateway, chatting(gateway) as neighbour:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1_000)
            writer.write(
                b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x81\x93\0\0\0\0" + b'{"message": "loud"}')
            while gateway.connections > 1:
                assert of(await neighbour.ask("hello"), "complete")
            writer.close()

    run(test())


def test_a_slow_reader_misses_no_text() -> None:
    """W10: when its deltas are dropped, the next one is longer: they still join to the complete text."""

    async def test() -> None:
        from agent.gateway.chat import endpoint
        from event_hub.livekit import StreamingTextOutput

        ordinary = endpoint.StreamingTextOutput
        endpoint.StreamingTextOutput = lambda: StreamingTextOutput(queue_size=2)  # type: ignore[misc, assignment]
        try:
            parts = ScriptedParts(speed=100_000.0)
            async with serving(parts) as gateway, chatting(gateway) as chat:
                for _ in range(3):
                    frames = await chat.ask("long")
                    assert "".join(frame["delta"] for frame in of(frames, "delta")) == LONG
                    assert of(frames, "complete") == [{"type": "complete", "text": LONG}]
        finally:
            endpoint.StreamingTextOutput = ordinary  # type: ignore[misc]

    run(test())


def test_the_gateway_stops_in_the_middle_of_a_reply() -> None:
    """A reply in progress has GATEWAY_DRAIN; one that takes longer is cut, and the connection closes with 1001."""

    async def test() -> None:
        async with serving(drain=PATIENCE) as gateway, chatting(gateway) as chat:
            await chat.send({"message": "tell me a story"})
            await chat.until("delta")
            stopping = asyncio.create_task(gateway.stop())
            assert of(await chat.until("result"), "complete")
            await chat.socket.receive(timeout=PATIENCE)
            assert chat.socket.close_code == 1001
            await stopping
        async with serving(ScriptedParts(speed=1.0), drain=0.1) as gateway, chatting(gateway) as chat:
            await chat.send({"message": "long"})
            await chat.until("delta")
            await asyncio.gather(gateway.stop(), _ended(chat))
            assert chat.socket.close_code == 1001

    async def _ended(chat: object) -> None:
        async for _ in chat.socket:  # type: ignore[attr-defined]
            pass

    run(test())


def test_a_long_chat_stays_bounded() -> None:
    """Its context and LiveKit's records of it; what was said last is remembered."""

    async def test() -> None:
        sizes = []
        parts = ScriptedParts(speed=100_000.0)
        ordinary = parts.answer
        parts.answer = lambda context: sizes.append(len(context.items)) or ordinary(context)  # type: ignore[func-returns-value]
        async with serving(parts, rate=10_000.0) as gateway, chatting(gateway) as chat:
            for n in range(CONTEXT // 2 + 20):
                (complete,) = of(await chat.ask(f"number {n}"), "complete")
                assert f"number {n}" in complete["text"]
            assert max(sizes) <= CONTEXT + 10
            assert "number 119" in of(await chat.ask("memory"), "complete")[0]["text"]
            gc.collect()
            # LiveKit itself would keep the speech of each turn, with its tasks and events.
            assert sum(isinstance(kept, SpeechHandle) for kept in gc.get_objects()) < 20

    run(test())
