"""The states of an agent and the transitions between them, as one table. Pure.

Everything else is derived from it: which states have a running program, which are final, and the docs' table and diagram.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """An agent's state; the value is the `status` in the API."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    CRASHED = "crashed"


class Trigger(StrEnum):
    """What can happen to an agent."""

    REPORTED_READY = "it reports ready"
    STOP = "a stop is requested"
    ENDED = "its program exits with code 0"
    AGAIN = "its program exits with code 0, and `restart` is `always`"
    FAILED = "its program crashes"
    GAVE_UP = "its settings are wrong, or it failed too often"
    DUE = "the pause is over"
    GONE = "the hub finds its program gone"


TABLE: dict[tuple[State, Trigger], State] = {
    (State.STARTING, Trigger.REPORTED_READY): State.READY,
    (State.STARTING, Trigger.STOP): State.STOPPING,
    (State.STARTING, Trigger.ENDED): State.STOPPED,
    (State.STARTING, Trigger.AGAIN): State.RESTARTING,
    (State.STARTING, Trigger.FAILED): State.RESTARTING,
    (State.STARTING, Trigger.GAVE_UP): State.CRASHED,
    (State.STARTING, Trigger.GONE): State.STOPPED,
    (State.READY, Trigger.REPORTED_READY): State.READY,
    (State.READY, Trigger.STOP): State.STOPPING,
    (State.READY, Trigger.ENDED): State.STOPPED,
    (State.READY, Trigger.AGAIN): State.RESTARTING,
    (State.READY, Trigger.FAILED): State.RESTARTING,
    (State.READY, Trigger.GAVE_UP): State.CRASHED,
    (State.READY, Trigger.GONE): State.STOPPED,
    (State.RESTARTING, Trigger.DUE): State.STARTING,
    (State.RESTARTING, Trigger.GAVE_UP): State.CRASHED,
    (State.RESTARTING, Trigger.STOP): State.STOPPED,
    (State.STOPPING, Trigger.REPORTED_READY): State.STOPPING,
    (State.STOPPING, Trigger.STOP): State.STOPPING,
    (State.STOPPING, Trigger.ENDED): State.STOPPED,
    (State.STOPPING, Trigger.GONE): State.STOPPED,
}
"""State and trigger → next state. A pair that is missing cannot occur or changes nothing."""

MEANING: dict[State, str] = {
    State.STARTING: "the program runs but has not reported ready yet",
    State.READY: "it has reported ready: its worker is registered, it has joined its room, its script plays, or it serves "
    "at its `address`",
    State.STOPPING: "a stop was requested: it finishes its work, and is killed after `HUB_AGENT_GRACE`",
    State.RESTARTING: "the program has ended and will be started again after a pause",
    State.STOPPED: "final: it was stopped, had finished, or is gone (`error` then says so)",
    State.CRASHED: "final: wrong settings or too many failures; `error` says which",
}

RUNNING = frozenset(state for state, trigger in TABLE if trigger is Trigger.ENDED)
"""States with a running program."""
LIVE = frozenset(state for state, _ in TABLE)
"""States that can still change. The others are final."""


def follow(state: State, trigger: Trigger) -> State | None:
    """The next state; None if `trigger` changes nothing."""
    return TABLE.get((state, trigger))


def markdown() -> str:
    """The table, for the docs."""
    lines = ["| state | meaning | next |", "|---|---|---|"]
    for state in State:
        steps = [f"{trigger} → `{after}`" for (before, trigger), after in TABLE.items() if before is state != after]
        lines.append(f"| `{state}` | {MEANING[state]} | {'; '.join(steps) or '(final)'} |")
    return "\n".join(lines)


def mermaid() -> str:
    """The diagram, for the docs."""
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {State.STARTING}"]
    lines += [f"  {before} --> {after}: {trigger}" for (before, trigger), after in TABLE.items() if before is not after]
    lines += [f"  {state} --> [*]" for state in State if state not in LIVE]
    return "\n".join([*lines, "```"])
