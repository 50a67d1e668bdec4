"""The examples of text streaming: their own tests, the demonstration, and the server as its readers start it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.gateway.settings import GatewaySettings

from ..conftest import outliving
from ..gateway.gateways import GatewayProcess, client
from ..hubs import PATIENCE, ROOT, until

FOLDER = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
SERVER = FOLDER / "websocket_server.py"
PRINTED = [
    "Starting WebSocket server on ws://localhost:{port}",
    "Connect using a WebSocket client or open websocket_client.html",
]


def environment() -> dict[str, str]:
    """Without keys and settings."""
    clean = {k: v for k, v in os.environ.items() if not re.match(r"HUB_|LIVEKIT_|AGENT_|OPENAI_|GATEWAY_|PORT", k)}
    return {**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def test_the_examples_own_tests() -> None:
    """T27: the command of the document, from the root of the project, without a key."""
    command = f"pytest {FOLDER.relative_to(ROOT)}/test_streaming_text_output.py -v -p no:cacheprovider"
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=4 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with (
        outliving() as keep,
        GatewayProcess(tmp_path_factory.mktemp("server"), program=(str(SERVER),), HUB_URL="") as process,
    ):
        process.ready()
        keep()
        yield process


def test_the_server_prints_where_it_listens(server: GatewayProcess) -> None:
    """W03 W04 W05: the lines of the document, and that answers are scripted."""
    lines = server.output().splitlines()
    assert [line for line in lines if line in [text.format(port=server.port) for text in PRINTED]] == [
        text.format(port=server.port) for text in PRINTED
    ]
    assert "OPENAI_API_KEY is not set: answers come from a script." in lines
    assert "Traceback" not in server.output()


def test_the_server_answers(server: GatewayProcess) -> None:
    """W01 W06 W19: at ws://localhost:port/, by IPv4 and IPv6; a plain text frame, as websocat sends it."""
    for host in ("localhost", "127.0.0.1", *(["[::1]"] if socket.has_ipv6 else [])):
        with client(f"ws://{host}:{server.port}") as chat:
            assert chat.receive() == {"type": "ready", "message": "Agent ready"}
            chat.send('{"message": "What is the weather in San Francisco?"}\n')
            frames = chat.until("result")
            assert frames[-2] == {"type": "complete", "text": "The weather in San Francisco is sunny, 68°F."}
            assert frames[-1]["events"][0]["arguments"] == '{"location": "San Francisco"}'


def test_what_prevents_a_start_is_one_line(server: GatewayProcess, tmp_path: Path) -> None:
    """W03 W06 X01: a busy port names the likely other program and another port; a missing key is named."""
    (tmp_path / "key").mkdir()
    with (
        GatewayProcess(tmp_path, "--port", str(server.port), program=(str(SERVER),), HUB_URL="") as busy,
        GatewayProcess(tmp_path / "key", program=(str(SERVER),), HUB_URL="", AGENT_LLM="openai") as keyless,
    ):
        assert busy.process.wait(4 * PATIENCE) == 1
        assert keyless.process.wait(4 * PATIENCE) == 2
        (why,) = busy.output().splitlines()
        (missing,) = keyless.output().splitlines()
    assert why.startswith(f"websocket_server: Port {server.port} is taken")
    assert "ws_llm_server.py" in why
    assert f"--port {server.port + 1}" in why
    assert re.search("OPENAI_API_KEY|api_key", missing)


def test_the_defaults() -> None:
    """W06 X01: localhost and 8765, as each document prints it."""
    assert (GatewaySettings().host, GatewaySettings().port) == ("localhost", 8765)


def test_a_client_that_leaves_does_not_stop_the_server(server: GatewayProcess) -> None:
    """W16"""
    with client(server.ws("/chat")) as chat:
        chat.receive()
        chat.send({"message": "Tell me a story."})
        chat.until("delta")
    until(lambda: server.connections() == 0, "the connection to end")
    with client(server.ws("/chat")) as chat:
        assert chat.receive()["type"] == "ready"
