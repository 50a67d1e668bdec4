"""What happens to the connections between hubs and the server of their history."""

from __future__ import annotations

from collections.abc import Sequence

from ...hubs import PATIENCE
from .proxy import Proxy
from .scene import Scene


def _some(scene: Scene) -> Sequence[Proxy]:
    """One of the links, or all."""
    return scene.links if scene.rng.random() < 0.4 else [scene.rng.choice(scene.links)]


def link_cut(scene: Scene) -> None:
    """For seconds, every connection is cut after a random number of bytes, those that are open already too."""
    links = _some(scene)
    for _ in range(scene.times(3)):
        scene.progress(patience=2 * PATIENCE)
        for link in links:
            link.network.reset = scene.rng.random() < 0.5
            link.network.every = scene.rng.choice(((1, 60), (1, 500), (1, 8000)))
        cut = sum(link.cut for link in links)
        scene.wait(lambda cut=cut: sum(link.cut for link in links) >= cut + 10, "cuts", 2 * PATIENCE)
        scene.pause(2.0)
        for link in links:
            link.network.every = None
    scene.progress(patience=2 * PATIENCE)


def link_delayed(scene: Scene) -> None:
    """For seconds, one piece of up to 1400 bytes in fifty is held back for up to two seconds, and what follows it too."""
    links = _some(scene)
    scene.progress()
    for link in links:
        link.network.held = 0.02
    scene.pause(5.0)
    scene.progress(patience=3 * PATIENCE)
    for link in links:
        link.network.held = 0.0
    scene.progress(patience=2 * PATIENCE)


def link_vanished(scene: Scene) -> None:
    """The connections pass nothing on any more and are not closed, for up to twelve seconds."""
    links = _some(scene)
    for _ in range(scene.times(2)):
        scene.progress(patience=2 * PATIENCE)
        scene.pause()
        for link in links:
            link.network.vanished.set()
        scene.pause(scene.rng.choice((1.0, 4.0, 7.0, 12.0)))
        for link in links:
            link.network.vanished.clear()
    scene.progress(patience=2 * PATIENCE)
