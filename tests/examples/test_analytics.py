"""examples/analytics, run as its docstring says (H32)."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.conversations import conversation

from ..hubs import PATIENCE, HubProcess
from .packages import EXAMPLES, environment


def test_one_line_is_printed_for_each_room(hub: HubProcess) -> None:
    now = time.time()
    hub.publish([*conversation("support", "s1", 5, now), *conversation("support", "s2", 4, now)])
    hub.publish({"type": "transcript", "text": "hello", "room": "quiet"})
    command = [sys.executable, EXAMPLES / "analytics" / "rooms.py", hub.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True, env=environment())
    assert done.stdout.splitlines() == [
        "quiet: 1 sessions, 1 turns, 0 min; not measured",
        "support: 2 sessions, 9 turns, 2 min; 1.00 s, p95 1.00 s",
    ]
