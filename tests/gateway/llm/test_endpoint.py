"""The protocol of `/llm`, spoken to the gateway in its own process by a plain WebSocket client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from livekit.agents import APIError, APIStatusError

from ...hubs import until
from ..gateways import Client, GatewayProcess, client
from .asking import RETRYING, chunks, connected, text_of
from .servers import run

WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "lookup_weather",
        "description": "Look up the weather.",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}
LONG = "Tell me a long story."


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "chat", "messages": [{"role": "user", "content": text}], **fields}


def answer(socket: Client) -> tuple[str, dict[str, Any]]:
    """The deltas, joined, and `complete`."""
    frames = socket.until("complete")
    assert {frame["type"] for frame in frames[:-1]} <= {"delta"}
    return "".join(frame["content"] for frame in frames[:-1]), frames[-1]


def test_a_request_is_answered_in_deltas_and_one_complete(gateway: GatewayProcess) -> None:
    """L03, L04, L05, X02, X04: the original protocol to the letter, without an id in any frame."""
    with client(gateway.ws("/llm")) as socket:
        for _ in range(2):
            socket.send({"type": "chat", "messages": [{"role": "user", "content": "hello"}]})
            frames = socket.until("complete")
            assert len(frames) > 3
            assert all(set(frame) == {"type", "content"} for frame in frames[:-1])
            assert frames[-1]["content"] == "".join(frame["content"] for frame in frames[:-1])
            assert "text" not in frames[-1]
            assert "request_id" not in frames[-1]
            assert frames[-1]["finish_reason"] == "stop"
            usage = frames[-1]["usage"]
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


BAD_FRAMES: list[tuple[str | bytes, str, str]] = [
    ("{", "bad_json", "not JSON"),
    ("[]", "bad_json", "not a JSON object"),
    ("\ud83d".encode("utf-8", "surrogatepass").decode("utf-8", "replace"), "bad_json", "not JSON"),
    ('{"type": "chat"}', "bad_frame", "messages: is missing"),
    ('{"type": "chat", "messages": []}', "bad_frame", "messages: "),
    ('{"type": "chat", "messages": "hello"}', "bad_frame", "messages: "),
    ('{"type": "chat", "messages": [{"content": "x"}]}', "bad_frame", "messages.0: role must be one of"),
    ('{"type": "chat", "messages": [{"role": "robot", "content": "x"}]}', "bad_frame", "role must be one of"),
    ('{"type": "chat", "messages": [{"role": "user"}]}', "bad_frame", "content is missing"),
    ('{"type": "chat", "messages": [{"role": "user", "content": 5}]}', "bad_frame", "content must be a string"),
    ('{"type": "chat", "messages": [{"role": "user", "content": "x"}], "tools": 1}', "bad_frame", "tools: "),
    ('{"type": "chat", "messages": [{"role": "user", "content": "x"}], "request_id": ""}', "bad_frame", "request_id"),
    ('{"type": "hello"}', "bad_frame", "type: unknown; /llm takes cancel, chat"),
    ("{}", "bad_frame", "type: unknown"),
    (b"\x00\x01", "unexpected_binary", "takes text frames"),
    ('{"message": "hi"}', "wrong_endpoint", "connect to /chat"),
    ('{"text": "hi", "session_id": "s"}', "wrong_endpoint", "connect to /ws/llm-stream"),
    ("START_RECORDING", "wrong_endpoint", "connect to /ws/audio-stream"),
    ('{"type": "chat", "messages": [{"role": "user", "content": "%s"}]}' % ("x" * 300_000), "frame_too_large", "bytes"),
]


def test_a_bad_frame_is_an_error_and_the_connection_survives(gateway: GatewayProcess) -> None:
    """L06, X03, X05, X06: the sentence is in `message` alone; the next request is answered."""
    with client(gateway.ws("/llm")) as socket:
        for frame, code, sentence in BAD_FRAMES:
            socket.send(frame)
            error = socket.receive()
            assert (error["type"], error["code"]) == ("error", code)
            assert sentence in error["message"]
            assert "error" not in error
        socket.send(ask("hi"))
        assert answer(socket)[0] == "Hello. How can I help you?"


def test_a_refused_request_is_told_by_its_id(gateway: GatewayProcess) -> None:
    """L06: with several requests open, the client must know which of them failed."""
    with client(gateway.ws("/llm")) as socket:
        socket.send({"type": "chat", "request_id": "r1", "messages": []})
        error = socket.receive()
        assert (error["request_id"], error["retryable"]) == ("r1", False)


def test_requests_with_ids_overlap_and_those_without_are_answered_in_order(gateway: GatewayProcess) -> None:
    """L20: a short answer overtakes a long one if both have ids, and waits otherwise."""
    with client(gateway.ws("/llm")) as socket:
        socket.send(ask(LONG, request_id="long"))
        socket.send(ask("hi", request_id="short"))
        frames = socket.until("complete")
        assert frames[-1]["request_id"] == "short"
        socket.send({"type": "cancel", "request_id": "long"})
        frames += socket.until("complete")
        assert frames[-1]["request_id"] == "long"
        for name in ("long", "short"):
            mine = [frame for frame in frames if frame["request_id"] == name]
            assert mine[-1]["content"] == "".join(frame["content"] for frame in mine[:-1])
        socket.send(ask("what can you do for me"))
        socket.send(ask("hi"))
        first, second = answer(socket)[0], answer(socket)[0]
        assert first.startswith("I can look up")
        assert second.startswith("Hello")


def test_cancel_ends_a_request_with_what_was_sent(gateway: GatewayProcess) -> None:
    """L20: with and without an id; an id that is unknown or over is ignored; the next request is answered."""
    with client(gateway.ws("/llm")) as socket:
        socket.send({"type": "cancel", "request_id": "unknown"})
        socket.send({"type": "cancel"})
        for fields in ({"request_id": "r1"}, {}):
            socket.send(ask(LONG, **fields))
            frames = socket.until("delta")
            socket.send({"type": "cancel", **fields})
            frames += socket.until("complete")
            assert frames[-1]["finish_reason"] == "cancelled"
            assert frames[-1]["content"] == "".join(frame["content"] for frame in frames[:-1])
            assert len(frames[-1]["content"]) < 100
            assert frames[-1].get("request_id") == fields.get("request_id")
            socket.send({"type": "cancel", **fields})
        socket.send(ask("hi"))
        assert answer(socket)[1]["finish_reason"] == "stop"


def test_cancelling_a_request_that_waits_does_not_disturb_the_others(gateway: GatewayProcess) -> None:
    """L20: more requests than are answered at once; a waiting one ends too, exactly once."""
    with client(gateway.ws("/llm")) as socket:
        names = [f"r{number}" for number in range(12)]
        for name in names:
            socket.send(ask(LONG, request_id=name))
        for name in names[::-1]:
            socket.send({"type": "cancel", "request_id": name})
        ended: list[str] = []
        while len(ended) < len(names):
            frame = socket.until("complete")[-1]
            assert frame["finish_reason"] == "cancelled"
            ended.append(frame["request_id"])
        assert sorted(ended) == sorted(names)
        socket.send(ask("hi", request_id="r0"))
        assert answer(socket)[1]["request_id"] == "r0"


def test_too_many_requests_and_an_id_in_use_are_refused(gateway: GatewayProcess) -> None:
    """L20: bounded per connection; `retryable` says which of the two may be sent again."""
    with client(gateway.ws("/llm")) as socket:
        socket.send(ask(LONG, request_id="same"))
        socket.send(ask("hi", request_id="same"))
        error = socket.until("error")[-1]
        assert (error["code"], error["retryable"], error["request_id"]) == ("duplicate_request_id", False, "same")
        for number in range(40):
            socket.send(ask(LONG, request_id=f"r{number}"))
        errors = [socket.until("error")[-1] for _ in range(9)]
        assert {error["code"] for error in errors} == {"too_many_requests"}
        assert [error["request_id"] for error in errors] == [f"r{number}" for number in range(31, 40)]
        assert all(error["retryable"] for error in errors)
    until(lambda: gateway.connections() == 0, "the connection to be gone with all its requests")


def test_a_tool_is_called_and_its_result_is_used(gateway: GatewayProcess) -> None:
    """L20: the call is complete in one frame; the client's next request carries the call and its result."""
    with client(gateway.ws("/llm")) as socket:
        question = {"role": "user", "content": "What is the weather in Oslo?"}
        socket.send({"type": "chat", "messages": [question], "tools": [WEATHER_TOOL], "request_id": "r1"})
        frames = socket.until("complete")
        call = next(frame for frame in frames if frame["type"] == "tool_call")
        assert (call["name"], json.loads(call["arguments"])) == ("lookup_weather", {"location": "Oslo"})
        assert call["request_id"] == "r1"
        assert frames[-1]["finish_reason"] == "tool_calls"
        function = {"name": call["name"], "arguments": call["arguments"]}
        messages = [
            question,
            {"role": "assistant", "tool_calls": [{"id": call["id"], "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": call["id"], "content": "snow, -3 degrees"},
        ]
        socket.send({"type": "chat", "messages": messages, "tools": [WEATHER_TOOL], "request_id": "r2"})
        assert answer(socket)[0] == "The weather in Oslo is snow, -3 degrees."


def test_without_the_tool_the_answer_is_text(gateway: GatewayProcess) -> None:
    """L20: a page that offers no tools, or forbids them, gets no tool call."""
    with client(gateway.ws("/llm")) as socket:
        for fields in ({}, {"tools": [WEATHER_TOOL], "tool_choice": "none"}):
            socket.send(ask("What is the weather in Oslo?", **fields))
            assert answer(socket)[0].startswith("The weather in Oslo is")


def test_a_client_that_leaves_in_mid_answer_disturbs_none(gateway: GatewayProcess) -> None:
    with client(gateway.ws("/llm")) as staying:
        staying.send(ask(LONG))
        for _ in range(3):
            with client(gateway.ws("/llm")) as leaving:
                leaving.send(ask(LONG))
                leaving.until("delta")
        assert answer(staying)[1]["finish_reason"] == "stop"
    until(lambda: gateway.connections() == 0, "no connection to be left")
    assert "Traceback" not in gateway.output()


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [("/chat", 404, "belongs to /llm"), ("/nowhere", 404, "the endpoints are"), ("/ws/audio-stream", None, "")],
)
def test_a_wrong_path_is_told(gateway: GatewayProcess, path: str, status: int | None, sentence: str) -> None:
    """X03: the error names the right path, and LiveKit does not try again."""

    async def body() -> None:
        async with connected(gateway.ws(path), response_timeout=5) as model:
            with pytest.raises(APIError) as failed:
                await chunks(model, "hello", conn_options=RETRYING)
            if status is not None:
                assert isinstance(failed.value, APIStatusError)
                assert (failed.value.status_code, failed.value.retryable) == (status, False)
                assert sentence in failed.value.message

    run(body)


def test_a_context_that_is_too_large_is_not_sent_again(gateway: GatewayProcess) -> None:
    """L06: the gateway's limit is an error with its sentence, and the socket stays usable."""

    async def body() -> None:
        async with connected(gateway.ws("/llm")) as model:
            with pytest.raises(APIStatusError, match="at most 262144") as refused:
                await chunks(model, "x" * 300_000, conn_options=RETRYING)
            assert (refused.value.status_code, refused.value.retryable) == (413, False)
            assert text_of(await chunks(model, "hello")) == "Hello. How can I help you?"

    run(body)
