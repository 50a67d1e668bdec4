"""Fixtures for the tests of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..hubs import HubProcess
from ..wire.agents import nothing_left, program
from ..wire.conftest import forwarder

__all__ = ["forwarder"]


@pytest.fixture
def launching(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Makes hubs (not started yet) with the program as their agent and a persistent history, and checks that no agent
    process is left at the end."""
    with nothing_left() as hubs:

        def make(*behaviour: str, **options: Any) -> HubProcess:
            database = f"sqlite:///{tmp_path}/{len(hubs)}.db"
            hubs.append(hub_factory(**{"HUB_AGENT": program(*behaviour), "HUB_HISTORY": database, **options}))
            return hubs[-1]

        yield make
