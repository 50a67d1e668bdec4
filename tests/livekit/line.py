"""All that a call needs, each in a process of its own: a hub, a LiveKit server that tells the hub of its rooms, a
stand-in for OpenAI, and an agent that the hub has started."""

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
    """Somebody who watches the hub's stream all the time, through its restarts."""

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
"""Settings of this shell's that are not for the tests' agents."""


class Line:
    """`any_load`: LiveKit gives calls to a busy worker, too. `environ`: further settings of the hub, which the agent
    inherits."""

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
        """May fail at any point: `close` ends what is there."""
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
            # A hub takes its agents along; one that was killed, or has failed the test, does not.
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
        """Have the hub start an agent, and wait until it is ready; returns its status."""
        response = requests.post(f"{self.hub.url}/api/agent/start", json=body, timeout=PATIENCE)
        assert response.status_code == 202, response.text
        self._agents.append(psutil.Process(response.json()["pid"]))
        return self.wait_agent("ready")

    def wait_agent(self, state: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            status = self.status()
            assert status["status"] == state or status["status"] not in ("crashed", "stopped"), status
            return status if status["status"] == state else None

        # To load its library and its models takes ten seconds, of two cores that have nothing else to do.
        found: dict[str, Any] = until(reached, f"the agent to be {state}", 4 * PATIENCE)
        return found

    def status(self) -> dict[str, Any]:
        """The agent that was started last."""
        status: dict[str, Any] = self.hub.get("/api/agent/status")["agents"][0]
        return status

    def stop_agent(self) -> None:
        """Have the hub stop it, as a user would."""
        response = requests.post(f"{self.hub.url}/api/agent/stop", timeout=PATIENCE)
        assert response.status_code in (200, 202), response.text
        self.wait_agent("stopped")

    # -- callers -------------------------------------------------------------------------------------------------------

    def token(self, room: str, identity: str, agent: str = "") -> dict[str, Any]:
        """What the hub's token endpoint answers. `agent`: an agent to be dispatched to the room by its name."""
        body: dict[str, Any] = {"room_name": room, "participant_identity": identity}
        if agent:
            body["room_config"] = {"agents": [{"agent_name": agent}]}
        response = requests.post(f"{self.hub.url}/api/token", json=body, timeout=PATIENCE)
        assert response.ok, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def call(self, room: str, identity: str, agent: str = "") -> Caller:
        """Somebody calls: with a token from the hub, into a room."""
        token = self.token(room, identity, agent)
        caller = Caller(token["server_url"], token["participant_token"], self.folder / identity)
        self._callers.append(caller)
        caller.wait("connected")
        return caller

    # -- what the hub has ----------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """All that has come over the hub's stream, in order: each event with its id as `_id` and `_seen`, when it came."""
        assert self.watcher is not None
        return list(self.watcher.seen)

    def kept(self) -> list[Event]:
        """All that the hub has kept, in order."""
        response = requests.get(
            f"{self.hub.url}/api/events", headers={"Accept": "application/x-ndjson"}, timeout=PATIENCE
        )
        return [json.loads(line) for line in response.text.splitlines()]

    def wait_event(self, kind: str, **fields: Any) -> Event:
        """The first event of `kind` with such fields; waits for it."""

        def found() -> Event | None:
            return next((e for e in self.events() if e["type"] == kind and e.items() >= fields.items()), None)

        event: Event = until(found, f"{kind} {fields}")
        return event

    def logs(self) -> str:
        """The end of each one's log, for a person."""
        logs = [self.livekit.log, self.hub.log, *sorted(self.folder.rglob("ag_*.log"))]
        shown = []
        for log in logs:
            if log.exists():
                shown.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-60:]))
        return "\n".join([*shown, *(f"--- caller\n{caller.tail()}" for caller in self._callers)])
