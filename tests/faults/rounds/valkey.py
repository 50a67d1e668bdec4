"""What happens to the server of a shared history: it is killed, restarted, stopped, full, or comes back with less."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Sequence

from ...hubs import PATIENCE, until
from .scene import Scene
from .sharing import Command

_STOPS = (0.2, 1.0, 2.5, 4.0, 6.0)
"""Seconds for which it is stopped. A POST waits for three, a call for five."""
_LONG = 20.0
_FULL = "1mb"


def _syncs(scene: Scene) -> None:
    """Choose how it syncs its append-only file, from now on."""
    how = scene.rng.choice(("everysec", "always"))
    scene.server.command("CONFIG", "SET", "appendfsync", how)
    scene.server.options += ["--appendfsync", how]


def between_syncs(command: Command) -> None:
    """Wait for a moment in which the server has written what it has answered. With `everysec`, while a sync takes long, it
    answers for up to two seconds and writes later: what kill -9 loses then is what `valkey-lost` is about."""
    until(lambda: b"aof_pending_bio_fsync:0" in command("INFO", "persistence"), "a moment between two syncs")


def _ended_and_started(scene: Scene, how: int) -> None:
    _syncs(scene)
    for _ in range(scene.times(3)):
        scene.progress(patience=2 * PATIENCE)
        scene.pause()
        between_syncs(scene.server.command)
        scene.server.kill(how)
        scene.pause(scene.rng.choice((0.0, 1.5, 5.0)))
        scene.server.start()


def valkey_killed(scene: Scene) -> None:
    """kill -9, one to three times; it is away for up to five seconds."""
    _ended_and_started(scene, signal.SIGKILL)


def valkey_restarted(scene: Scene) -> None:
    """SIGTERM, and a new one."""
    _ended_and_started(scene, signal.SIGTERM)


def _no_stream_ended(scene: Scene, before: Sequence[int]) -> None:
    """`before`: how many streams of each subscriber had ended already. One that hears nothing for three heartbeats leaves."""
    for subscriber, number in zip(scene.staying, before, strict=True):
        if new := subscriber.ends[number:]:
            scene.problems.append(f"streams of {subscriber.name} have ended: {new}")


def valkey_stopped(scene: Scene) -> None:
    """SIGSTOP for seconds, in one round of six for 20. No stream may end for it."""
    ends = [len(subscriber.ends) for subscriber in scene.staying]
    long = scene.rng.random() < 1 / 6 and not scene.brief
    stops = scene.rng.sample(_STOPS[:3] if scene.brief else _STOPS, scene.times(2))
    for seconds in (_LONG,) if long else stops:
        scene.progress(patience=2 * PATIENCE)
        scene.pause()
        scene.server.pause()
        time.sleep(seconds)
        scene.server.resume()
    scene.progress(patience=2 * PATIENCE)
    _no_stream_ended(scene, ends)


def valkey_full(scene: Scene) -> None:
    """No memory until publishers are refused, and for up to eight seconds more. No stream may end for it."""
    ends = [len(subscriber.ends) for subscriber in scene.staying]
    for _ in range(scene.times(2)):
        scene.progress(patience=2 * PATIENCE)
        refused = scene.refused()
        scene.server.command("CONFIG", "SET", "maxmemory", _FULL)
        until(lambda refused=refused: scene.refused() > refused, "publishers to be refused")
        scene.pause(scene.rng.choice((0.1, 2.0, 8.0)))
        scene.server.command("CONFIG", "SET", "maxmemory", "0")
    scene.progress(patience=2 * PATIENCE)
    _no_stream_ended(scene, ends)


def valkey_lost(scene: Scene) -> None:
    """It comes back in an older state, as after a power failure or a failover to a replica that lagged; in one round of
    three, empty. What was acknowledged since then is lost; every subscriber that had seen some of it must be told."""
    for publisher in scene.publishers:
        publisher.repeats = False
    scene.progress()  # the last repeated POSTs have been answered
    empty = scene.rng.random() < 1 / 3
    server = scene.server
    scene.saved = {} if empty else scene.acknowledged()
    if not empty:
        server.command("SAVE")
        older = (server.folder / "dump.rdb").read_bytes()
    scene.progress()
    scene.pause(1.0)
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    (server.folder / "dump.rdb").unlink(missing_ok=True)
    if not empty:
        (server.folder / "dump.rdb").write_bytes(older)
    server.options[1] = "no"  # with an append-only file the server would not read the snapshot
    scene.pause(scene.rng.choice((0.0, 2.0)))
    server.start()
    scene.progress(patience=2 * PATIENCE)
