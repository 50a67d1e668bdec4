"""Clients of other authors, run as the guide says: the package websockets, Node's WebSocket, wscat from npm (W19)."""

from __future__ import annotations

import subprocess
import sys

from ..examples.packages import EXAMPLES, copied, environment
from ..hubs import PATIENCE, until
from ..toolchain import tool
from .gateways import GatewayProcess

QUESTION = "What is the weather in San Francisco?"


def test_the_python_and_node_examples_print_the_answer(gateway: GatewayProcess) -> None:
    for command in ([sys.executable, "chat.py"], [tool("node"), "chat.mjs"]):
        done = subprocess.run(
            [*command, QUESTION, gateway.ws("/chat")],
            cwd=EXAMPLES / "websocket",
            env=environment(),
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "San Francisco" in done.stdout
        assert "68°F" in done.stdout


def test_wscat_from_npm_chats(gateway: GatewayProcess) -> None:
    """It prints the frames as they come, and sends what is typed."""
    with copied("websocket") as folder:
        client = subprocess.Popen(
            [tool("node"), str(folder / "node_modules" / "wscat" / "bin" / "wscat"), "-c", gateway.ws("/")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdin is not None
            assert client.stdout is not None
            lines: list[str] = []

            def printed(part: str) -> bool:
                lines.append(client.stdout.readline() if client.stdout else "")
                return part in lines[-1]

            until(lambda: printed('"type":"ready"'), "wscat to show the ready frame")
            client.stdin.write(f'{{"message": "{QUESTION}"}}\n')
            client.stdin.flush()
            until(lambda: printed('"type":"result"'), "wscat to show the result")
            assert '"type":"function_call"' in lines[-1]
            assert any('"type":"delta"' in line for line in lines)
        finally:
            client.kill()
            client.communicate()
