"""What every endpoint of the gateway does: limits, pings, origins, tokens, wrong frames, the orderly end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from agent.failure import Failure
from agent.gateway.connection import Connection
from agent.gateway.endpoints import Endpoint
from agent.gateway.frames import FrameError, decode
from agent.gateway.server import Gateway
from agent.gateway.settings import GatewaySettings
from event_hub.websocket_protocols.base import Frame, Ping

from ..hubs import PATIENCE, free_port

SETTINGS = GatewaySettings(port=0, drain=1.0)
ECHO = (Endpoint("/ws", "echo:serve", "echo", answers_pings=False), Endpoint("/other", "echo:serve", "echo"))


@asynccontextmanager
async def serving(settings: GatewaySettings = SETTINGS, endpoints: Any = ECHO) -> AsyncIterator[Gateway]:
    gateway = Gateway(settings, endpoints=endpoints, routes=())
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def connected(
    gateway: Gateway, path: str = "/ws", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{gateway.port}{path}", **options) as socket,
    ):
        yield socket


async def received(socket: aiohttp.ClientWebSocketResponse) -> Any:
    message = await socket.receive(timeout=PATIENCE)
    return json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else message


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 4 * PATIENCE))


def test_echo_returns_text_as_it_is() -> None:
    """V39: whatever the text is, pings included; binary frames are refused and the connection stays usable (X16)."""

    async def test() -> None:
        async with serving() as gateway, connected(gateway) as socket:
            for text in ("hello", "", '{"type":"ping"}', "ü" * 1000, "null"):
                await socket.send_str(text)
                assert (await socket.receive(timeout=PATIENCE)).data == text
            await socket.send_bytes(b"\0\1")
            refused = await received(socket)
            assert refused["type"] == "error"
            assert refused["code"] == "unexpected_binary"
            assert refused["error"] == refused["message"]  # X05
            await socket.send_str("still here")
            assert (await socket.receive(timeout=PATIENCE)).data == "still here"

    run(test())


def test_a_frame_that_is_too_large_is_named_and_ignored() -> None:
    async def test() -> None:
        async with serving(replace(SETTINGS, max_frame=1000)) as gateway, connected(gateway) as socket:
            await socket.send_str("ü" * 501)
            assert (await received(socket))["code"] == "frame_too_large"
            await socket.send_str("ü" * 500)
            assert (await socket.receive(timeout=PATIENCE)).data == "ü" * 500
            await socket.send_str("x" * 16_001)
            assert (await socket.receive(timeout=PATIENCE)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            assert socket.close_code == 1009

    run(test())


def test_a_flood_is_slowed_down_and_loses_nothing() -> None:
    """Twice the rate is a burst; after that the client is told once a second, and its frames wait in TCP."""

    async def test() -> None:
        async with serving(replace(SETTINGS, rate=100.0)) as gateway, connected(gateway) as socket:
            for n in range(300):
                await socket.send_str(str(n))
            answers = []
            while len(answers) < 300:
                message = (await socket.receive(timeout=PATIENCE)).data
                if message.startswith("{"):
                    assert json.loads(message)["code"] == "too_fast"
                    answers_before = len(answers)
                else:
                    answers.append(message)
            assert answers == [str(n) for n in range(300)]
            assert answers_before >= 100

    run(test())


def test_a_json_ping_is_answered_by_every_endpoint_but_echo() -> None:
    """V20: browsers cannot send WebSocket pings."""

    async def test() -> None:
        async with serving() as gateway, connected(gateway, "/other") as socket:
            await socket.send_str('{"type": "ping", "id": "7"}')
            assert await received(socket) == {"type": "pong", "id": "7"}

    run(test())


def test_an_idle_connection_is_closed_with_its_reason() -> None:
    async def test() -> None:
        async with serving(replace(SETTINGS, idle=0.2)) as gateway, connected(gateway) as socket:
            assert (await received(socket))["code"] == "idle"
            await socket.receive(timeout=PATIENCE)
            assert socket.close_code == 4408

    run(test())


def test_a_client_that_answers_no_ping_is_disconnected() -> None:
    """V20, V22: the peer is frozen, its TCP connection open."""

    async def test() -> None:
        async with (
            serving(replace(SETTINGS, heartbeat=0.2)) as gateway,
            connected(gateway, autoping=False) as socket,
        ):
            assert (await socket.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.PING
            assert (await socket.receive(timeout=PATIENCE)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert socket.close_code == 1006
            while gateway.connections:
                await asyncio.sleep(0.01)

    run(test())


def test_a_client_that_reads_nothing_is_disconnected_and_costs_no_other_client_anything() -> None:
    async def flood(connection: Connection, _gateway: Gateway) -> None:
        async for _ in connection.frames():
            while True:
                await connection.send_bytes(bytes(100_000))

    async def test() -> None:
        endpoint = _Own("/flood", flood)
        async with serving(replace(SETTINGS, stall=0.3, rate=1e6), (*ECHO, endpoint)) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(
                b"GET /flood HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            async with connected(gateway) as neighbour:
                writer.write(b"\x81\x82\0\0\0\0go")
                while gateway.connections != 1:
                    await neighbour.send_str("x")
                    assert (await neighbour.receive(timeout=PATIENCE)).data == "x"
            writer.close()

    run(test())


def test_connections_are_limited() -> None:
    async def test() -> None:
        async with serving(replace(SETTINGS, connections=2)) as gateway, aiohttp.ClientSession() as session:
            async with connected(gateway), connected(gateway):
                url = f"http://127.0.0.1:{gateway.port}/ws"
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await session.ws_connect(url)
                assert refused.value.status == 503
                assert refused.value.headers is not None
                assert refused.value.headers["Retry-After"] == "5"
            while gateway.connections:
                await asyncio.sleep(0.01)
            async with connected(gateway) as socket:
                await socket.send_str("free again")
                assert (await socket.receive(timeout=PATIENCE)).data == "free again"

    run(test())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"Origin": "http://localhost:5000"}, None),
        ({"Origin": "http://[::1]:3000"}, None),
        ({"Origin": "null"}, None),
        ({"Origin": "https://app.example.org"}, None),
        ({"Origin": "https://evil.example.org"}, 4403),
        ({"Origin": "http://localhost.evil.example.org"}, 4403),
        ({"Origin": "http://localhost:5000", "Host": "rebound.example.org"}, 4403),
    ],
)
def test_pages_of_foreign_origins_are_refused(headers: dict[str, str], code: int | None) -> None:
    """Any page in a browser on this machine can open a WebSocket to it."""

    async def test() -> None:
        settings = replace(SETTINGS, origins=("https://app.example.org",))
        async with serving(settings) as gateway, connected(gateway, headers=headers) as socket:
            if code is None:
                await socket.send_str("welcome")
                assert (await socket.receive(timeout=PATIENCE)).data == "welcome"
            else:
                assert (await received(socket))["code"] == "forbidden_origin"
                await socket.receive(timeout=PATIENCE)
                assert socket.close_code == code

    run(test())


def test_a_token_is_required_where_set_and_never_shown() -> None:
    """L23, X10: as a header or in the address; HTTP routes answer 401."""

    async def test() -> None:
        settings = replace(SETTINGS, token="s3cret")
        async with serving(settings) as gateway:
            for path, headers in (
                ("/ws?access_token=s3cret", {}),
                ("/ws", {"Authorization": "Bearer s3cret"}),
                ("/ws?access_token=s3cret", {"Origin": "https://anywhere.example.org"}),
            ):
                async with connected(gateway, path, headers=headers) as socket:
                    await socket.send_str("in")
                    assert (await socket.receive(timeout=PATIENCE)).data == "in"
            for path, headers in (
                ("/ws", {}),
                ("/ws?access_token=S3CRET", {}),
                ("/ws?access_token=s3cret", {"Authorization": "Bearer wrong"}),
                ("/ws", {"Authorization": "Basic s3cret"}),
            ):
                async with connected(gateway, path, headers=headers) as socket:
                    refused = await received(socket)
                    assert refused["code"] == "unauthorized"
                    assert "s3cret" not in str(refused)
                    await socket.receive(timeout=PATIENCE)
                    assert socket.close_code == 4401
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{gateway.port}"
                assert (await session.get(f"{url}/nothing")).status == 401
                assert (await session.get(f"{url}/health")).status == 200

    run(test())


def test_a_path_without_an_endpoint_names_those_that_exist() -> None:
    async def test() -> None:
        async with serving() as gateway:
            async with connected(gateway, "/chatt") as socket:
                refused = await received(socket)
                assert refused["code"] == "no_such_endpoint"
                assert "/ws, /other" in refused["message"]
                await socket.receive(timeout=PATIENCE)
                assert socket.close_code == 4404
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{gateway.port}"
                assert (await session.get(f"{url}/chatt")).status == 404
                assert (await session.get(f"{url}/ws")).status == 426
                assert (await session.get(f"{url}/static/..%2f..%2fpyproject.toml")).status == 404
                assert (await session.get(f"{url}/static/%00")).status == 404

    run(test())


def test_a_fault_in_an_endpoint_closes_only_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(connection: Connection, _gateway: Gateway) -> None:
        async for _ in connection.frames():
            raise ZeroDivisionError

    async def test() -> None:
        async with serving(SETTINGS, (*ECHO, _Own("/fail", fail))) as gateway, connected(gateway) as neighbour:
            async with connected(gateway, "/fail") as socket:
                await socket.send_str("go")
                assert (await received(socket))["code"] == "internal"
                await socket.receive(timeout=PATIENCE)
                assert socket.close_code == 1011
            await neighbour.send_str("fine")
            assert (await neighbour.receive(timeout=PATIENCE)).data == "fine"

    run(test())
    assert "ZeroDivisionError" in caplog.text


def test_stopping_lets_replies_end_and_closes_every_connection() -> None:
    """Replies in progress have GATEWAY_DRAIN; then nothing is left: no task, no socket."""
    finished: list[str] = []

    async def reply(connection: Connection, gateway: Gateway) -> None:
        async for frame in connection.frames():
            await gateway.closing.wait()
            await connection.send_text(f"answer to {frame!s}")
            finished.append(str(frame))

    async def never(connection: Connection, _gateway: Gateway) -> None:
        async for _ in connection.frames():
            await asyncio.Event().wait()

    async def test() -> None:
        before = asyncio.all_tasks()
        settings = replace(SETTINGS, drain=0.3)
        endpoints = (*ECHO, _Own("/reply", reply), _Own("/never", never))
        async with aiohttp.ClientSession() as session, serving(settings, endpoints) as gateway:
            url = f"http://127.0.0.1:{gateway.port}"
            sockets = [await session.ws_connect(url + path) for path in ("/reply", "/never", "/ws")]
            for socket in sockets:
                await socket.send_str("question")
            assert (await sockets[2].receive(timeout=PATIENCE)).data == "question"
            stopping = asyncio.create_task(gateway.stop())
            assert (await sockets[0].receive(timeout=PATIENCE)).data == "answer to question"
            for socket in sockets:
                await socket.receive(timeout=PATIENCE)
                assert socket.close_code == 1001
            await stopping
        assert asyncio.all_tasks() == before

    run(test())
    assert finished == ["question"]


def test_a_client_that_leaves_is_noticed_while_its_endpoint_works() -> None:
    """W16: `left` is set although the endpoint does not read."""
    noticed: list[bool] = []

    async def work(connection: Connection, _gateway: Gateway) -> None:
        async for _ in connection.frames():
            await connection.left.wait()
            noticed.append(True)

    async def test() -> None:
        async with serving(SETTINGS, (_Own("/work", work),)) as gateway:
            async with connected(gateway, "/work") as socket:
                await socket.send_str("go")
            while gateway.connections:
                await asyncio.sleep(0.01)

    run(test())
    assert noticed == [True]


class _Own(Endpoint):
    """An endpoint whose function is given."""

    def __new__(cls, *_: Any) -> _Own:
        return object.__new__(cls)

    def __init__(self, path: str, serve: Any) -> None:
        super().__init__(path, "", "")
        object.__setattr__(self, "_serve", serve)

    def load(self) -> Any:
        return self._serve  # type: ignore[attr-defined]


def test_two_gateways_on_one_port() -> None:
    """X01: the sentence names the likely other program, and how to choose another port."""

    async def test() -> None:
        async with serving() as first:
            with pytest.raises(Failure) as refused:
                async with serving(replace(SETTINGS, port=first.port)):
                    pass
            assert f"Port {first.port} is taken" in refused.value.sentence
            assert f"--port {first.port + 1}" in refused.value.sentence
            assert refused.value.code == 1

    run(test())


def test_localhost_is_both_loopback_addresses() -> None:
    """W06"""

    async def test() -> None:
        async with serving(replace(SETTINGS, port=free_port())) as gateway, aiohttp.ClientSession() as session:
            assert (await session.get(f"http://localhost:{gateway.port}/health")).status == 200
            assert (await session.get(f"http://127.0.0.1:{gateway.port}/health")).status == 200

    run(test())


class _Message(Frame):
    """A test."""

    message: str


@pytest.mark.parametrize(
    ("text", "path", "code", "named"),
    [
        ("{", "/chat", "bad_json", ""),
        ("[1]", "/chat", "bad_json", ""),
        ('{"message": "\\ud83d"}', "/chat", "bad_json", "surrogate"),
        ("NaN", "/chat", "bad_json", ""),
        ("[" * 100_000, "/chat", "bad_json", ""),
        (b"\0", "/chat", "unexpected_binary", ""),
        ('{"message": 5}', "/chat", "bad_frame", "message: "),
        ("{}", "/chat", "bad_frame", "message: is missing"),
        ('{"type": "chat", "messages": []}', "/chat", "wrong_endpoint", "connect to /llm"),
        ("START_RECORDING", "/chat", "wrong_endpoint", "connect to /ws/audio-stream"),
        ('{"text": "x", "session_id": "s"}', "/chat", "wrong_endpoint", "connect to /ws/llm-stream"),
        ('{"message": "x"}', "/llm", "wrong_endpoint", "connect to /chat"),
        ('{"type": ["x"]}', "/llm", "bad_frame", "type: unknown; /llm takes ping"),
    ],
)
def test_frames_that_are_refused(text: str | bytes, path: str, code: str, named: str) -> None:
    """X03, W12, L06: the sentence names the field, or the endpoint whose protocol it is."""
    model: Any = _Message if path == "/chat" else {"ping": Ping}
    with pytest.raises(FrameError) as refused:
        decode(text, model, path)
    assert (refused.value.code, named in refused.value.sentence) == (code, True)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"GATEWAY_HOST": "0.0.0.0"}, "set GATEWAY_TOKEN"),
        ({"GATEWAY_HOST": "::"}, "set GATEWAY_TOKEN"),
        ({"GATEWAY_PORT": "x", "GATEWAY_IDLE": "soon"}, "GATEWAY_IDLE=soon"),
        ({"GATEWAY_TOKEN": "two words"}, "GATEWAY_TOKEN=…"),
        ({"GATEWAY_MAX_FRAME": "0"}, "GATEWAY_MAX_FRAME=0"),
        ({"GATEWAY_ORIGINS": "example.org"}, "write origins such as"),
        ({"GATEWAY_PORT": "70000"}, "is not a port"),
    ],
)
def test_wrong_settings_are_named(environ: dict[str, str], sentence: str) -> None:
    """L24: without a token the gateway does not listen beyond loopback."""
    with pytest.raises(Failure) as refused:
        GatewaySettings.of(environ)
    assert sentence in refused.value.sentence


def test_settings_are_read_with_their_units() -> None:
    settings = GatewaySettings.of(
        {"GATEWAY_MAX_FRAME": "1MiB", "GATEWAY_IDLE": "5m", "GATEWAY_HOST": "0.0.0.0", "GATEWAY_TOKEN": "t"}, port=1234
    )
    assert (settings.max_frame, settings.idle, settings.port) == (1 << 20, 300.0, 1234)
    assert settings.address == "http://localhost:1234"
