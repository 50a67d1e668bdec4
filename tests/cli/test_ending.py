"""How a command ends when a signal comes at the worst moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..hubs import PATIENCE
from .commands import environ

IN_A_DESTRUCTOR = """
import os, signal, sys, time
from event_hub.cli.ending import command_body

class Worst:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)  # the signal ends it

@command_body
def body():
    Worst()
    time.sleep(60)

sys.exit(body())
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 0)])
def test_a_signal_within_a_destructor_is_not_lost(name: str, code: int) -> None:
    """Python lets no exception out of a destructor: it would print it, and wait on."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_DESTRUCTOR.format(name=name)],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (code, "")


def test_a_signal_that_was_ignored_from_the_start_stays_so() -> None:
    """As nohup, and a script that starts a command in the background, want it."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "from event_hub.cli.ending import command_body; "
        "sys.exit(command_body(lambda: os.kill(os.getpid(), signal.SIGINT))())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ(), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
