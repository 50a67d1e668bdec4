"""`python -m agent` as a process, and a hub's stream as a list."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from event_hub.client import subscribe

from ..hubs import PATIENCE, ROOT

_FOREIGN = ("HUB_", "LIVEKIT_", "AGENT_", "OPENAI_", "PORT")
"""Prefixes of settings from the environment of the test run, which the agent must not see."""


class AgentProcess:
    """Started like the launcher does: without a terminal, its output in a file. Killed at the end of the `with`."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.log = folder / "agent.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self.environ = {**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", *arguments],
                cwd=folder,  # without the `.env` of the checkout
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, patience: float = 4 * PATIENCE) -> int:
        """Its exit code. Importing LiveKit alone takes four seconds on two idle cores."""
        return self.process.wait(patience)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def __enter__(self) -> AgentProcess:
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


def events_until(url: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """All events of the hub, up to the `count`-th of that type."""
    seen: list[dict[str, Any]] = []
    with subscribe(url, since="all") as events:
        for received in events:
            seen.append(received.event)
            count -= received.event["type"] == kind
            if not count:
                return seen
    raise AssertionError("the stream has ended")
