"""The states of an agent, and what leads from one to the next: one table. Pure.

Everything else is derived from it: what is running, what is over, what the docs say and draw.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an agent is; the value is what `status` says."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    CRASHED = "crashed"


class Trigger(StrEnum):
    """What can happen to an agent."""

    REPORTED_READY = "it reports that it is ready"
    STOP = "somebody asks it to stop"
    ENDED = "its program ends in order"
    FAILED = "its program crashes"
    GAVE_UP = "its settings are wrong, or it crashed too often"
    DUE = "its pause before the next try is over"
    GONE = "it is found to be gone"


TABLE: dict[tuple[State, Trigger], State] = {
    (State.STARTING, Trigger.REPORTED_READY): State.READY,
    (State.STARTING, Trigger.STOP): State.STOPPING,
    (State.STARTING, Trigger.ENDED): State.STOPPED,
    (State.STARTING, Trigger.FAILED): State.RESTARTING,
    (State.STARTING, Trigger.GAVE_UP): State.CRASHED,
    (State.STARTING, Trigger.GONE): State.STOPPED,
    (State.READY, Trigger.REPORTED_READY): State.READY,
    (State.READY, Trigger.STOP): State.STOPPING,
    (State.READY, Trigger.ENDED): State.STOPPED,
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
"""State and what happens → next state. What is not here cannot happen, or changes nothing."""

MEANING: dict[State, str] = {
    State.STARTING: "the program runs, and has not yet reported that it is ready",
    State.READY: "it has reported: its worker is registered, it has joined the room, or its script has begun",
    State.STOPPING: "it was asked to stop, finishes what it is at, and is killed after `HUB_AGENT_GRACE`",
    State.RESTARTING: "it has crashed; no program runs until the pause before the next try is over",
    State.STOPPED: "it is over: it was asked to, it had nothing more to do, or it is gone (then `error` says so)",
    State.CRASHED: "it is over, and `error` says why: wrong settings, or too many crashes",
}

RUNNING = frozenset(state for state, trigger in TABLE if trigger is Trigger.ENDED)
"""There is a program."""
LIVE = frozenset(state for state, _ in TABLE)
"""Something can still happen. The others are final."""


def follow(state: State, trigger: Trigger) -> State | None:
    """The next state; None where `trigger` changes nothing."""
    return TABLE.get((state, trigger))


def markdown() -> str:
    """The table, for the docs."""
    lines = ["| state | means | and then |", "|---|---|---|"]
    for state in State:
        steps = [f"{trigger} → `{after}`" for (before, trigger), after in TABLE.items() if before is state != after]
        lines.append(f"| `{state}` | {MEANING[state]} | {'; '.join(steps) or '(it stays so)'} |")
    return "\n".join(lines)


def mermaid() -> str:
    """The diagram, for the docs."""
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {State.STARTING}"]
    lines += [f"  {before} --> {after}: {trigger}" for (before, trigger), after in TABLE.items() if before is not after]
    lines += [f"  {state} --> [*]" for state in State if state not in LIVE]
    return "\n".join([*lines, "```"])
