"""The kinds of faults. Each takes a running scene, does its damage at random moments and puts an end to it."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...hubs import PATIENCE, until
from .agents import LAUNCHER, SCRIPTED, agent_killed
from .clock import clock_jumps, faked_clock
from .descriptors import descriptors_exhausted, few_descriptors
from .disk import DEGRADED, disk_fills, small_disk
from .links import link_cut, link_delayed, link_vanished
from .place import Places, linked_valkey, one_valkey, plain, workers
from .processes import peer_stopped, workers_killed, workers_rolled, workers_valkey_killed
from .proxy import Network
from .records import Gap
from .resources import Resources
from .scene import Scene
from .valkey import valkey_full, valkey_killed, valkey_lost, valkey_restarted, valkey_stopped


@dataclass(frozen=True)
class Fault:
    """`inflict` is the fault; `place` prepares what the hubs find. `hubs`: how many there are; None: as many as the command
    says. `size`: maximum size of an event's filling in bytes."""

    inflict: Callable[[Scene], None]
    place: Places = plain
    hubs: int | None = None
    environ: dict[str, str] = field(default_factory=dict)
    size: int = 200
    preexec: Callable[[], None] | None = None
    """Called in the hub's process before it starts."""
    lasting: Resources = field(default_factory=lambda: Resources(Counter(), 0, 0))
    """What the hub opens at the first use of what the fault hits, and keeps."""


def hub_killed(scene: Scene) -> None:
    """kill -9 of the hub with all its processes, one to three times."""
    for _ in range(scene.times(3)):
        scene.progress()
        scene.pause()
        hub = scene.rng.choice(scene.hubs)
        hub.kill()
        hub.launch()
        hub.wait_ready()


def worker_killed(scene: Scene) -> None:
    """kill -9 of the process that serves: its master starts another."""
    for _ in range(scene.times(3)):
        scene.progress()
        scene.pause()
        hub = scene.rng.choice(scene.hubs)
        killed = hub.worker_pid()
        os.kill(killed, signal.SIGKILL)
        until(lambda hub=hub, killed=killed: hub.worker_pid() not in (killed, hub.process.pid), "a new worker")
        hub.wait_ready()


def hub_drained(scene: Scene) -> None:
    """SIGTERM and a new hub, with publishers and subscribers in mid-stream."""
    scene.progress()
    scene.pause()
    hub = scene.rng.choice(scene.hubs)
    if code := hub.terminate():
        scene.problems.append(f"SIGTERM ended the hub with {code}")
    hub.launch()
    hub.wait_ready()


def cut_at_every_byte(scene: Scene) -> None:
    """Subscribers and publishers whose connections are cut after 1, 2, 3, … bytes. The head of a stream is about 300 bytes,
    and a frame up to 300: one round covers 120 bytes from a random one on."""
    first = scene.rng.randrange(1, 700)
    reset = scene.rng.random() < 0.5
    streams = Network(deque(range(first, first + 120)), reset=reset)
    answers = Network(deque(range(1, 121)), reset=not reset)
    requests = Network(deque(range(1 + first % 200, 121 + first % 200)), reset=reset, cut_requests=True)
    through = scene.through(streams)
    scene.subscribe(through)
    scene.subscribe(through, kind="n")
    scene.publish(scene.through(answers))
    scene.publish(scene.through(requests))
    scene.wait(lambda: sum(proxy.cut for proxy in scene.proxies) == 360, "every cut", 3 * PATIENCE)


def network_vanishes(scene: Scene) -> None:
    """A network that passes on nothing any more, and says nothing. Its subscribers and publishers give up and return by
    another way; the hub drops them after HUB_STALL."""
    network = Network()
    ways = [scene.through(network)]
    for _ in range(3):
        scene.subscribe(lambda: ways[0]())
    scene.publish(lambda: ways[0]())
    scene.progress()
    scene.pause()
    before = scene.proxies[0].connections
    network.vanished.set()
    scene.pause(2.0)
    ways[0] = scene.ports
    subscribers = len(scene.subscribers)
    assert before >= 4
    scene.progress(patience=2 * PATIENCE)
    try:
        until(lambda: scene.count() <= subscribers, "the hub to drop those whose network vanished")
    except AssertionError as error:
        scene.problems.append(f"{error}: {scene.count()} of {subscribers}")


def bytes_delayed(scene: Scene) -> None:
    """Two in a hundred pieces, of up to 1400 bytes, are held back for up to two seconds, and all that follows them."""
    slow = Network(held=0.02)
    for kind in ("", "n"):
        scene.subscribe(scene.through(slow), kind=kind, silence=10.0)
    scene.publish(scene.through(slow))
    scene.progress()
    scene.pause(5.0)
    scene.progress()
    slow.held = 0.0


def readers_stall(scene: Scene) -> None:
    """Subscribers that stop reading for seconds, so that the ring moves on: their gaps must count what is missing."""
    stalling = [scene.subscribe(kind=kind, stalls=3.0, silence=10.0) for kind in ("", "", "n")]
    for _ in range(2):
        scene.publish(pause=0.0)

    def gaps() -> bool:
        return any(isinstance(item, Gap) for subscriber in stalling for item in list(subscriber.seen))

    scene.wait(gaps, "a gap", 2 * PATIENCE)
    scene.progress()
    scene.pause(2.0)


def in_turn(faults: Mapping[str, Fault]) -> Callable[[Scene], None]:
    """All of these in one round, in random order. A loss of events is last: what is acknowledged after it cannot be told
    from what is not."""

    def inflict(scene: Scene) -> None:
        names = [name for name in faults if name != _LAST]
        scene.rng.shuffle(names)
        for name in [*names, _LAST] if _LAST in faults else names:
            try:
                faults[name].inflict(scene)
            except AssertionError as error:
                raise type(error)(f"{name}: {error}") from error

    return inflict


_LAST = "valkey-lost"

SHARED: dict[str, Fault] = {
    "valkey-killed": Fault(valkey_killed, one_valkey, 2),
    "valkey-restarted": Fault(valkey_restarted, one_valkey, 2),
    "valkey-stopped": Fault(valkey_stopped, one_valkey, 2),
    "valkey-full": Fault(valkey_full, one_valkey, 2),
    "valkey-lost": Fault(valkey_lost, one_valkey, 2),
    "link-cut": Fault(link_cut, linked_valkey, 2),
    "link-delayed": Fault(link_delayed, linked_valkey, 2),
    "link-vanished": Fault(link_vanished, linked_valkey, 2),
    "peer-killed": Fault(hub_killed, one_valkey, 2),
    "peer-drained": Fault(hub_drained, one_valkey, 2),
    "peer-stopped": Fault(peer_stopped, one_valkey, 2),
}
"""Those of two hubs that share a history."""

WORKERS: dict[str, Fault] = {
    "workers-killed": Fault(workers_killed, workers, 1),
    "workers-rolled": Fault(workers_rolled, workers, 1),
    "workers-valkey-killed": Fault(workers_valkey_killed, workers, 1),
    "workers-hub-killed": Fault(hub_killed, workers, 1),
}
"""Those of one hub with two worker processes."""

KINDS: dict[str, Fault] = {
    "hub-killed": Fault(hub_killed),
    "worker-killed": Fault(worker_killed),
    "hub-drained": Fault(hub_drained),
    "agent-killed": Fault(agent_killed, environ={"HUB_AGENT": SCRIPTED}, lasting=LAUNCHER),
    "disk-full": Fault(disk_fills, small_disk, 1, lasting=DEGRADED),
    "clock": Fault(clock_jumps, faked_clock, environ={"HUB_RETENTION": "1d,1GB"}),
    "descriptors": Fault(descriptors_exhausted, preexec=few_descriptors),
    "cut": Fault(cut_at_every_byte),
    "vanished": Fault(network_vanishes, size=2000),
    "delayed": Fault(bytes_delayed),
    "stalled": Fault(readers_stall, environ={"HUB_RING": "50", "HUB_STALL": "20s"}, size=4000),
    **SHARED,
    **WORKERS,
    "shared-all": Fault(in_turn(SHARED), linked_valkey, 2),
    "workers-all": Fault(in_turn(WORKERS), workers, 1),
}
"""By name, in the order of rounds."""
