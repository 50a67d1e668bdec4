"""Read requests take turns, and the event loop handles everything else in between."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json
import gevent
from gevent import socket
from event_hub.server.serving.turnstile import Turnstile

turnstile, passed, seen = Turnstile(), [], []
mine, theirs = socket.socketpair()

def read(number):
    turnstile.wait()
    passed.append(number)
    if number < 190:
        theirs.send(b"x")  # input that arrives while they wait

def publish():
    while mine.recv(100):
        seen.append(len(passed))
    mine.close()

publishing = gevent.spawn(publish)
gevent.sleep(0)
turnstile.wait()
alone = len(turnstile)
gevent.joinall([gevent.spawn(read, number) for number in range(200)])
theirs.close()
publishing.join()
while turnstile._turning:
    gevent.sleep(0.001)  # it stops once a turn has passed without a request
print(json.dumps({"alone": alone, "passed": passed, "seen": seen, "turning": turnstile._turning}))
"""


def test_other_work_runs_between_turns() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["alone"] == 0
    assert result["passed"] == list(range(200))
    steps = [after - before for before, after in zip([0, *result["seen"]], result["seen"], strict=False)]
    assert max(steps) <= 8, "more than two turns before the event loop handled other input"
    assert result["turning"] is False
