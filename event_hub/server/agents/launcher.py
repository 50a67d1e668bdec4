"""All agents of one hub: started, listed, stopped; and the loop that watches them.

Who starts no agent pays nothing: no thread, no folder, no library is there before the first start, or before records of
an earlier hub's agents are found.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import HubError
from ..settings import Settings
from .mask import Mask
from .record import Folder, Record
from .states import State
from .wanted import Wanted, decide, environment, unfit

if TYPE_CHECKING:
    from .agent import Agent

logger = logging.getLogger(__name__)

MOST = 8
"""Agents at once: each is a voice pipeline of 200 MB and more. A worker takes any number of rooms."""
KEPT = 20
"""Agents that the status lists, those that are over included."""
_LINES = 20
"""Log lines of each in the status."""
REPORTS = frozenset({"agent_ready", "agent_error"})
"""Types of events by which programs report to us."""
_TICK = 0.2
"""Seconds between two looks at agents of which nothing is expected, and …"""
_QUICK = 0.05
"""… while one starts, stops or is about to be restarted."""
_RETRY = 1.0
"""Seconds between two tries to take over the agents of a hub that is about to end."""
_UNSENT = 200
"""Events of ours that wait for a history that takes none."""
_IDLE = 5.0
"""Seconds between two looks at logs of agents that are over: something that got away may go on writing."""
_LAST = 1.0
"""Seconds that killed agents have to be gone, when the hub ends."""


class Launcher:
    """The agents of one hub. `publish`: takes an event, raises `HubError`. Methods may be called from any thread."""

    def __init__(self, settings: Settings, publish: Callable[[dict[str, Any]], object]) -> None:
        self.restarts = 0
        self._settings = settings
        self._publish = publish
        self._folder = Folder(Path(settings.agent_state) / str(settings.port))
        self._mask = Mask(settings.environ)
        self._port = settings.port
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._agents: dict[str, Agent] = {}
        """Oldest first."""
        self._unsent: deque[dict[str, Any]] = deque(maxlen=_UNSENT)
        self._failing: set[str] = set()
        """Agents at which looking has failed: told once."""
        self._held = False
        self._contended = False
        self._ending = False
        self._closed = False

    # -- what the routes ask -------------------------------------------------------------------------------------------

    def start(self, mode: str | None, room: str | None, instructions: str | None, port: int = 0) -> dict[str, Any]:
        """Start an agent; its facts. Raises `HubError`. `port`: of the request, for a hub that was given any free one."""
        from .agent import Agent, reason

        with self._lock:
            self._take()
            self._port = self._port or port
            wanted = decide(self._settings, mode, room, instructions)
            self._refuse_second(wanted)
            live = sum(agent.live for agent in self._agents.values())
            if live >= MOST:
                raise HubError("too_many_agents", f"{live} agents are running, which is the limit")
            now = time.time()
            record = Record(
                f"ag_{secrets.token_hex(5)}", wanted.mode, wanted.command, now, now,
                room=wanted.room, instructions=wanted.instructions, note=wanted.note,
            )  # fmt: skip
            # Before it begins: it may report before we are back here.
            agent = self._agents[record.agent_id] = self._agent(Agent, record)
            try:
                agent.begin()
            except (OSError, ValueError, LookupError) as error:
                del self._agents[record.agent_id]
                self._folder.remove(record.agent_id)
                raise HubError("agent_unavailable", self._unstarted(wanted.command, error, reason(error))) from None
            self._forget_oldest()
            self._watch()
            return brief(agent.facts())

    def stop(self, agent_id: str | None, wait: float = 0.0) -> list[dict[str, Any]]:
        """Ask one agent, or all, to end; the facts of those that were running. Raises `HubError` for an unknown one.

        With `wait`, return when they are gone, after so many seconds at the latest.
        """
        with self._lock:
            agents = [self._known(agent_id)] if agent_id is not None else list(self._agents.values())
            agents = [agent for agent in agents if agent.live]
            for agent in agents:
                agent.stop(self._settings.agent_grace)
            if agents:
                self._watch()
                self._changed.wait_for(lambda: not any(agent.live for agent in agents), wait)
            return [brief(agent.facts()) for agent in agents]

    def status(self, *, logs: bool = True) -> dict[str, Any]:
        """All agents, the newest first. `logs`: with the last lines of each one's log, in `error`, too."""
        with self._lock:
            listed = [(agent, agent.facts(logs=logs)) for agent in reversed(self._agents.values())]
        agents = [{**facts, "log": agent.lines(_LINES) if logs else []} for agent, facts in listed]
        return {"status": agents[0]["status"] if agents else "none", "agents": agents}

    def logs(self, agent_id: str | None, lines: int) -> tuple[str | None, list[str]]:
        """Whose log it is (without `agent_id` the newest one's, if there is one), and its last lines."""
        with self._lock:
            if agent_id is None and not self._agents:
                return None, []
            agent = self._known(agent_id) if agent_id is not None else next(reversed(self._agents.values()))
        return agent.record.agent_id, agent.lines(lines)

    def states(self) -> Counter[str]:
        """How many agents are in each state."""
        with self._lock:
            return Counter(str(agent.record.state) for agent in self._agents.values())

    # -- what the hub tells --------------------------------------------------------------------------------------------

    def reported(self, batch: list[bytes]) -> None:
        """Events of the `REPORTS` types were taken; `batch` is the JSON of each. Never raises.

        Of a batch only the last report of each kind counts for an agent.
        """
        if not self._agents:
            return
        try:
            reports: dict[tuple[str, bool], object] = {}
            for data in reversed(batch):
                report = _report(data)
                ready = report.type == "agent_ready"
                if isinstance(report.agent_id, str) and (ready or report.recoverable is False):
                    reports.setdefault((report.agent_id, ready), report.message)
            with self._lock:
                for (agent_id, ready), message in reversed(reports.items()):
                    if (agent := self._agents.get(agent_id)) is not None:
                        (agent.reported_ready if ready else agent.reported_error)(message)
                self._changed.notify_all()
        except Exception:
            logger.exception("an agent's report is not understood")

    def open(self) -> None:
        """The hub begins: take over what an earlier hub has left, if it has left anything."""
        if not self._folder.empty():
            with self._lock:
                self._contended = True
                self._watch()

    def end(self, grace: float) -> None:
        """The hub ends in order: so do its agents, within `grace` seconds, with their last events in the history."""
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
            self._send()

    def close(self) -> None:
        """Stop watching. Agents that still run go on, for the next hub to find."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)
        self._folder.release()

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """See to it that the loop runs, and now."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="hub-agents", daemon=True)
            self._thread.start()
        self._wake.set()

    def _loop(self) -> None:
        told = False
        while not self._closed:
            self._wake.clear()
            pause: float | None = _RETRY
            try:
                with self._lock:
                    if self._contended:
                        self._take_quietly()
                    for agent in self._agents.values():
                        self._look(agent)
                    self._send()
                    self._changed.notify_all()
                    pause = self._pause()
                    told = False
            except Exception:
                if not told:
                    logger.exception("looking at the agents has failed")
                told = True
            self._wake.wait(pause)

    def _look(self, agent: Agent) -> None:
        before = agent.record.restarts
        try:
            agent.look()
            self._failing.discard(agent.record.agent_id)
        except Exception:
            if agent.record.agent_id not in self._failing:
                logger.exception("looking at agent %s has failed", agent.record.agent_id)
            self._failing.add(agent.record.agent_id)
        self.restarts += agent.record.restarts - before

    def _pause(self) -> float | None:
        """Seconds until the next look; None: until something is started."""
        if not all(agent.settled for agent in self._agents.values()):
            return _QUICK
        if self._live() or self._unsent:
            return _TICK
        return _RETRY if self._contended else _IDLE if self._agents else None

    def _say(self, event: dict[str, Any]) -> None:
        """Publish an event of ours; where the history takes none now, later."""
        self._unsent.append({**event, "event_id": secrets.token_hex(16), "timestamp": time.time()})
        self._send()

    def _send(self) -> None:
        while self._unsent:
            try:
                self._publish(dict(self._unsent[0]))
            except HubError as error:
                if error.kind.retry:
                    return
                logger.error("an event of the launcher is refused: %s", error)
            self._unsent.popleft()

    # -- the table -----------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        """Be the one hub that these agents belong to; raises `HubError`."""
        if self._ending or self._closed:
            raise HubError("draining", "the hub is shutting down")
        try:
            held = self._hold()
        except OSError as error:
            raise HubError(
                "agent_unavailable", f"{self._folder.path} cannot be used: {error.strerror}; see HUB_AGENT_STATE"
            ) from None
        if not held:
            raise HubError(
                "agent_unavailable",
                f"{self._folder.path} belongs to another hub that is running: name another folder in HUB_AGENT_STATE",
            )

    def _take_quietly(self) -> None:
        try:
            self._hold()
        except OSError as error:
            logger.error("the agents in %s cannot be taken over: %s; see HUB_AGENT_STATE", self._folder.path, error)
            self._contended = False

    def _hold(self) -> bool:
        """Whether the folder is ours; the first time, what is in it is taken over."""
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
        self._forget_oldest()
        return True

    def _unstarted(self, command: list[str], error: Exception, why: str) -> str:
        """Whether it is the folder or the program that has to be mended, and how."""
        if isinstance(error, OSError) and str(error.filename).startswith(str(self._folder.path)):
            return f"{self._folder.path} cannot be written: {error.strerror}; see HUB_AGENT_STATE"
        return f"HUB_AGENT={self._settings.agent} cannot be started: {unfit(self._settings, command) or why}"

    def _agent(self, kind: type[Agent], record: Record) -> Agent:
        return kind(
            record,
            self._folder,
            self._mask,
            say=self._say,
            environ=lambda record: environment(self._settings, record, self._port),
        )

    def _refuse_second(self, wanted: Wanted) -> None:
        for agent in self._live():
            record = agent.record
            if (record.mode, record.room) == (wanted.mode, wanted.room):
                where = f" in the room {record.room}" if record.room else ""
                stopping = record.state is State.STOPPING
                raise HubError(
                    "agent_running",
                    f"{record.agent_id} (mode {record.mode}{where}) is {record.state}"
                    + (
                        "; start again when it is gone"
                        if stopping
                        else "; stop it first, or start another mode or room"
                    ),
                    agent=brief(agent.facts()),
                )

    def _known(self, agent_id: str) -> Agent:
        agent = self._agents.get(agent_id)
        if agent is None:
            raise HubError("unknown_agent", f"there is no agent {agent_id[:64]!r}", field="agent_id")
        return agent

    def _live(self) -> list[Agent]:
        return [agent for agent in self._agents.values() if agent.live]

    def _forget_oldest(self) -> None:
        over = [name for name, agent in self._agents.items() if not agent.live]
        for name in over[: max(0, len(self._agents) - KEPT)]:
            del self._agents[name]
            self._folder.remove(name)


class _Report(msgspec.Struct):
    """What is of interest in an event of the `REPORTS`; each part may be anything."""

    type: str
    agent_id: Any = None
    message: Any = None
    recoverable: Any = None


_report = msgspec.json.Decoder(_Report).decode

_BRIEF = ("agent_id", "mode", "room", "pid", "status", "note", "error")


def brief(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that an answer to start or stop has; without those that there are none of."""
    return {name: facts[name] for name in _BRIEF if facts[name] is not None}
