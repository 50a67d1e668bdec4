"""`LLMServer`: the seam for another model, the system prompt, failures of a backend, limits, and what the hub is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from agent.failure import Failure
from agent.gateway.llm import BackendError, Finish, LLMServer, Piece
from agent.gateway.llm import answer as answer_module
from event_hub.client import Publisher
from event_hub.websocket_protocols.llm import ChatRequest, ToolCall

from ...hubs import PATIENCE, ROOT, HubProcess, free_port
from .servers import Model, run, serving, until

Frame = dict[str, Any]


async def exchange(url: str, *frames: Frame, ends: int = 1) -> list[Frame]:
    """Send frames; receive until so many answers have ended."""
    received: list[Frame] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        for frame in frames:
            await socket.send_json(frame)
        while ends:
            received.append(await socket.receive_json(timeout=PATIENCE))
            ends -= received[-1]["type"] in ("complete", "error")
    return received


def ask(text: str, **fields: Any) -> Frame:
    return {"type": "chat", "messages": [{"role": "user", "content": text}], **fields}


def test_the_server_imports_nothing_of_livekit() -> None:
    """L01: not even indirectly, and not when it serves."""
    script = (
        "import asyncio, sys; sys.path.insert(0, '.'); import ws_llm_server\n"
        "async def main():\n"
        "    stop = asyncio.Event(); stop.set()\n"
        f"    await ws_llm_server.HealthcareLLMServer().serve('127.0.0.1', {free_port()}, stop=stop)\n"
        "asyncio.run(main())\n"
        "import agent.gateway.llm.openai_backend, agent.gateway.llm.scripted\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'livekit'])"
    )
    folder = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "[]\n", done.stderr


def test_one_method_is_all_it_takes_to_use_another_model() -> None:
    """L08: a subclass that overrides `_generate_streaming_response` needs neither a key nor AGENT_LLM."""

    class Parrot(LLMServer):
        async def _generate_streaming_response(self, request: ChatRequest) -> AsyncIterator[Piece]:
            for word in request.messages[-1]["content"].split():
                yield word

    async def body() -> None:
        async with serving(Parrot()) as url:
            for path in ("", "/llm"):
                frames = await exchange(url + path, ask("pieces of eight"))
                assert [frame["content"] for frame in frames] == ["pieces", "of", "eight", "piecesofeight"]
                assert frames[-1]["finish_reason"] == "stop"

    run(body)


def test_the_system_prompt_is_the_first_message_of_every_request() -> None:
    """L07: before the client's own messages, and it does not accumulate."""

    async def fine(_request: ChatRequest) -> AsyncIterator[Piece]:
        yield "Fine."

    async def body() -> None:
        server = Model(fine, system_prompt="You are a nurse.")
        async with serving(server) as url:
            await exchange(url, ask("one"), ask("two"), ends=2)
        for request, text in zip(server.requests, ("one", "two"), strict=True):
            assert request.messages == [
                {"role": "system", "content": "You are a nurse."},
                {"role": "user", "content": text},
            ]

    run(body)


def test_a_backend_that_fails_is_an_error_and_the_connection_survives(caplog: pytest.LogCaptureFixture) -> None:
    """L06: before the first word and in the middle; whatever it raises; without the exception's text, which may be private."""

    async def answer(request: ChatRequest) -> AsyncIterator[Piece]:
        text = request.messages[-1]["content"]
        if text == "refused":
            raise BackendError("The model refuses the request.", code="backend_refused", retryable=False)
        yield "Half an "
        if text == "broken":
            raise RuntimeError("the password is hunter2")
        if text == "wrong":
            yield 5  # type: ignore[misc]
        yield "answer."

    async def body() -> None:
        async with serving(Model(answer)) as url:
            frames = await exchange(url, *(ask(text) for text in ("refused", "broken", "wrong", "good")), ends=4)
        errors = [frame for frame in frames if frame["type"] == "error"]
        assert [(error["code"], error["retryable"]) for error in errors] == [
            ("backend_refused", False),
            ("backend_failed", True),
            ("backend_failed", True),
        ]
        assert "RuntimeError" in errors[1]["message"]
        assert "hunter2" not in json.dumps(frames)
        assert frames[-1]["content"] == "Half an answer."
        assert sum(frame["type"] == "complete" for frame in frames) == 1

    run(body)
    assert len([record for record in caplog.records if "a request of" in record.message]) == 2


def test_an_answer_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """L05: a model that does not stop ends with `length`, and `complete` is still the deltas joined."""
    monkeypatch.setattr(answer_module, "LONGEST", 1000)

    async def for_ever(_request: ChatRequest) -> AsyncIterator[Piece]:
        while True:
            yield "0123456"

    async def body() -> None:
        server = Model(for_ever)
        async with serving(server) as url:
            frames = await exchange(url, ask("go"))
        assert frames[-1]["finish_reason"] == "length"
        assert frames[-1]["content"] == "".join(frame["content"] for frame in frames[:-1])
        assert len(frames[-1]["content"]) == 1000
        assert server.ended == 1

    run(body)


def test_a_slow_client_slows_its_model_down_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """L04: what a client does not read is not generated; after GATEWAY_STALL it is disconnected."""
    monkeypatch.setenv("GATEWAY_STALL", "1s")
    generated = 0

    async def flood(request: ChatRequest) -> AsyncIterator[Piece]:
        nonlocal generated
        if request.messages[-1]["content"] == "hi":
            yield "Hello."
            return
        while True:
            generated += 1
            yield "x" * 50_000

    async def body() -> None:
        server = Model(flood)
        async with serving(server) as url, aiohttp.ClientSession() as session:
            async with session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=0.1)) as slow:
                await slow.send_json(ask("flood"))
                slow._conn.protocol.transport.pause_reading()  # type: ignore[union-attr]
                await until(lambda: generated)
                assert (await exchange(url, ask("hi")))[-1]["content"] == "Hello."
                await until(lambda: server.ended == 2)
            assert generated < 400

    run(body)


def test_a_server_that_stops_lets_answers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """L02: within GATEWAY_DRAIN; the socket is closed in order after that."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_request: ChatRequest) -> AsyncIterator[Piece]:
        yield "One"
        started.set()
        await go_on.wait()
        yield " two."

    async def body() -> None:
        stop, port = asyncio.Event(), free_port()
        server = asyncio.create_task(Model(answer).serve("127.0.0.1", port, stop=stop))
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    socket = await session.ws_connect(f"ws://127.0.0.1:{port}")
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.01)
            await socket.send_json(ask("hi"))
            await started.wait()
            stop.set()
            await asyncio.sleep(0.05)
            go_on.set()
            frames = [await socket.receive_json(timeout=PATIENCE) for _ in range(3)]
            assert frames[-1]["content"] == "One two."
            assert (await socket.receive(timeout=PATIENCE)).data == 1001
            await socket.close()
        await server

    run(body)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_a_token(host: str) -> None:
    """L24: it does not start."""
    with pytest.raises(Failure, match="set GATEWAY_TOKEN"):
        asyncio.run(LLMServer().serve(host, 1))


def test_the_hub_shows_a_conversation_once(hub: HubProcess) -> None:
    """Published: the question, the deltas, the tool and its result, the answer; not again what is repeated; and not at all
    what the caller reports itself."""

    async def answer(request: ChatRequest) -> AsyncIterator[Piece]:
        if request.messages[-1]["role"] == "tool":
            yield "It is "
            yield "snowing."
        elif request.messages[-1]["content"] == "fail":
            raise BackendError("The model has failed.")
        else:
            yield ToolCall(id="c1", name="look", arguments='{"place": "Oslo"}')
            yield Finish("tool_calls")

    question = {"role": "user", "content": "How is it in Oslo?"}
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"place": "Oslo"}'}}
    result = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "snow"}]

    async def body() -> None:
        publisher = Publisher(hub.url, flush_at_exit=0)
        async with serving(Model(answer), publisher=publisher) as url:
            await exchange(url, {"type": "chat", "messages": [{"role": "user", "content": "secret"}], "report": False})
            await exchange(
                url,
                {"type": "chat", "messages": [question]},
                {"type": "chat", "messages": [question, *result]},
                ask("fail"),
                ends=3,
            )
        assert await asyncio.to_thread(publisher.flush, PATIENCE)
        await asyncio.to_thread(publisher.close)

    run(body)
    events = [entry["event"] for entry in hub.get("/api/events?limit=1000")["events"]]
    mine = [event for event in events if str(event.get("session", "")).startswith("ws_")]
    assert len({event["session"] for event in mine}) == 1
    assert "secret" not in json.dumps(mine)
    assert [event["type"] for event in mine] == [
        "session_started",
        "transcript",
        "tool_call_started",
        "tool_call_finished",
        "agent_text_delta",
        "agent_text_delta",
        "agent_text_complete",
        "transcript",
        "transcript",
        "agent_error",
        "session_ended",
    ]
    assert [event["text"] for event in mine if event["type"] == "transcript"] == [
        "How is it in Oslo?",
        "It is snowing.",
        "fail",
    ]
    assert (mine[3]["name"], mine[3]["output"]) == ("look", "snow")
    assert len({event["utterance"] for event in mine if event.get("role") == "agent"}) == 1
