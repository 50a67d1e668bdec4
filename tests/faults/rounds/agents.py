"""kill -9 of an agent in mid-conversation: the launcher starts it again, and its events arrive once."""

from __future__ import annotations

import os
import signal
from collections import Counter

from ...hubs import PATIENCE, until
from ...wire.agents import agent, reaches, started, stop
from .resources import Resources, children
from .scene import Scene

SCRIPTED = "python -m agent --speed 8 --repeat 1000"
"""A real AgentSession that needs neither a key nor a network, without an end."""
LAUNCHER = Resources(Counter({"lock": 1}), 0, 1)
"""The lock of the launcher's folder and its loop, from the first agent on."""
START = 3 * PATIENCE
"""Seconds for it to start: it loads LiveKit."""


def agent_killed(scene: Scene) -> None:
    """Start the scripted agent over HTTP, kill it once or twice, and stop it."""
    started(scene.hub, mode="scripted")
    for restarts in range(scene.rng.randrange(1, 3)):
        until(lambda: agent(scene.hub)["status"] == "ready", "the agent to be ready", START)
        spoken = len(scene.subscribers[0].seen)
        until(lambda spoken=spoken: _conversation(scene, spoken) > 10, "the agent's events", START)
        scene.pause(1.0)
        os.kill(agent(scene.hub)["pid"], signal.SIGKILL)
        until(lambda restarts=restarts: agent(scene.hub)["restarts"] > restarts, "the agent to be restarted", START)
    until(lambda: agent(scene.hub)["status"] == "ready", "the agent to be ready again", START)
    spoken = len(scene.subscribers[0].seen)
    until(lambda: _conversation(scene, spoken) > 10, "its events after the restart", START)
    stop(scene.hub)
    reaches(scene.hub, "stopped")
    until(lambda: not children(scene.hub), "its processes to end")


def _conversation(scene: Scene, start: int) -> int:
    """The number of an agent's events that a subscriber has seen after its first `start` items."""
    return sum(getattr(item, "type", "n") != "n" for item in scene.subscribers[0].seen[start:])
