"""The shared socket and the client of the chat, in Node against a real gateway."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ...toolchain import tool
from ..gateways import GatewayProcess

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", ["socket.test.mjs", "streaming-agent-client.test.mjs"])
def test_in_node(file: str, gateway: GatewayProcess) -> None:
    """V18–V21, W23"""
    command = [tool("node"), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", str(HERE / file)]
    environ = {**os.environ, "GATEWAY": gateway.ws("/ws"), "GATEWAY_CHAT": gateway.ws("/chat")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout
    assert "skipped 0" in done.stdout
