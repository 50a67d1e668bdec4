"""What every test may use, and what none may leave behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from .hubs import HubProcess, until

_kept: set[int] = set()
"""Processes of fixtures that outlive a test."""


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Leaked processes and threads fail the test that leaked them."""
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    threads = {thread.ident for thread in threading.enumerate()}
    yield
    gc.collect()

    def leaked() -> list[str]:
        processes = [c for c in me.children(recursive=True) if c.pid not in before | _kept]
        alive = [t for t in threading.enumerate() if t.ident not in threads and t.is_alive() and not t.daemon]
        return [f"process {c.pid}" for c in processes] + [f"thread {t.name}" for t in alive]

    until(lambda: not leaked(), f"leaked: {leaked()}", 10)


@pytest.fixture
def hub_factory(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Makes hubs (not started yet); all are stopped at the end."""
    made: list[HubProcess] = []

    def make(**options: object) -> HubProcess:
        folder = tmp_path / f"hub{len(made)}"
        folder.mkdir()
        made.append(HubProcess(folder, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that a module's tests share: in-memory, heartbeats each second."""
    with HubProcess(tmp_path_factory.mktemp("hub"), HUB_HEARTBEAT="1s") as process:
        pids = {c.pid for c in psutil.Process().children(recursive=True)}
        _kept.update(pids)
        yield process
    _kept.difference_update(pids)
