"""`/ws/llm-stream` and `POST /llm/query` over real sockets, with a scripted LLM and a scripted voice (V01–V09, V11, V12, V21, V23)."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from livekit.agents import llm

from agent.failure import Failure
from agent.gateway.endpoints import ENDPOINTS, ROUTES
from agent.gateway.replies import conversation as conversations
from agent.gateway.replies.conversation import Conversation, Conversations
from agent.gateway.replies.reply import Reply
from agent.gateway.replies.speech import LONGEST, beginning
from agent.gateway.reporting import ReportedSession
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings
from agent.local.answers import answer
from agent.scripted.llm import Reply as Scripted
from agent.scripted.llm import ScriptedLLM
from agent.scripted.tts import ScriptedTTS
from event_hub.websocket_protocols.replies import Ask, Chunk, End

from ...hubs import PATIENCE

SPEED = 50.0
LONG = " ".join(str(n) for n in range(400))


def script(context: llm.ChatContext) -> Scripted:
    """Repeats what it remembers, fails, and talks at length when asked to; otherwise the rules of the local LLM."""
    said = next(
        (item.text_content or "" for item in reversed(context.items) if getattr(item, "role", "") == "user"), ""
    )
    if said == "fail":
        return Scripted("never", failures=99)
    if said == "recite":
        return Scripted(LONG)
    if said == "remember":
        users = [item.text_content or "" for item in context.items if getattr(item, "role", "") == "user"]
        return Scripted(" | ".join(users[:-1]) or "nothing")
    if said == "unicode":
        return Scripted("Grüße 👩‍👩‍👧‍👦 <img src=x onerror=alert(1)>")
    return answer(context)


class ScriptedParts:
    """The parts of a gateway, scripted. `voices`: those that the TTS has."""

    def __init__(self) -> None:
        self.spoken = 0

    async def llm(self) -> Any:
        return ScriptedLLM(script, speed=SPEED)

    async def tts(self, voice: str | None = None) -> Any:
        if voice == "broken":
            return BrokenTTS(speed=SPEED)
        if voice not in (None, "slt"):
            raise Failure(f"There is no voice {voice}; there is slt.", "tts")
        self.spoken += 1
        return ScriptedTTS(speed=SPEED)

    async def aclose(self) -> None:
        pass


class BrokenTTS(ScriptedTTS):
    def synthesize(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("a secret of the user")

    stream = synthesize


@asynccontextmanager
async def serving() -> AsyncIterator[Gateway]:
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint.path in ("/ws", "/ws/llm-stream")]
    routes = [route for route in ROUTES if route.path == "/llm/query"]
    parts: Any = ScriptedParts()
    gateway = Gateway(GatewaySettings(port=0, drain=2.0), parts=parts, endpoints=endpoints, routes=routes)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


class Client:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        await self.socket.send_json(frame)

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads((await self.socket.receive(timeout=PATIENCE)).data)
        return frame

    async def until(self, *types: str) -> list[dict[str, Any]]:
        frames = [await self.receive()]
        while frames[-1]["type"] not in types:
            frames.append(await self.receive())
        return frames

    async def ask(self, text: str, **more: Any) -> list[dict[str, Any]]:
        """All frames of the reply, without speech."""
        await self.send(text=text, **{"voice_id": "none", **more})
        return await self.until("end", "error")


@asynccontextmanager
async def asking(gateway: Gateway) -> AsyncIterator[Client]:
    url = f"http://127.0.0.1:{gateway.port}/ws/llm-stream"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
        yield Client(socket)


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 4 * PATIENCE))


def text_of(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["content"] for frame in frames if frame["type"] == "chunk")


def test_the_frames_of_the_document() -> None:
    """V01 V03 V04 V05 V12: start, chunks, end with all of them joined, then speech."""

    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            await client.send(text="hello", session_id="s", voice_id="slt", chat_history=[])
            frames = await client.until("audio")
            assert [frame["type"] for frame in frames[:2]] == ["start", "chunk"]
            assert frames[0]["message"] == "Starting to generate response..."
            *_, end, audio = frames
            assert end["final_response"] == text_of(frames) == "Hello. How can I help you?"
            assert end["message"] == "Response generation completed"
            assert (audio["content_type"], audio["voice_id"]) == ("audio/wav", "slt")
            with wave.open(io.BytesIO(base64.b64decode(audio["data"]))) as sound:
                assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
                assert sound.getnframes() > 1000

    run(test())


def test_a_tool_is_called_before_the_reply() -> None:
    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            frames = await client.ask("What is the weather in San Francisco?")
            assert frames[-1]["final_response"] == "The weather in San Francisco is sunny, 68°F."

    run(test())


def test_the_context_is_kept_by_session_and_seen_by_no_other() -> None:
    """V02 V08: across requests and sockets."""

    async def test() -> None:
        async with serving() as gateway:
            async with asking(gateway) as client:
                await client.ask("one", session_id="a")
                await client.ask("two", session_id="a")
                assert text_of(await client.ask("remember", session_id="b")) == "nothing"
            async with asking(gateway) as client:
                assert text_of(await client.ask("remember", session_id="a")) == "one | two"
                history = [{"role": "user", "content": "kept by the page"}, {"role": "assistant", "content": "yes"}]
                asked = await client.ask("remember", session_id="c", chat_history=history)
                assert text_of(asked) == "kept by the page"
                asked = await client.ask("remember", session_id="a", chat_history=history)
                assert text_of(asked) == "one | two | remember"

    run(test())


def test_an_llm_that_fails() -> None:
    """V06 V09: an error with a sentence under both names (X05), without the exception's text; then the next reply."""

    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            frames = await client.ask("fail", request_id="r1")
            assert [frame["type"] for frame in frames] == ["start", "error"]
            error = frames[-1]
            assert (error["code"], error["request_id"], error["retryable"]) == ("reply_failed", "r1", True)
            assert error["error"] == error["message"]
            assert text_of(await client.ask("hello")) == "Hello. How can I help you?"
            again = await client.ask("fail", request_id="r1")
            assert len(again) == 2, "a request that failed is tried again"

    run(test())


@pytest.mark.parametrize(
    ("frame", "code", "named"),
    [
        ({"text": ""}, "empty_message", "text"),
        ({"text": " \n"}, "empty_message", "text"),
        ({"text": 5}, "bad_frame", "text: "),
        ({"text": "x", "session_id": 5}, "bad_frame", "session_id: "),
        ({"text": "x", "session_id": ""}, "bad_frame", "session_id: "),
        ({"text": "x", "voice_id": []}, "bad_frame", "voice_id: "),
        ({"text": "x", "chat_history": "no"}, "bad_frame", "chat_history: "),
        ({"text": "x", "chat_history": [{"role": "god", "content": "x"}]}, "bad_frame", "chat_history.0.role: "),
        ({"text": "x", "chat_history": [{"role": "user"}]}, "bad_frame", "chat_history.0.content: is missing"),
        ({"session_id": "s"}, "bad_frame", "text: is missing"),
        ({"text": "x" * 16_001}, "message_too_long", "16000"),
        ({"type": "cancel", "request_id": "unknown"}, "no_such_request", "unknown"),
        ({"type": "sync"}, "bad_frame", "session_id: is missing"),
        ({"message": "x"}, "wrong_endpoint", "/chat"),
    ],
)
def test_what_is_refused(frame: dict[str, Any], code: str, named: str) -> None:
    """V02 V06 X03: each field is named, and the connection stays usable."""

    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            await client.send(**frame)
            error = await client.receive()
            assert (error["type"], error["code"], named in error["message"]) == ("error", code, True), error
            assert text_of(await client.ask("hello")) == "Hello. How can I help you?"

    run(test())


def test_a_request_sent_again_after_a_reconnect_is_answered_once() -> None:
    """V21 V23: the client leaves in the middle, comes back, and gets all of the same reply."""

    async def test() -> None:
        async with serving() as gateway:
            async with asking(gateway) as client:
                await client.send(text="recite", session_id="s", request_id="r", voice_id="none")
                await client.until("chunk")
            async with asking(gateway) as client:
                await client.send(type="sync", session_id="s")
                state = await client.receive()
                assert (state["type"], state["replying"], state["history"]) == ("state", "r", [])
                frames = await client.ask("recite", session_id="s", request_id="r")
                assert frames[0]["type"] == "start"
                assert text_of(frames) == frames[-1]["final_response"] == LONG
                await client.send(type="sync", session_id="s")
                state = await client.receive()
                assert [message["content"] for message in state["history"]] == ["recite", LONG]
                assert "replying" not in state
                assert (await client.ask("recite", session_id="s", request_id="r"))[-1]["final_response"] == LONG
                await client.send(type="sync", session_id="s")
                assert len((await client.receive())["history"]) == 2
                await client.send(type="sync", session_id="unknown")
                assert (await client.receive())["history"] == []

    run(test())


def test_two_clients_of_one_session_both_get_the_reply() -> None:
    async def test() -> None:
        async with serving() as gateway, asking(gateway) as one, asking(gateway) as two:
            await one.send(text="recite", session_id="s", request_id="r", voice_id="none")
            await one.until("chunk")
            both = await asyncio.gather(one.until("end"), two.ask("recite", session_id="s", request_id="r"))
            assert both[0][-1] == both[1][-1]

    run(test())


def test_a_reply_can_be_cancelled() -> None:
    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            await client.send(text="recite", session_id="s", request_id="r")
            frames = await client.until("chunk")
            await client.send(type="cancel", request_id="r")
            frames += await client.until("end")
            assert frames[-1]["interrupted"] is True
            assert text_of(frames) == frames[-1]["final_response"] != LONG
            await client.send(type="cancel", request_id="r")  # over: nothing to do
            await client.send(type="cancel")
            assert text_of(await client.ask("remember", session_id="s")) == "recite"

    run(test())


def test_requests_of_one_session_are_answered_in_order_and_bounded() -> None:
    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            for n in range(conversations.PENDING + 2):
                await client.send(text="recite", session_id="s", request_id=str(n), voice_id="none")
            refused = (await client.until("error"))[-1]
            assert refused["code"] == "too_many_pending"
            ends = [(await client.until("end"))[-1]["request_id"] for _ in range(3)]
            assert ends == ["0", "1", "2"]

    run(test())


def test_a_connection_uses_at_most_16_sessions() -> None:
    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            for n in range(16):
                await client.ask("thanks", session_id=str(n))
            assert (await client.ask("thanks", session_id="one more"))[-1]["code"] == "too_many_sessions"
            assert (await client.ask("thanks", session_id="3"))[-1]["type"] == "end"

    run(test())


@pytest.mark.parametrize(("voice", "code"), [("unknown", "bad_voice"), ("broken", "speech_failed")])
def test_speech_that_fails_leaves_the_text(voice: str, code: str) -> None:
    """V12: the error follows `end`, and does not contain the exception's text."""

    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            await client.send(text="hello", voice_id=voice)
            *_, end, error = await client.until("error")
            assert (end["type"], error["code"]) == ("end", code)
            assert "secret" not in error["message"]
            assert (await client.ask("hello"))[-1]["type"] == "end"

    run(test())


def test_a_client_that_left_gets_no_speech() -> None:
    async def test() -> None:
        async with serving() as gateway:
            async with asking(gateway) as client:
                await client.send(text="recite", session_id="s", request_id="r")
                await client.until("chunk")
            async with asking(gateway) as client:
                replying = True
                while replying:
                    await client.send(type="sync", session_id="s")
                    replying = "replying" in await client.receive()
            parts: Any = gateway.parts
            assert parts.spoken == 0

    run(test())


def test_text_that_is_not_ascii_arrives_as_it_is() -> None:
    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client:
            assert text_of(await client.ask("unicode")) == "Grüße 👩‍👩‍👧‍👦 <img src=x onerror=alert(1)>"

    run(test())


def test_the_same_conversation_over_http() -> None:
    """V11: the fallback of pages; the session is shared with the WebSocket."""

    async def test() -> None:
        async with serving() as gateway, asking(gateway) as client, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{gateway.port}/llm/query"
            await client.ask("one", session_id="s")
            body = {"text": "remember", "session_id": "s", "request_id": "r", "voice_id": "slt"}
            async with http.post(url, json=body) as response:
                answered = await response.json()
            assert (response.status, answered["response"], answered["session_id"]) == (200, "one", "s")
            assert base64.b64decode(answered["audio"]["data"])[:4] == b"RIFF"
            async with http.post(url, json={**body, "voice_id": "none"}) as response:
                assert (await response.json())["response"] == "one", "the same request is answered once"
            for refused, status, code in (
                (b"{", 400, "bad_json"),
                (b'{"text": ""}', 422, "empty_message"),
                (b'{"text": "fail"}', 502, "reply_failed"),
                (b'{"text": "' + b"x" * 300_000 + b'"}', 413, "frame_too_large"),
            ):
                async with http.post(url, data=refused) as response:
                    problem = await response.json()
                assert (response.status, problem["code"], problem["error"]) == (status, code, problem["message"])
            async with http.post(url, json={"text": "hello", "voice_id": "unknown"}) as response:
                answered = await response.json()
            assert answered["response"] == "Hello. How can I help you?"
            assert "no voice unknown" in answered["audio_error"]

    run(test())


class _Published:
    """What was reported, instead of a publisher: the hub is not what is tested here."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def publish(self, event: dict[str, Any]) -> None:
        self.events.append(event)


def test_a_conversation_is_one_session_on_the_hub() -> None:
    published: Any = _Published()

    async def test() -> None:
        async with serving() as gateway:
            gateway.publisher = published
            async with asking(gateway) as client:
                await client.ask("What is the weather in Oslo?", session_id="s")

    run(test())
    types = [event["type"] for event in published.events]
    assert types[:2] == ["session_started", "transcript"]
    assert types.index("tool_call_started") < types.index("tool_call_finished") < types.index("agent_text_delta")
    assert types[-3:] == ["agent_text_complete", "transcript", "session_ended"]
    assert {event["session"] for event in published.events} == {"s"}
    assert {event["room"] for event in published.events} == {"gateway"}
    deltas = [event for event in published.events if event["type"] == "agent_text_delta"]
    assert [delta["offset"] for delta in deltas][:2] == [0, len(deltas[0]["delta"])]


def test_what_was_spoken_and_is_then_sent_as_text_is_reported_once() -> None:
    """The voice page transcribes over one socket and asks over another, in the same session."""
    published: Any = _Published()

    async def test() -> None:
        async with serving() as gateway:
            gateway.publisher = published
            microphone = gateway.report(session="s", participant="user", mode="gateway")
            microphone.user_said("Hello", "u1")
            microphone.user_said("there.", "u2")
            async with asking(gateway) as client:
                await client.ask("hello there.", session_id="s")
                microphone.ended("the client has left")
                await client.ask("typed", session_id="s")

    run(test())
    said = [event["text"] for event in published.events if event["type"] == "transcript" and event["role"] == "user"]
    assert said == ["Hello", "there.", "typed"]
    assert [event["type"] for event in published.events].count("session_started") == 1


def test_conversations_are_forgotten_and_bounded() -> None:
    """After an hour without use; a connection or a reply in progress keeps one."""
    now = [0.0]
    ended: list[str] = []

    class Report(ReportedSession):
        def ended(self, reason: str) -> None:
            ended.append(reason)

    def report(id: str) -> ReportedSession:
        return Report(None, session=id, room="r", participant="user", mode="gateway")

    async def never(_conversation: Conversation, _reply: Reply) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        known = Conversations(never, report, lambda: now[0])
        known.get("connected").connections = 1
        known.get("busy").ask(Ask(text="x"))
        known.get("idle").remember("user", "hello")
        now[0] += conversations.END + 1
        await known.forget()
        assert (len(known), ended) == (3, ["the client has left"])
        now[0] += conversations.FORGET
        await known.forget()
        assert len(known) == 2
        assert known.state("idle").history == ()
        for n in range(conversations.CONVERSATIONS):
            known.get(str(n))
        await known.forget()
        assert len(known) == conversations.CONVERSATIONS
        await known.close()

    run(test())


def test_the_context_is_bounded() -> None:
    async def test() -> None:
        report = ReportedSession(None, session="s", room="r", participant="user", mode="gateway")

        async def nothing(_conversation: Conversation, _reply: Reply) -> None:
            return

        conversation = Conversation("s", nothing, report, 0.0)
        for n in range(1000):
            conversation.remember("user", f"{n} " + "x" * 2000)
        assert sum(len(message.content) for message in conversation.messages) <= conversations.CHARACTERS
        assert conversation.messages[-1].content.startswith("999 ")

    run(test())


def test_followers_get_every_frame_whenever_they_come() -> None:
    async def test() -> None:
        reply = Reply(Ask(text="x"), "r")

        async def followed() -> list[Any]:
            return [frame async for frame in reply.follow()]

        early = asyncio.create_task(followed())
        for n in range(3):
            reply.add(Chunk(content=str(n), request_id="r"))
            await asyncio.sleep(0)
        middle = asyncio.create_task(followed())
        await asyncio.sleep(0)
        reply.add(End(final_response=reply.text, request_id="r"))
        reply.finish()
        late = await followed()
        assert await early == await middle == late
        assert (len(late), late[-1].final_response, reply.followers) == (4, "012", 0)

    run(test())


def test_long_replies_are_spoken_to_the_end_of_a_sentence() -> None:
    assert beginning("Short.") == "Short."
    spoken = beginning("A sentence of some length. " * 200)
    assert len(spoken) <= LONGEST
    assert spoken.endswith("length.")
    assert len(beginning("x" * 5000)) <= LONGEST
