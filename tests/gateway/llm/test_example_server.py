"""`ws_llm_server.py` as its users start it."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from ...hubs import ROOT, until
from ..gateways import GatewayProcess, client

SERVER = str(ROOT / "examples" / "voice_agents" / "websocket_text_streaming" / "ws_llm_server.py")


def start(folder: Path, *arguments: str, **environ: str) -> GatewayProcess:
    folder.mkdir(exist_ok=True)
    return GatewayProcess(folder, *arguments, program=(SERVER,), **environ)


def test_it_serves_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """L02, L06, L07: the original's log lines, the healthcare prompt, no traceback at the end, with a client connected."""
    with start(tmp_path) as server:
        server.ready()
        lines = server.output().splitlines()
        assert f"INFO:ws-llm-server:Starting Healthcare LLM Server on ws://localhost:{server.port}" in lines
        assert lines[-1] == "INFO:ws-llm-server:Server started. Press Ctrl+C to stop."
        assert "WARNING:ws-llm-server:OPENAI_API_KEY is not set: answers come from a script." in lines
        with client(server.ws("/")) as chat:
            chat.send({"type": "chat", "messages": [{"role": "user", "content": "hello"}]})
            assert chat.until("complete")[-1]["content"] == "Hello. How can I help you?"
            assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.output()


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    """X01: exit 1; it names the likely other program, and the next port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start(tmp_path, "--port", str(port)) as server:
            assert server.process.wait(30) == 1
            last = server.output().splitlines()[-1]
            assert last.startswith(f"ws-llm-server: Port {port} is taken, perhaps by another gateway")
            assert "websocket_server.py" in last
            assert f"--port {port + 1}" in last
            assert "Traceback" not in server.output()


def test_the_gateway_and_the_llm_server_run_side_by_side(tmp_path: Path) -> None:
    """X01: by default both on 8765, here with a `--port` for the second, as the sentence says."""
    with GatewayProcess(_made(tmp_path / "gateway")) as gateway, start(tmp_path / "llm") as server:
        gateway.ready()
        server.ready()
        for url in (gateway.ws("/llm"), server.ws("/"), server.ws("/llm")):
            with client(url) as chat:
                chat.send({"type": "chat", "messages": [{"role": "user", "content": "hello"}]})
                assert chat.until("complete")[-1]["content"] == "Hello. How can I help you?"


def test_a_token_is_needed_where_there_is_one(tmp_path: Path) -> None:
    """L23, L24: on an address that other machines reach; 4401 without it, an answer with it."""
    with start(tmp_path, "--host", "0.0.0.0", GATEWAY_TOKEN="sesame") as server:
        server.ready()
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with client(server.ws("/"), additional_headers=headers) as chat:
                assert chat.receive()["code"] == "unauthorized"
                assert chat.closed()[0] == 4401
        for url, headers in (
            (server.ws("/"), {"Authorization": "Bearer sesame"}),
            (server.ws("/?access_token=sesame"), {}),
        ):
            with client(url, additional_headers=headers) as chat:
                chat.send({"type": "chat", "messages": [{"role": "user", "content": "hello"}]})
                chat.until("complete")


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (("--host", "0.0.0.0"), {}, "set GATEWAY_TOKEN to a secret"),
        ((), {"AGENT_LLM": "openai"}, "OPENAI_API_KEY is not set"),
    ],
)
def test_wrong_settings_are_one_sentence(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], sentence: str
) -> None:
    """L18, L24."""
    with start(tmp_path, *arguments, **environ) as server:
        assert server.process.wait(30) == 2
        assert sentence in server.output().splitlines()[-1]
        assert "Traceback" not in server.output()


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    """L02: a long answer holds the end up for GATEWAY_DRAIN at most, and not at all for who is in a hurry."""
    with start(tmp_path, GATEWAY_DRAIN="1h") as server:
        server.ready()
        with client(server.ws("/")) as chat:
            chat.send({"type": "chat", "messages": [{"role": "user", "content": "tell me a long story"}]})
            chat.until("delta")
            server.process.send_signal(signal.SIGINT)
            until(lambda: "shutting down" in server.output(), "the first Ctrl-C to be noticed")
            assert server.stop(signal.SIGINT) == 1
            with pytest.raises(ConnectionClosed):
                while True:
                    chat.receive()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
