"""The processes below a process (tests/processes.py)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import psutil
import pytest

from .. import processes
from ..hubs import until

TREE = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


@pytest.mark.parametrize("listed", [True, False])
def test_the_whole_tree_is_found(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also children that another thread has started, and children of children; nothing once they have ended."""
    monkeypatch.setattr(processes, "_LISTED", listed and processes._LISTED)
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", TREE], stdin=subprocess.PIPE))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    (process,) = started
    try:
        below = until(lambda: processes.descendants(process.pid), "its child")
        assert below == {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        assert process.pid in processes.children(os.getpid())
        assert not below & processes.children(os.getpid())
        assert processes.descendants(os.getpid()) >= {process.pid} | below
    finally:
        process.communicate()
    assert process.pid not in processes.descendants(os.getpid())
    assert processes.children(process.pid) == set()
