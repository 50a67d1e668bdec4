"""Hubs with agents for the tests of what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..hubs import HubProcess
from ..wire.agents import nothing_left, program


@pytest.fixture
def launching(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """A hub with the program, not started, with a history that lasts; nothing of its agents is left at the end."""
    with nothing_left() as hubs:

        def make(*behaviour: str, **options: Any) -> HubProcess:
            database = f"sqlite:///{tmp_path}/{len(hubs)}.db"
            hubs.append(hub_factory(**{"HUB_AGENT": program(*behaviour), "HUB_HISTORY": database, **options}))
            return hubs[-1]

        yield make
