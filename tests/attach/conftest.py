"""A publisher to the module's hub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from event_hub.client import Publisher

from ..hubs import HubProcess


@pytest.fixture
def publisher(hub: HubProcess) -> Iterator[Publisher]:
    with Publisher(hub.url) as connected:
        yield connected
