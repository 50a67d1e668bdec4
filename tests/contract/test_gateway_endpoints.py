"""What every WebSocket endpoint of the gateway promises, whatever its protocol. One suite, run on each."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import ConnectionClosed

from agent.gateway.endpoints import ENDPOINTS
from agent.gateway.errors import ERRORS

from ..gateway.conftest import gateway
from ..gateway.gateways import Client, GatewayProcess, client
from ..hubs import PATIENCE, until

__all__ = ["gateway"]

PATHS = [endpoint.path for endpoint in ENDPOINTS]
JSON_PATHS = [endpoint.path for endpoint in ENDPOINTS if endpoint.answers_pings]
GREETED = ("/", "/chat", "/ws/transcribe-stream")
"""Endpoints that send the first frame."""


def greet(client: Client, path: str) -> None:
    if path in GREETED:
        assert client.receive()["type"] == "ready"


def answers(client: Client) -> None:
    """The connection is usable."""
    client.send({"type": "ping", "id": "still there"})
    assert client.until("pong")[-1]["id"] == "still there"


@pytest.mark.parametrize("path", JSON_PATHS)
def test_hostile_frames_get_a_documented_error_and_the_connection_stays_usable(
    gateway: GatewayProcess, path: str
) -> None:
    """W12, L06, V06: one error each, with a sentence; on /ws/* under both names (X05)."""
    with client(gateway.ws(path)) as hostile:
        greet(hostile, path)
        for frame in ("", "{", "[]", "null", "17", '"text"', '{"type": 5}', '{"type": "nonsense"}', "\x00", "💥"):
            hostile.send(frame)
            error = hostile.receive()
            assert (error["type"], error["code"] in ERRORS) == ("error", True), (frame, error)
            assert error["code"] not in ("internal", "not_configured")
            assert len(error["message"]) > 10
            assert error.get("error") == (error["message"] if path.startswith("/ws") else None)
        answers(hostile)


HOMES: tuple[tuple[object, str], ...] = (
    ({"message": "hello"}, "/chat"),
    ({"type": "chat", "messages": [{"role": "user", "content": "hello"}]}, "/llm"),
    ({"text": "hello", "session_id": "s"}, "/ws/llm-stream"),
    ("START_RECORDING", "/ws/audio-stream"),
)
"""Frames that belong to one endpoint."""
LOST = [
    (path, frame, home)
    for path in JSON_PATHS
    for frame, home in HOMES
    if path != home and (path, home) != ("/", "/chat")
]


@pytest.mark.parametrize(("path", "frame", "home"), LOST)
def test_a_frame_of_another_endpoint_is_told_the_right_path(
    gateway: GatewayProcess, path: str, frame: object, home: str
) -> None:
    """X03: pages are opened against the wrong server."""
    with client(gateway.ws(path)) as lost:
        greet(lost, path)
        lost.send(frame)
        error = lost.receive()
        assert error["code"] == "wrong_endpoint"
        assert f"connect to {home}" in error["message"]
        answers(lost)


@pytest.mark.parametrize("path", PATHS)
def test_a_frame_that_is_too_large_is_refused_and_the_connection_stays_usable(
    gateway: GatewayProcess, path: str
) -> None:
    with client(gateway.ws(path)) as greedy:
        greet(greedy, path)
        greedy.send(json.dumps({"message": "x" * 300_000}))
        assert greedy.receive()["code"] == "frame_too_large"
        greedy.send({"type": "ping", "id": "a"})
        assert greedy.until("ping" if path == "/ws" else "pong")


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_without_a_word_leaves_nothing_behind(gateway: GatewayProcess, path: str) -> None:
    """W16, V22: the TCP connection is cut in the middle of a frame."""
    with client(gateway.ws("/ws")) as neighbour:
        before = gateway.connections()
        with client(gateway.ws(path)) as leaving:
            greet(leaving, path)
            leaving.socket.socket.sendall(b"\x81\xfe\x10\x00\0\0\0\0{")  # 1 of 4096 bytes
            leaving.socket.socket.shutdown(2)
            with pytest.raises(ConnectionClosed):
                while True:
                    leaving.socket.recv(PATIENCE)
        until(lambda: gateway.connections() == before, "the connection to be gone")
        neighbour.send("hello")
        assert neighbour.socket.recv(PATIENCE) == "hello"
