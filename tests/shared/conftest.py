"""Two hubs on one Valkey, shared by the tests of a module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import outliving
from ..hubs import HubProcess, until
from ..valkeys import ValkeyServer


@pytest.fixture(scope="module")
def two_hubs(
    valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HubProcess, HubProcess]]:
    yield from hubs_on(f"{valkey_server.url}?prefix={os.urandom(4).hex()}", tmp_path_factory.mktemp("hubs"))


def hubs_on(
    url: str, folder: Path, headers: dict[str, str] | None = None, **environ: str
) -> Iterator[tuple[HubProcess, HubProcess]]:
    """Two hubs that know of each other. `headers`: for requests that need a credential."""
    a, b = (HubProcess(folder, HUB_HISTORY=url, HUB_HEARTBEAT="1s", **environ) for _ in range(2))

    def know_each_other() -> bool:
        return all(hub.get("/api/health", headers=headers)["processes"] == 2 for hub in (a, b))

    with outliving() as keep, a, b:
        until(know_each_other, "the hubs to know of each other")
        keep()
        yield a, b
