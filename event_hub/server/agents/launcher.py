"""All agents of one hub: start, list, stop, and the loop that supervises them.

A hub without agents has no cost for them: no thread, no folder and no library before the first start, unless HUB_AGENTS
names agents or an earlier hub left records.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..filters import Scope
from ..settings import Settings
from .launch_plan import LaunchPlan, decide, environment, explain_failed_start
from .mask import Mask
from .modes import MOST
from .outbox import Outbox
from .record import AgentRecord, Restart, brief, folder_of
from .reports import latest
from .restore import Pending, to_restore
from .states import State

if TYPE_CHECKING:
    from .agent import Agent

logger = logging.getLogger(__name__)

KEPT = 20
"""Agents in the status, including those that are over."""
_LINES = 20
"""Log lines of each in the status."""
_TICK = 0.2
"""Seconds between two rounds of the loop while agents run, and …"""
_QUICK = 0.05
"""… while one starts, stops or is about to restart."""
_RETRY = 1.0
"""Seconds between two attempts to take over the folder of a hub that is shutting down."""
_IDLE = 5.0
"""Seconds between two looks at the logs of agents that are over: a process that escaped may still write."""
_LAST = 1.0
"""Seconds for killed agents to disappear at the hub's shutdown."""


class Launcher:
    """The agents of one hub. `publish` takes an event and raises `RequestError`. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        publish: Callable[[dict[str, Any]], object],
        credential: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.restarts = 0
        self._settings = settings
        self._credential = credential
        """Gives what an agent, by its id, publishes with; None: it needs nothing."""
        self._outbox = Outbox(publish)
        self._folder = folder_of(settings)
        self.mask = Mask(settings.environ)
        self._port = settings.port
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._agents: dict[str, Agent] = {}
        """Oldest first."""
        self._pending: list[Pending] = []
        """Agents that this hub is to start by itself."""
        self._failing: set[str] = set()
        """Agents whose check has failed; logged once."""
        self._held = False
        self._contended = False
        """The folder is still to be taken over."""
        self._ending = False
        self._closed = False

    # -- for the routes ------------------------------------------------------------------------------------------------

    def start(
        self,
        mode: str | None,
        room: str | None,
        instructions: str | None,
        *,
        restart: Restart = "on-failure",
        port: int = 0,
    ) -> dict[str, Any]:
        """Start an agent and return its facts. Raises `RequestError`.

        `port`: the request's port, for a hub that listens on any free one (PORT=0).
        """
        with self._lock:
            self._take_folder()
            self._port = self._port or port
            plan = decide(self._settings, mode, room, instructions)
            return brief(self._launch(plan, restart).facts())

    def stop(self, agent_id: str | None, wait: float = 0.0) -> list[dict[str, Any]]:
        """Ask one agent or all to end; no hub starts them again. Returns the facts of those that were running.

        With `wait`, return once they have ended, or after that many seconds. Raises `RequestError` for an unknown id.
        """
        with self._lock:
            self._take_over()  # a stop right after the hub's start concerns agents that the loop has yet to find
            agents = [self._find(agent_id)] if agent_id is not None else list(self._agents.values())
            self._pending = [pending for pending in self._pending if agent_id not in (None, pending.agent_id)]
            for agent in agents:
                agent.forget_restart()
            agents = [agent for agent in agents if agent.live]
            for agent in agents:
                agent.stop(self._settings.agent_grace)
            if agents:
                self._watch()
                self._changed.wait_for(lambda: not any(agent.live for agent in agents), wait)
            return [brief(agent.facts()) for agent in agents]

    def status(self, *, logs: bool = True, scope: Scope | None = None) -> dict[str, Any]:
        """All agents, newest first. `logs`: with the last log lines, in `error` too. `scope`: only agents in its rooms."""
        with self._lock:
            shown = [a for a in reversed(self._agents.values()) if scope is None or scope.contains(a.record.room, None)]
            listed = [(agent, agent.facts(logs=logs)) for agent in shown]
        agents = [{**facts, "log": agent.lines(_LINES) if logs else []} for agent, facts in listed]
        return {"status": agents[0]["status"] if agents else "none", "agents": agents}

    def logs(self, agent_id: str | None, lines: int) -> tuple[str | None, list[str]]:
        """An agent's id and the last lines of its log; without `agent_id`, those of the newest agent, if any."""
        with self._lock:
            if agent_id is None and not self._agents:
                return None, []
            agent = self._find(agent_id) if agent_id is not None else next(reversed(self._agents.values()))
        return agent.record.agent_id, agent.lines(lines)

    def address_of(self, mode: str) -> str | None:
        """The address of the service in this mode, if it is ready."""
        with self._lock:
            ready = (agent.record for agent in self._agents.values() if agent.record.state is State.READY)
            return next((record.address for record in ready if record.mode == mode and record.address), None)

    def is_live(self, agent_id: str) -> bool:
        """Whether this agent can still publish. Takes no lock, because it is asked for each request of an agent. Until the
        agents of an earlier hub are taken over, their records answer."""
        agent = self._agents.get(agent_id)
        return agent.live if agent is not None else self._folder.is_live(agent_id)

    def states(self) -> Counter[str]:
        """How many agents are in each state."""
        with self._lock:
            return Counter(str(agent.record.state) for agent in self._agents.values())

    # -- for the hub ---------------------------------------------------------------------------------------------------

    def reported(self, batch: list[bytes]) -> None:
        """The hub has accepted these events of the types in `REPORTS`, each as JSON. Never raises."""
        if not self._agents:
            return
        try:
            reports = latest(batch)
            with self._lock:
                for report in reports:
                    if (agent := self._agents.get(report.agent_id)) is None:
                        continue
                    if report.ready:
                        agent.report_ready(report.message, report.address)
                    else:
                        agent.report_error(report.message)
                self._changed.notify_all()
        except Exception:
            logger.exception("an agent's report cannot be processed")

    def open(self) -> None:
        """The hub starts: take over the agents of an earlier hub, and start those that are to run."""
        if self._settings.agents or not self._folder.empty():
            with self._lock:
                self._contended = True
                self._watch()

    def end(self, grace: float) -> None:
        """The hub shuts down: end all agents within `grace` seconds, with their last events in the history."""
        until = time.monotonic() + grace
        with self._lock:
            self._ending = True
            if self._thread is None:
                return
            for agent in self._agents.values():
                agent.stop(min(grace, self._settings.agent_grace))
            self._wake.set()
            over = self._changed.wait_for(lambda: not self._live(), until - time.monotonic())
            if not over:
                for agent in self._live():
                    agent.stop(0)
                self._wake.set()
                self._changed.wait_for(lambda: not self._live(), _LAST)
            self._outbox.send()

    def close(self) -> None:
        """Stop supervising. Agents that still run go on, for the next hub to find."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)
        self._folder.release()

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Make sure that the loop runs, and let it run a round now."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="hub-agents", daemon=True)
            self._thread.start()
        self._wake.set()

    def _loop(self) -> None:
        logged = False
        while not self._closed:
            self._wake.clear()
            pause: float | None = _RETRY
            try:
                with self._lock:
                    self._take_over()
                    self._start_pending()
                    for agent in self._agents.values():
                        self._poll(agent)
                    self._outbox.send()
                    self._changed.notify_all()
                    pause = self._pause()
                    logged = False
            except Exception:
                if not logged:
                    logger.exception("the check of the agents has failed")
                logged = True
            self._wake.wait(pause)

    def _poll(self, agent: Agent) -> None:
        before = agent.record.restarts
        try:
            agent.poll()
            self._failing.discard(agent.record.agent_id)
        except Exception:
            if agent.record.agent_id not in self._failing:
                logger.exception("the check of agent %s has failed", agent.record.agent_id)
            self._failing.add(agent.record.agent_id)
        self.restarts += agent.record.restarts - before

    def _pause(self) -> float | None:
        """Seconds until the next round; None: until something is started."""
        if not all(agent.settled for agent in self._agents.values()):
            return _QUICK
        if self._live() or self._outbox:
            return _TICK
        return _RETRY if self._contended else _IDLE if self._agents else None

    def _start_pending(self) -> None:
        """Start the agents that are to run, once an agent of the same mode and room that is stopping has ended."""
        if not self._pending or self._ending:
            return
        waiting = []
        for pending in self._pending:
            states = [agent.record.state for agent in self._live() if agent.record.key == pending.key]
            if State.STOPPING in states:
                waiting.append(pending)
            elif not states:
                self._restore(pending)
        self._pending = waiting

    def _restore(self, pending: Pending) -> None:
        try:
            if not self._port:
                raise RequestError(
                    "agent_unavailable", "the hub starts agents by itself only on a fixed port: set PORT"
                )
            plan = decide(self._settings, pending.key.mode, pending.key.room, pending.instructions)
            self._launch(plan, "always", from_setting=pending.from_setting)
        except RequestError as error:
            logger.error("the agent %s cannot be started: %s", pending.key, error.detail)
            if (old := self._agents.get(pending.agent_id or "")) is not None:
                old.fail_start(error.detail)

    # -- the table -----------------------------------------------------------------------------------------------------

    def _launch(self, plan: LaunchPlan, restart: Restart, *, from_setting: bool = False) -> Agent:
        """Start a new agent; raises `RequestError`."""
        from .agent import Agent, reason

        self._refuse_second(plan)
        live = len(self._live())
        if live >= MOST:
            raise RequestError("too_many_agents", f"{live} agents are running, which is the limit")
        now = time.time()
        record = AgentRecord(
            f"ag_{secrets.token_hex(5)}", plan.mode, plan.command, now, now, room=plan.room,
            instructions=plan.instructions, note=plan.note, restart=restart, from_setting=from_setting,
        )  # fmt: skip
        # Listed before it starts, because it may report before `launch` returns.
        agent = self._agents[record.agent_id] = self._agent(Agent, record)
        try:
            agent.launch()
        except (OSError, ValueError, LookupError) as error:
            del self._agents[record.agent_id]
            self._folder.remove(record.agent_id)
            refusal = explain_failed_start(self._settings, plan.command, error, self._folder.path, reason(error))
            raise RequestError("agent_unavailable", refusal) from None
        for other in self._agents.values():  # the new agent decides whether this mode and room run again
            if other is not agent and other.record.key == record.key:
                other.forget_restart()
        self._forget_oldest()
        self._watch()
        return agent

    def _take_folder(self) -> None:
        """Become the hub that owns these agents; raises `RequestError`."""
        if self._ending or self._closed:
            raise RequestError("draining", "the hub is shutting down")
        try:
            held = self._hold()
        except OSError as error:
            raise RequestError(
                "agent_unavailable", f"{self._folder.path} cannot be used: {error.strerror}; see HUB_AGENT_STATE"
            ) from None
        if not held:
            raise RequestError(
                "agent_unavailable",
                f"{self._folder.path} is in use by another hub: name another folder in HUB_AGENT_STATE",
            )

    def _take_over(self) -> None:
        """Take over the folder, if that is still to be done and no other hub holds it."""
        if not self._contended or self._ending:
            return
        try:
            self._hold()
        except OSError as error:
            logger.error("the agents in %s cannot be taken over: %s; see HUB_AGENT_STATE", self._folder.path, error)
            self._contended = False

    def _hold(self) -> bool:
        """Whether this hub holds the folder. The first time, take over the agents in it."""
        if self._held:
            return True
        if not self._folder.hold():
            return False
        from .agent import Agent

        for record in self._folder.read():
            agent = self._agents[record.agent_id] = self._agent(Agent, record)
            try:
                agent.adopt(self._settings.agent_grace)
            except Exception:
                del self._agents[record.agent_id]
                logger.exception("agent %s of an earlier hub cannot be taken over", record.agent_id)
        self._held, self._contended = True, False
        self._pending = to_restore(self._settings.agents, [agent.record for agent in self._agents.values()])
        self._forget_oldest()
        return True

    def _agent(self, kind: type[Agent], record: AgentRecord) -> Agent:
        return kind(
            record,
            self._folder,
            self.mask,
            publish=self._outbox.put,
            environ=lambda record: environment(self._settings, record, self._port, self._credential(record.agent_id)),
        )

    def _refuse_second(self, plan: LaunchPlan) -> None:
        for agent in self._live():
            record = agent.record
            if record.key == (plan.mode, plan.room):
                where = f" in the room {record.room}" if record.room else ""
                stopping = record.state is State.STOPPING
                advice = "start again once it has ended" if stopping else "stop it first, or start another mode or room"
                raise RequestError(
                    "agent_running",
                    f"{record.agent_id} (mode {record.mode}{where}) is {record.state}; {advice}",
                    agent=brief(agent.facts()),
                )

    def _find(self, agent_id: str) -> Agent:
        agent = self._agents.get(agent_id)
        if agent is None:
            raise RequestError("unknown_agent", f"there is no agent {agent_id[:64]!r}", field="agent_id")
        return agent

    def _live(self) -> list[Agent]:
        return [agent for agent in self._agents.values() if agent.live]

    def _forget_oldest(self) -> None:
        """Drop the oldest that are over, those that are to run again last."""
        over = [agent.record for agent in self._agents.values() if not agent.live]
        over.sort(key=lambda record: record.restart == "always")
        for record in over[: max(0, len(self._agents) - KEPT)]:
            del self._agents[record.agent_id]
            self._folder.remove(record.agent_id)
