"""What every test may use, and what none may leave behind."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from .hubs import HubProcess, until

# By default an example that takes 0.2 s fails, whoever kept the machine busy; pytest-timeout ends what really hangs. Where
# CI is set, Hypothesis has such a profile of its own, with the same examples each time.
if settings.get_current_profile_name() != "ci":
    settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy machine")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a third of the time a test waits for something."""
    return min(4, (os.cpu_count() or 1) + 1)


def pytest_collection_finish() -> None:
    """What is imported stays: no search for garbage after a test (`_nothing_left_behind`) looks at it again."""
    gc.collect()
    gc.freeze()


_kept: set[int] = set()
"""Processes of fixtures that outlive a test, with all that they start."""


@contextmanager
def outliving() -> Iterator[Callable[[], None]]:
    """For fixtures that tests share: what was started until the call of what this gives may stay until the end of it."""
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    mine: set[int] = set()

    def keep() -> None:
        mine.update(child.pid for child in me.children() if child.pid not in before)
        _kept.update(mine)

    yield keep
    _kept.difference_update(mine)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Leaked processes and threads fail the test that leaked them."""
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    threads = {thread.ident for thread in threading.enumerate()}
    yield
    gc.collect()

    def leaked() -> list[str]:
        theirs = {c.pid for root in me.children() if root.pid in _kept for c in [root, *root.children(recursive=True)]}
        processes = [c for c in me.children(recursive=True) if c.pid not in before | theirs]
        alive = [t for t in threading.enumerate() if t.ident not in threads and t.is_alive() and not t.daemon]
        return [f"process {c.pid}" for c in processes] + [f"thread {t.name}" for t in alive]

    until(lambda: not leaked(), f"leaked: {leaked()}")


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
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("hub"), HUB_HEARTBEAT="1s") as process:
        keep()
        yield process
