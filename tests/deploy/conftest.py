"""Proxies for the tests: one of each kind, shared by a module, and fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..conftest import outliving
from ..hubs import HubProcess
from .proxies import FILES, Proxy, proxy_before

Before = Callable[[int], Proxy]
"""Starts a proxy before what listens on a port."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """The hub that all shared proxies are in front of."""
    folder = tmp_path_factory.mktemp("hub")
    settings = {"HUB_HISTORY": f"sqlite:///{folder}/hub.db", "HUB_PROXIES": "127.0.0.1", "HUB_HEARTBEAT": "1s"}
    with outliving() as keep, HubProcess(folder, **settings) as process:
        keep()
        yield process


@pytest.fixture(scope="module", params=FILES)
def proxy(request: pytest.FixtureRequest, hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Each proxy in turn, shared by the tests of a module."""
    name = str(request.param)
    with outliving() as keep, proxy_before(name, hub.port, tmp_path_factory.mktemp(name)) as started:
        keep()
        yield started


@pytest.fixture(params=FILES)
def before(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Before]:
    """A fresh proxy of each kind, in front of a port that the test chooses."""
    with ExitStack() as stack:
        folder = tmp_path / "proxy"
        folder.mkdir()
        yield lambda port: stack.enter_context(proxy_before(str(request.param), port, folder))
