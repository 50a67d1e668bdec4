"""An export in progress ends when the access of its reader does, and the reader can tell that it is incomplete."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from .guarded import SECRET, bearer, token

PUBLISHER = "publish-secret-0001"
READER = "subscribe-secret-01"
EVENTS = 1500
LAST = b"0\r\n\r\n"


@pytest.fixture(params=["gunicorn", "gevent", "werkzeug"])
def filled(request: pytest.FixtureRequest, hub_factory: Callable[..., HubProcess], tmp_path: Path) -> HubProcess:
    """A hub with more events than the buffers of a connection take."""
    keys = tmp_path / "keys"
    keys.write_text(f"subscribe wall:{READER}\nsubscribe other:another-secret-01\npublish ci:{PUBLISHER}\n")
    hub = hub_factory(
        server=request.param, HUB_KEYS_FILE=str(keys), LIVEKIT_API_KEY="devkey", LIVEKIT_API_SECRET=SECRET
    ).start()
    for _ in range(EVENTS // 100):
        batch = [{"type": "n", "room": "demo", "text": "x" * 10_000} for _ in range(100)]
        assert hub.post(batch, headers=bearer(PUBLISHER)).status_code == 200
    return hub


class Export:
    """An export that its reader does not read any further than its first bytes, until `rest`."""

    def __init__(self, hub: HubProcess, credential: str, version: str = "1.1") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(2 * PATIENCE)
        self.socket.connect(("127.0.0.1", hub.port))
        head = f"GET /api/events HTTP/{version}\r\nHost: a\r\nAccept: application/x-ndjson\r\n"
        self.socket.sendall(f"{head}Authorization: Bearer {credential}\r\n\r\n".encode())
        self.data = self.socket.recv(4096)
        assert b" 200 " in self.data[:20]

    def rest(self, *, complete: bool = False) -> bytes:
        """Everything until the last chunk or the end of the connection. Raises ConnectionResetError."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with self.socket:
            while not (complete and self.data.endswith(LAST)) and (received := self.socket.recv(1 << 20)):
                self.data += received
        return self.data


def reload(hub: HubProcess) -> None:
    before = hub.output().count("keys were read again")
    os.kill(hub.worker_pid(), signal.SIGHUP)
    until(lambda: hub.output().count("keys were read again") > before, "the new keys")


def refused(hub: HubProcess, credential: str) -> bool:
    answer = requests.get(f"{hub.url}/api/rooms", headers=bearer(credential), timeout=PATIENCE)
    return answer.status_code == 401


def check_incomplete(hub: HubProcess, export: Export) -> None:
    data = export.rest()
    assert not data.endswith(LAST), "a client of HTTP/1.1 takes it for incomplete"
    assert data.count(b'"type":"n"') < EVENTS
    assert "Traceback" not in hub.output()


@pytest.mark.parametrize("filled", ["gunicorn", "gevent"], indirect=True)
def test_it_ends_with_its_key(filled: HubProcess, tmp_path: Path) -> None:
    revoked, other = Export(filled, READER), Export(filled, "another-secret-01")
    (tmp_path / "keys").write_text(f"subscribe other:another-secret-01\npublish ci:{PUBLISHER}\n")
    reload(filled)
    check_incomplete(filled, revoked)
    assert other.rest(complete=True).count(b'"type":"n"') == EVENTS, "a key that stays is not affected"


def test_it_ends_with_its_token(filled: HubProcess) -> None:
    expiring = token({"room": "demo", "roomJoin": True}, life=4)
    export = Export(filled, expiring)
    until(lambda: refused(filled, expiring), "the token to expire")
    check_incomplete(filled, export)


@pytest.mark.parametrize("filled", ["gunicorn", "gevent"], indirect=True)
def test_a_client_of_http_1_0_notices_too(filled: HubProcess) -> None:
    """As nginx is by default: the end of the connection would be the end of the export."""
    expiring = token({"room": "demo", "roomJoin": True}, life=4)
    export = Export(filled, expiring, "1.0")
    until(lambda: refused(filled, expiring), "the token to expire")
    with pytest.raises(ConnectionResetError):
        export.rest()
    assert export.data.count(b'"type":"n"') < EVENTS
