"""Everything that a call needs, each in its own process: a hub, a LiveKit server that sends it webhooks, a stand-in for
OpenAI, and an agent that the hub starts."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import requests

from event_hub.client import subscribe

from ..hubs import PATIENCE, HubProcess, until
from ..toolchain import tool
from .caller import Caller
from .openai_standin import Standin
from .server import LiveKitServer

Event = dict[str, Any]


class Watcher:
    """A subscriber that watches the hub's stream through its restarts."""

    def __init__(self, url: str) -> None:
        self.seen: list[Event] = []
        self._subscription = subscribe(url, since="all", reconnect="always")
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        for received in self._subscription:
            self.seen.append({**received.event, "_id": received.id, "_seen": time.time()})

    def close(self) -> None:
        self._subscription.close()
        self._thread.join()


_OURS = ("AGENT_", "OPENAI_", "LIVEKIT_", "HUB_")
"""Prefixes of this shell's settings that the tests' agents must not inherit."""


class Line:
    """`any_load`: LiveKit gives calls to busy workers too. `environ`: more settings for the hub and its agent."""

    def __init__(self, folder: Path, *, any_load: bool = False, **environ: str) -> None:
        self.folder = folder
        self._callers: list[Caller] = []
        self._agents: list[psutil.Process] = []
        self.watcher: Watcher | None = None
        self.standin = Standin()
        port = str(HubProcess(folder).port)
        self.livekit = LiveKitServer(folder, f"http://127.0.0.1:{port}/api/livekit/webhook", any_load=any_load)
        settings = {
            "PORT": port,
            "HUB_HISTORY": f"sqlite:///{folder}/hub.db",
            "HUB_AGENT_STATE": str(folder / "agents"),
            "HUB_RECORDINGS": str(folder / "recordings"),
            "OPENAI_BASE_URL": self.standin.base_url,
            "OPENAI_API_KEY": "sk-of-the-stand-in",
            **self.livekit.environ,
            **environ,
        }
        self.hub = HubProcess(folder, **settings)
        inherited = [name for name in self.hub.environ if name.startswith(_OURS) and name not in settings]
        for name in inherited:
            del self.hub.environ[name]

    def open(self) -> Line:
        """If it fails halfway, `close` ends what has started."""
        tool("flite")
        self.livekit.start()
        self.hub.start()
        self.watcher = Watcher(self.hub.url)
        return self

    def close(self) -> None:
        for caller in self._callers:
            caller.close()
        if self.watcher:
            self.watcher.close()
        self.hub.stop()
        for agent in self._agents:
            # A hub stops its agents when it ends, but not if it was killed.
            try:
                if agent.is_running():
                    os.killpg(agent.pid, signal.SIGKILL)
                    agent.wait(PATIENCE)
            except (psutil.NoSuchProcess, ProcessLookupError):
                pass
        self.livekit.stop()
        self.standin.close()

    # -- the agent -----------------------------------------------------------------------------------------------------

    def start_agent(self, **body: Any) -> dict[str, Any]:
        """Let the hub start an agent, and wait until it is ready. Returns its status."""
        response = requests.post(f"{self.hub.url}/api/agent/start", json=body, timeout=PATIENCE)
        assert response.status_code == 202, response.text
        self._agents.append(psutil.Process(response.json()["pid"]))
        return self.wait_agent("ready")

    def wait_agent(self, state: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            status = self.status()
            assert status["status"] == state or status["status"] not in ("crashed", "stopped"), status
            return status if status["status"] == state else None

        # Loading its library and models takes ten seconds on two idle cores.
        found: dict[str, Any] = until(reached, f"the agent to be {state}", 4 * PATIENCE)
        return found

    def status(self) -> dict[str, Any]:
        """The status of the agent that was started last."""
        status: dict[str, Any] = self.hub.get("/api/agent/status")["agents"][0]
        return status

    def stop_agent(self) -> None:
        """Let the hub stop the agent, as a user would."""
        response = requests.post(f"{self.hub.url}/api/agent/stop", timeout=PATIENCE)
        assert response.status_code in (200, 202), response.text
        self.wait_agent("stopped")

    # -- callers -------------------------------------------------------------------------------------------------------

    def token(self, room: str, identity: str, agent: str = "") -> dict[str, Any]:
        """The response of the hub's token endpoint. `agent`: the name of an agent to dispatch to the room."""
        body: dict[str, Any] = {"room_name": room, "participant_identity": identity}
        if agent:
            body["room_config"] = {"agents": [{"agent_name": agent}]}
        response = requests.post(f"{self.hub.url}/api/token", json=body, timeout=PATIENCE)
        assert response.ok, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def call(self, room: str, identity: str, agent: str = "") -> Caller:
        """A caller joins a room, with a token from the hub."""
        token = self.token(room, identity, agent)
        caller = Caller(token["server_url"], token["participant_token"], self.folder / identity)
        self._callers.append(caller)
        caller.wait("connected")
        return caller

    # -- what the hub has ----------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """All events from the hub's stream, in order, each with its id as `_id` and its time of arrival as `_seen`."""
        assert self.watcher is not None
        return list(self.watcher.seen)

    def stored(self) -> list[Event]:
        """All events in the hub's history, in order."""
        response = requests.get(
            f"{self.hub.url}/api/events", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE
        )
        return [json.loads(line) for line in response.text.splitlines()]

    def wait_event(self, kind: str, **fields: Any) -> Event:
        """Wait for the first event of `kind` with these fields."""

        def found() -> Event | None:
            return next((e for e in self.events() if e["type"] == kind and e.items() >= fields.items()), None)

        event: Event = until(found, f"{kind} {fields}")
        return event

    def logs(self) -> str:
        """The end of each process's log, for people to read."""
        logs = [self.livekit.log, self.hub.log, *sorted(self.folder.rglob("ag_*.log"))]
        shown = []
        for log in logs:
            if log.exists():
                shown.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-60:]))
        return "\n".join([*shown, *(f"--- caller\n{caller.tail()}" for caller in self._callers)])
