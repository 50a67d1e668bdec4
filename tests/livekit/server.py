"""A real LiveKit server on loopback, in its own process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType

import requests

from ..hubs import PATIENCE, free_port, until
from . import built

KEY = "devkey"
SECRET = "a-secret-of-the-tests-that-is-long-enough"


class LiveKitServer:
    """`livekit-server` with one key, reachable from this machine only. It sends webhooks to the URL `webhooks`.

    It dispatches no calls to workers that report a high load, as all do on two cores that run tests. `any_load`: it
    dispatches to these too.
    """

    def __init__(self, folder: Path, webhooks: str = "", *, any_load: bool = False) -> None:
        self.port = free_port()
        self.log = folder / "livekit-server.log"
        self._config = json.dumps(  # JSON is YAML, too
            {
                "port": self.port,
                "bind_addresses": ["127.0.0.1"],
                "keys": {KEY: SECRET},
                "rtc": {
                    "udp_port": free_port(),
                    "tcp_port": 0,  # it would listen on all addresses
                    "interfaces": {"includes": ["lo"]},
                    "node_ip": "127.0.0.1",
                    "use_external_ip": False,
                    "enable_loopback_candidate": True,
                    "stun_servers": [],
                },
                "room": {"departure_timeout": 1},
                **({"agents": {"target_load": 2.0}} if any_load else {}),
                **({"webhook": {"api_key": KEY, "urls": [webhooks]}} if webhooks else {}),
            }
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The settings that a hub or an agent needs to reach it."""
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}

    def start(self) -> LiveKitServer:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [built.server(), "--config-body", self._config],
                env={name: value for name, value in os.environ.items() if not name.startswith("LIVEKIT_")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._answers, "livekit-server to answer")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # it keeps no data
            self._process.wait(PATIENCE)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"livekit-server has ended:\n{self.output()}"
        try:
            return requests.get(f"http://127.0.0.1:{self.port}", timeout=5).ok
        except requests.RequestException:
            return False

    def __enter__(self) -> LiveKitServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
