"""Fixtures for the tests over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import outliving
from ..hubs import HubProcess
from .agents import nothing_left, program
from .guarded import ENVIRON, KEYS, bearer
from .receivers import SECRET, Receiver, receiver


@pytest.fixture
def stalled() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def launching(hub_factory: Callable[..., HubProcess]) -> Iterator[Callable[..., HubProcess]]:
    """Starts hubs with the program as their agent, and checks that no agent process is left at the end."""
    with nothing_left() as hubs:

        def make(*behaviour: str, **options: Any) -> HubProcess:
            hubs.append(hub_factory(**({"HUB_AGENT": program(*behaviour)} if behaviour else {}), **options).start())
            return hubs[-1]

        yield make


@pytest.fixture
def forwarder(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> Callable[..., HubProcess]:
    """Makes hubs (not started yet) that forward to the given targets and have a persistent history."""

    def make(*targets: str, **options: Any) -> HubProcess:
        environ = {
            "HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db",
            "HUB_FORWARD": " ".join(targets),
            "HUB_FORWARD_SECRET": SECRET,
            "HUB_FORWARD_STATE": str(tmp_path / "forward"),
        }
        return hub_factory(**{**environ, **options})

    return make


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that requires credentials, with events in three rooms and in none."""
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("guarded"), **ENVIRON) as hub:
        keep()
        for room in ("support-1", "demo", "other", None):
            event = {"type": "transcript", "role": "user", "text": f"said in {room}", "session": "s"}
            answer = hub.post({**event, **({"room": room} if room else {})}, headers=bearer(KEYS["control"]))
            assert answer.status_code == 200, answer.text
        yield hub
