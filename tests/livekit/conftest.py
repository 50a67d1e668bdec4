"""A line for calls. Only one call at a time: two calls on two cores delay each other."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from ..browser.conftest import new_page
from .line import Line
from .speech import Recogniser

__all__ = ["new_page"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A call takes half a minute, may be repeated (`undisturbed`), and may have to wait for the one before.

    Calls are moved to the front, so that one pytest-xdist worker makes them all and the others need not wait.
    """
    calls = [item for item in items if "open_line" in getattr(item, "fixturenames", ())]
    for item in calls:
        item.add_marker(pytest.mark.timeout(1200))
        item.add_marker(pytest.mark.slow)
    items[:] = [*calls, *(item for item in items if item not in calls)]


@pytest.fixture
def turn(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[None]:
    """Only one call at a time, whatever the number of pytest-xdist workers."""
    addresses = [
        interface.address
        for interfaces in psutil.net_if_addrs().values()
        for interface in interfaces
        if interface.family == socket.AF_INET
    ]
    if all(address.startswith("127.") for address in addresses):
        pytest.fail(
            "WebRTC needs a network interface besides loopback: ip link add w0 type veth peer name w1; "
            "ip address add 192.0.2.1/24 dev w0; ip link set w0 up; ip link set w1 up"
        )
    base = tmp_path_factory.getbasetemp()
    with FileLock((base if worker_id == "master" else base.parent) / "livekit.lock"):
        yield


@pytest.fixture
def open_line(turn: None, tmp_path: Path) -> Iterator[Callable[..., Line]]:
    """Opens lines, with the arguments of `Line`. All are closed at the end."""
    opened: list[Line] = []

    def make(**options: Any) -> Line:
        folder = tmp_path / f"line{len(opened)}"
        folder.mkdir()
        opened.append(Line(folder, **options))
        return opened[-1].open()

    yield make
    for line in opened:
        line.close()
        print(line.logs())  # shown where the test has failed


@pytest.fixture
def recogniser() -> Iterator[Recogniser]:
    with Recogniser() as process:
        yield process
