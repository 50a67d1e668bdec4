"""Fixtures for all tests, and a check that no test leaks processes or threads."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .hubs import HubProcess, until
from .processes import children, descendants
from .toolchain import tool
from .valkeys import ValkeyServer

# Some images set PYTHONDONTWRITEBYTECODE. With it, each of a thousand processes compiles the same sources again, which doubles
# the time until a hub or an agent is ready.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# By default, Hypothesis fails an example that takes more than 0.2 s, even if only because the machine is busy. This profile
# turns that off, as Hypothesis' own profile for CI does; pytest-timeout catches real hangs.
if settings.get_current_profile_name() != "ci":
    settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machine")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, because tests spend a third of their time waiting."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_finish() -> None:
    """Exclude imported modules from the garbage collection after each test (`_nothing_left_behind`)."""
    gc.collect()
    gc.freeze()


_kept: set[int] = set()
"""Processes of fixtures that outlive a test; their child processes are exempt as well."""


@contextmanager
def outliving() -> Iterator[Callable[[], None]]:
    """For fixtures shared by several tests: processes started before the yielded function is called may outlive a test."""
    before = children(os.getpid())
    mine: set[int] = set()

    def keep() -> None:
        mine.update(children(os.getpid()) - before)
        _kept.update(mine)

    yield keep
    _kept.difference_update(mine)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaks processes or threads."""
    before = descendants(os.getpid())
    threads = {thread.ident for thread in threading.enumerate()}
    yield
    gc.collect()

    def leaked() -> list[str]:
        theirs = {pid for root in children(os.getpid()) & _kept for pid in {root} | descendants(root)}
        processes = sorted(descendants(os.getpid()) - before - theirs)
        alive = [t for t in threading.enumerate() if t.ident not in threads and t.is_alive() and not t.daemon]
        return [f"process {pid}" for pid in processes] + [f"thread {t.name}" for t in alive]

    until(lambda: not leaked(), f"leaked: {leaked()}")


@pytest.fixture
def hub_factory(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Makes hubs (not started yet), and stops them all at the end."""
    hubs: list[HubProcess] = []

    def make(**options: object) -> HubProcess:
        folder = tmp_path / f"hub{len(hubs)}"
        folder.mkdir()
        hubs.append(HubProcess(folder, **options))  # type: ignore[arg-type]
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.stop()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub shared by the tests of a module: in-memory history, a heartbeat every second."""
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("hub"), HUB_HEARTBEAT="1s") as process:
        keep()
        yield process


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """A Valkey that tests share, each with a prefix of its own."""
    yield from _kept_server(ValkeyServer())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyServer]:
    """The same with Redis."""
    yield from _kept_server(ValkeyServer(binary=tool("redis-server")))


def _kept_server(server: ValkeyServer) -> Iterator[ValkeyServer]:
    with outliving() as keep:
        server.start()
        keep()
        try:
            yield server
        finally:
            server.close()
