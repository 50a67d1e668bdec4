"""Exit codes when a signal arrives at an unfavourable moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..hubs import PATIENCE
from .commands import environ

IN_A_DESTRUCTOR = """
import os, signal, sys, time
from event_hub.cli.exits import with_exit_code

class SlowDestructor:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)  # the signal ends it

@with_exit_code
def body():
    SlowDestructor()
    time.sleep(60)

sys.exit(body())
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 0)])
def test_a_signal_in_a_destructor_is_not_lost(name: str, code: int) -> None:
    """Python prints exceptions raised in a destructor and carries on."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_DESTRUCTOR.format(name=name)],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (code, "")


def test_a_signal_ignored_at_start_stays_ignored() -> None:
    """nohup and background commands of a script rely on it."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "from event_hub.cli.exits import with_exit_code; "
        "sys.exit(with_exit_code(lambda: os.kill(os.getpid(), signal.SIGINT))())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ(), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
