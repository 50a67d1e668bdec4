"""What the tests of the clients share."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..hubs import HubProcess
from .agents import nothing_left, program
from .receivers import SECRET, Receiver, receiver


@pytest.fixture
def stalled() -> Iterator[str]:
    """Accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def launching(hub_factory: Callable[..., HubProcess]) -> Iterator[Callable[..., HubProcess]]:
    """A started hub with the program; nothing of its agents is left at the end."""
    with nothing_left() as hubs:

        def make(*behaviour: str, **options: Any) -> HubProcess:
            hubs.append(hub_factory(**({"HUB_AGENT": program(*behaviour)} if behaviour else {}), **options).start())
            return hubs[-1]

        yield make


@pytest.fixture
def forwarder(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> Callable[..., HubProcess]:
    """A hub, not started, that forwards to the targets named, with a history that lasts."""

    def make(*targets: str, **options: str) -> HubProcess:
        environ = {
            "HUB_HISTORY": f"sqlite:///{tmp_path}/hub.db",
            "HUB_FORWARD": " ".join(targets),
            "HUB_FORWARD_SECRET": SECRET,
            "HUB_FORWARD_STATE": str(tmp_path / "forward"),
        }
        return hub_factory(**{**environ, **options})

    return make


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as one:
        yield one
