"""A gateway in its own process, and the clients with which tests talk to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from ..hubs import PATIENCE, ROOT, free_port, until

_FOREIGN = ("HUB_", "LIVEKIT_", "AGENT_", "OPENAI_", "PORT", "GATEWAY_", "GOOGLE_", "GEMINI_", "ASSEMBLYAI_", "MURF_")
"""Prefixes of settings from the environment of the test run, which the gateway must not see."""


class GatewayProcess:
    """`python -m agent.gateway`, or another program that serves the same; killed at the end of the `with`.

    `hub`: the address of a hub that it reports to. Without one it reports to a port where nothing listens.
    """

    def __init__(
        self, folder: Path, *arguments: str, hub: str | None = None, program: tuple[str, ...] = ("-m", "agent.gateway"),
        **environ: str,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.log = folder / "gateway.log"
        self.port = int(environ.pop("GATEWAY_PORT", "0")) or free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self.environ = {
            **clean,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_DRAIN": "2s",
            "HUB_URL": hub or "http://127.0.0.1:9",
            **environ,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=folder,  # without the `.env` of the checkout
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ws(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def ready(self) -> GatewayProcess:
        """Wait until it serves requests."""

        def serves() -> bool:
            assert self.process.poll() is None, f"the gateway has exited:\n{self.output()}"
            try:
                return requests.get(f"{self.url}/health", timeout=PATIENCE).ok
            except requests.RequestException:
                return False

        until(serves, "the gateway to be ready", 4 * PATIENCE)
        return self

    def connections(self) -> int:
        """How many WebSockets are open."""
        return int(requests.get(f"{self.url}/health", timeout=PATIENCE).json()["connections"])

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it in order; returns its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(PATIENCE)
        if kind is not None:
            print(self.output())


class Client:
    """A WebSocket client that sends and receives JSON: the package `websockets`, as users have it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, frame: Any) -> None:
        """A dict is sent as JSON; text and bytes as they are."""
        self.socket.send(json.dumps(frame) if isinstance(frame, dict | list) else frame)

    def receive(self) -> dict[str, Any]:
        """The next frame; raises websockets' ConnectionClosed."""
        frame: dict[str, Any] = json.loads(self.socket.recv(PATIENCE))
        return frame

    def until(self, kind: str) -> list[dict[str, Any]]:
        """All frames up to and including the first of that type."""
        frames = [self.receive()]
        while frames[-1]["type"] != kind:
            frames.append(self.receive())
        return frames

    def closed(self) -> tuple[int, str]:
        """Wait until the gateway closes the connection; its code and reason. Frames that come before are dropped."""
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                self.socket.recv(PATIENCE)
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")


@contextmanager
def client(url: str, **options: Any) -> Iterator[Client]:
    """Connected to that address."""
    with connect(url, open_timeout=PATIENCE, close_timeout=PATIENCE, max_size=64 << 20, **options) as socket:
        yield Client(socket)
