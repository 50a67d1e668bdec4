"""What happens to the processes of hubs that share a history: another hub's, or one of several workers of a hub."""

from __future__ import annotations

import os
import signal

import psutil

from ...hubs import PATIENCE, HubProcess, until
from .resources import own_valkey, serving
from .scene import Scene
from .valkey import between_syncs


def peer_stopped(scene: Scene) -> None:
    """SIGSTOP of one of the hubs for up to eight seconds, after five of which the others count it as gone."""
    hub = scene.rng.choice(scene.hubs)
    scene.progress()
    scene.pause()
    worker = hub.worker_pid()
    os.kill(worker, signal.SIGSTOP)
    try:
        scene.pause(scene.rng.choice((2.0, 8.0)))
    finally:
        os.kill(worker, signal.SIGCONT)
    scene.progress(patience=2 * PATIENCE)


def _replaced(hub: HubProcess, ended: int) -> None:
    """Wait for another worker in the place of the one that ended."""
    until(lambda: ended not in serving(hub) and len(serving(hub)) == 2, "a new worker", 2 * PATIENCE)
    until(lambda: hub.get("/api/health")["processes"] == 2, "the workers to know of each other", 2 * PATIENCE)


def workers_killed(scene: Scene) -> None:
    """kill -9 of one of two workers, one to three times."""
    for _ in range(scene.times(3)):
        scene.progress()
        scene.pause()
        ended = scene.rng.choice(serving(scene.hub))
        os.kill(ended, signal.SIGKILL)
        until(lambda ended=ended: ended not in serving(scene.hub), "the worker to end")
        if scene.rng.random() < 0.5:
            _replaced(scene.hub, ended)
    until(lambda: len(serving(scene.hub)) == 2, "new workers", 2 * PATIENCE)


def workers_rolled(scene: Scene) -> None:
    """SIGTERM of one worker after the other: a rolling restart."""
    for ended in serving(scene.hub):
        scene.progress()
        scene.pause()
        os.kill(ended, signal.SIGTERM)
        _replaced(scene.hub, ended)


def workers_valkey_killed(scene: Scene) -> None:
    """kill -9 of the Valkey that the hub has started: it starts another."""
    for _ in range(scene.times(3)):
        scene.progress(patience=2 * PATIENCE)
        scene.pause()
        ended = own_valkey(scene.hub)
        assert ended is not None
        between_syncs(scene.command)
        psutil.Process(ended).kill()
        until(
            lambda ended=ended: own_valkey(scene.hub) not in (None, ended),
            "the server to be started again",
            2 * PATIENCE,
        )
    scene.progress(patience=2 * PATIENCE)
