"""The webhook receiver of the examples, run as its comment says (H35)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, free_port, until
from .packages import EXAMPLES, environment
from .programs import Program, running

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[Program, str]]:
    """The running receiver and its URL."""
    port = free_port()
    command = [sys.executable, EXAMPLES / "forwarding" / "receiver.py", str(port)]
    secrets = f"whsec_{'B' * 32} {SECRET}"  # two secrets, as during key rotation
    with running(command, tmp_path / "out", cwd=tmp_path, env=environment(HUB_FORWARD_SECRET=secrets)) as program:
        until(lambda: _listens(port), "the receiver to listen")
        yield program, f"http://localhost:{port}/"


def _listens(port: int) -> bool:
    try:
        requests.get(f"http://localhost:{port}/", timeout=PATIENCE)
    except requests.RequestException:
        return False
    return True


def test_the_receiver_prints_transcripts(
    receiver: tuple[Program, str], hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    """The hub signs with the known secret and with a newer one that the receiver does not know yet."""
    program, url = receiver
    hub = hub_factory(
        HUB_FORWARD=f"{url}#room=demo",
        HUB_FORWARD_SECRET=f"whsec_{'A' * 32} {SECRET}",
        HUB_FORWARD_STATE=str(tmp_path / "forward"),
    ).start()
    said = {"type": "transcript", "role": "user", "text": "Grüße"}
    first = hub.publish({**said, "room": "demo"})["id"]
    hub.publish([{**said, "room": "elsewhere"}, {"type": "other", "room": "demo"}])
    last = hub.publish({"type": "transcript", "role": "agent", "text": "Hello", "room": "demo"})["id"]
    until(lambda: program.text().count("\n") == 2, "both lines")
    assert program.text() == f"{first} user Grüße\n{last} agent Hello\n"


def test_the_receiver_refuses_forged_and_old_requests(receiver: tuple[Program, str]) -> None:
    program, url = receiver
    body = b'{"type":"events","data":{"events":[{"id":"x-1","event":{"type":"transcript","text":"forged"}}]}}'

    def post(body: bytes, at: float, key: str = SECRET, **headers: str) -> int:
        signed = b"msg_1.%d.%b" % (at, body)
        digest = hmac.new(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        signature = {"webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
        more = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at)), **signature, **headers}
        return requests.post(url, data=body, headers=more, timeout=PATIENCE).status_code

    now = time.time()
    assert post(body, now, "whsec_" + "A" * 32) == 401
    assert post(body, now, **{"webhook-signature": ""}) == 401
    assert post(body, now, **{"webhook-signature": "v1,"}) == 401
    assert post(body, now, **{"webhook-timestamp": str(int(now) + 1)}) == 401
    assert post(body, now - 3600) == 400
    assert program.text() == ""
    assert post(body, now) == post(body, now) == 204
    assert program.text() == "x-1 None forged\n"  # printed once


def test_the_receiver_survives_malformed_requests(receiver: tuple[Program, str]) -> None:
    """It refuses missing or non-ASCII headers and a missing body, and still answers."""
    program, url = receiver
    assert requests.post(url, data=b"{}", timeout=PATIENCE).status_code == 401
    assert (
        requests.post(url, data=b"{}", headers={"webhook-signature": b"v1,\xe4 \xff"}, timeout=PATIENCE).status_code
        == 401
    )
    assert requests.post(url, headers={"Content-Length": "-1"}, timeout=PATIENCE).status_code == 401
    assert program.text() == ""
