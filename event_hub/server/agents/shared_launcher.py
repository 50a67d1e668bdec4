"""The launcher of a hub that shares its history with others.

Of the worker processes of one hub, the one that holds the agents' folder starts and watches them; the lock on it is the
kernel's, so that the next one takes over as soon as that process has ended, by whatever means. Requests that reach another
process are passed on. Hubs on other machines have agents of their own: the status shows all of them, each can be stopped
from anywhere, and of each mode and room only one runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..errors import RequestError
from ..filters import Scope
from ..history import HistoryError
from ..peers.calls import TIMEOUT, NoAnswer
from ..peers.peers import Peers
from ..settings import Settings
from .launch_plan import LaunchPlan
from .launcher import Launcher
from .modes import AutoStart
from .record import Restart, brief

_PATIENCE = 5.0
"""Seconds that a request waits until one of the processes of this hub holds the folder."""


class SharedLauncher(Launcher):
    """As `Launcher`, together with those of the other processes."""

    def __init__(
        self,
        settings: Settings,
        publish: Callable[[dict[str, Any]], object],
        credential: Callable[[str], str | None],
        peers: Peers,
    ) -> None:
        super().__init__(settings, publish, credential)
        self._peers = peers
        peers.calls.methods.update(
            {
                "agents.start": self._start_for_another,
                "agents.stop": self._stop_own,
                "agents.status": self._own_status,
                "agents.logs": self._own_logs,
                "agents.reported": lambda batch: Launcher.reported(self, [data.encode() for data in batch]),
            }
        )

    @property
    def launches(self) -> bool:
        """Whether this process starts and watches the agents of its hub."""
        return self._held and not self._closed

    def live(self) -> list[dict[str, Any]]:
        """This process's live agents, in brief."""
        with self._lock:
            return [brief(agent.facts()) for agent in self._live()]

    # -- for the routes --------------------------------------------------------------------------------------------------

    def start(
        self,
        mode: str | None,
        room: str | None,
        instructions: str | None,
        *,
        restart: Restart = "on-failure",
        port: int = 0,
    ) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE
        while not self._try_hold():
            sibling = next((name for name, facts in self._peers.siblings().items() if facts.launches), None)
            if sibling is not None:
                try:
                    started: dict[str, Any] = self._peers.calls.call(
                        sibling, "agents.start", mode, room, instructions, restart, port, timeout=3 * TIMEOUT
                    )
                    return started
                except NoAnswer:
                    pass
            if time.monotonic() > until:
                raise RequestError(
                    "agent_unavailable", "the process of this hub that starts agents does not answer: try again"
                )
            time.sleep(0.1)
        return super().start(mode, room, instructions, restart=restart, port=port)

    def stop(self, agent_id: str | None, wait: float = 0.0) -> list[dict[str, Any]]:
        stopped: list[dict[str, Any]] = []
        own = self._try_hold()
        if own and (agent_id is None or agent_id in self._agents):
            stopped = super().stop(agent_id, wait)
            if agent_id is not None:
                return stopped
        answers = self._peers.ask(self._peers.launchers(), "agents.stop", agent_id, wait, timeout=wait + TIMEOUT)
        if agent_id is not None and not answers:
            self._find(agent_id)
        return stopped + [agent for _, agents in answers for agent in agents]

    def status(self, *, logs: bool = True, scope: Scope | None = None) -> dict[str, Any]:
        own = super().status(logs=logs, scope=scope)["agents"] if self._held else []
        within = None if scope is None else [scope.rooms, scope.globs, scope.session]
        answers = self._peers.ask(self._peers.launchers(), "agents.status", logs, within)
        agents = [*own, *(agent for _, found in answers for agent in found)]
        agents.sort(key=lambda agent: agent["started"], reverse=True)
        return {"status": agents[0]["status"] if agents else "none", "agents": agents}

    def logs(self, agent_id: str | None, lines: int) -> tuple[str | None, list[str]]:
        if agent_id is None:
            agents = self.status(logs=False)["agents"]
            if not agents:
                return None, []
            agent_id = agents[0]["agent_id"]
        if agent_id in self._agents:
            return super().logs(agent_id, lines)
        for _, found in self._peers.ask(self._peers.launchers(), "agents.logs", agent_id, lines):
            return agent_id, found
        self._find(str(agent_id))
        return agent_id, []

    def address_of(self, mode: str) -> str | None:
        elsewhere = (agent for facts in self._peers.launchers().values() for agent in facts.agents)
        ready = (agent for agent in elsewhere if agent["mode"] == mode and agent["status"] == "ready")
        return super().address_of(mode) or next((agent["address"] for agent in ready if agent.get("address")), None)

    def is_live(self, agent_id: str) -> bool:
        return super().is_live(agent_id) or any(
            agent["agent_id"] == agent_id for facts in self._peers.launchers().values() for agent in facts.agents
        )

    # -- for the hub ---------------------------------------------------------------------------------------------------

    def reported(self, batch: list[bytes]) -> None:
        super().reported(batch)
        for name in self._peers.launchers():
            self._peers.calls.tell(name, "agents.reported", [data.decode() for data in batch])

    def end(self, grace: float) -> None:
        """Also wait for the agents of this hub that another of its processes ends, and serve their last events."""
        until = time.monotonic() + grace
        super().end(grace)
        self._peers.wait_for_siblings(lambda facts: not facts.agents, until)

    def open(self) -> None:
        """The first of this hub's processes takes the folder; the others wait for it to end."""
        with self._lock:
            self._contended = True
            self._watch()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _try_hold(self) -> bool:
        with self._lock:
            if self._ending or self._closed:
                raise RequestError("draining", "the hub is shutting down")
            try:
                return self._hold()
            except OSError as error:
                path = self._folder.path
                raise RequestError(
                    "agent_unavailable", f"{path} cannot be used: {error.strerror}; see HUB_AGENT_STATE"
                ) from None

    def _refuse_second(self, plan: LaunchPlan) -> None:
        super()._refuse_second(plan)
        key = AutoStart(plan.mode, plan.room)
        running = self._elsewhere(key)
        if running is not None:
            raise RequestError(
                "agent_running", f"{running['agent_id']} ({_shown(key)}) runs at another hub", agent=running
            )
        try:
            free = self._take_turn(key)
        except HistoryError as error:
            raise RequestError("history_unavailable", str(error)) from None
        if not free:
            raise RequestError("agent_running", f"another hub is starting an agent for {_shown(key)}", agent={})

    def _elsewhere(self, key: AutoStart) -> dict[str, Any] | None:
        """The live agent of this mode and room at another hub."""
        agents = (agent for facts in self._peers.others().values() for agent in facts.agents)
        return next((agent for agent in agents if (agent["mode"], agent.get("room")) == key), None)

    def _start_pending(self) -> None:
        """Only those that run nowhere: what HUB_AGENTS names at several hubs runs once, and elsewhere if that hub ends."""
        elsewhere = [pending for pending in self._pending if not self._may_start(pending.key)]
        self._pending = [pending for pending in self._pending if pending not in elsewhere]
        super()._start_pending()
        self._pending += elsewhere

    def _may_start(self, key: AutoStart) -> bool:
        """Whether no other hub runs it, or is about to."""
        try:
            return self._elsewhere(key) is None and self._take_turn(key)
        except HistoryError:
            return False

    def _take_turn(self, key: AutoStart) -> bool:
        """Take the right to start it, for as long as the others need to see that it runs."""
        return self._peers.lease(f"agent:{key.mode}:{key.room or ''}").take()

    def _pause(self) -> float | None:
        pause = super()._pause()
        return pause if not self._pending else min(1.0, pause or 1.0)

    def _start_for_another(
        self, mode: str | None, room: str | None, instructions: str | None, restart: Restart, port: int
    ) -> dict[str, Any]:
        return Launcher.start(self, mode, room, instructions, restart=restart, port=port)

    def _stop_own(self, agent_id: str | None, wait: float) -> list[dict[str, Any]]:
        return Launcher.stop(self, agent_id, wait)

    def _own_status(self, logs: bool, within: list[Any] | None) -> list[dict[str, Any]]:
        scope = None if within is None else Scope(tuple(within[0]), tuple(within[1]), within[2])
        agents: list[dict[str, Any]] = Launcher.status(self, logs=logs, scope=scope)["agents"]
        return agents

    def _own_logs(self, agent_id: str, lines: int) -> list[str]:
        return Launcher.logs(self, agent_id, lines)[1]


def _shown(key: AutoStart) -> str:
    return f"mode {key.mode}, room {key.room}" if key.room else f"mode {key.mode}"
