"""Requests that read pass in turns, and the loop looks at everything else in between."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json
import gevent
from gevent import socket
from event_hub.server.turnstile import Turnstile

turnstile, passed, seen = Turnstile(), [], []
mine, theirs = socket.socketpair()

def read(number):
    turnstile.wait()
    passed.append(number)
    if number < 190:
        theirs.send(b"x")  # what comes from outside while they wait

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
    gevent.sleep(0.001)  # nobody has passed for a turn: it rests
print(json.dumps({"alone": alone, "passed": passed, "seen": seen, "turning": turnstile._turning}))
"""


def test_others_come_in_between() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["alone"] == 0
    assert told["passed"] == list(range(200))
    steps = [after - before for before, after in zip([0, *told["seen"]], told["seen"], strict=False)]
    assert max(steps) <= 8, "more than two turns before the loop looked at what had come from outside"
    assert told["turning"] is False
