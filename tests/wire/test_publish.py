"""`POST /api/agent/data`: accepted requests and their answers (H05 H06)."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import requests

from ..hubs import PATIENCE, HubProcess


def _post(hub: HubProcess, body: bytes, content_type: str = "application/json") -> requests.Response:
    headers = {"Content-Type": content_type}
    return requests.post(f"{hub.url}/api/agent/data", data=body, headers=headers, timeout=PATIENCE)


def test_a_batch_gets_one_answer(hub: HubProcess) -> None:
    """A JSON array or NDJSON gets one answer."""
    with hub.stream("?type=n*") as stream:
        stream.next()
        hub.wait_count(1)
        array = hub.publish([{"type": "n", "n": n} for n in range(3)])
        assert (array["status"], array["accepted"], array["duplicates"]) == ("ok", 3, 0)
        assert array["clients_notified"] == 1
        first, last = (int(array[k].split("-")[1]) for k in ("first_id", "last_id"))
        assert last - first == 2
        lines = b'{"type":"n","n":3}\n\n{"type":"n","n":4}\r\n{"type":"n","n":5}'
        assert _post(hub, lines, "application/x-ndjson; charset=utf-8").json()["accepted"] == 3
        assert _post(hub, b"[]").json() == {
            "status": "ok", "accepted": 0, "duplicates": 0, "clients_notified": 0, "first_id": None, "last_id": None,
        }  # fmt: skip
        assert _post(hub, b"", "application/x-ndjson").json()["accepted"] == 0
        assert [stream.until("n")["n"] for _ in range(6)] == list(range(6))


def test_event_ids_make_publishing_idempotent(hub_factory: Any, tmp_path: Any) -> None:
    """Also across a restart; the answer names the existing event."""
    options = {"HUB_HISTORY": f"sqlite:///{tmp_path}/ids.db"}
    hub = hub_factory(**options).start()
    with hub.stream() as stream:
        first = hub.publish({"type": "x", "event_id": "e1", "n": 1})
        again = hub.publish({"type": "x", "event_id": "e1", "n": 2})
        batch = hub.publish(
            [{"type": "x", "event_id": "e2"}, {"type": "x", "event_id": "e1"}, {"type": "x", "event_id": "e2"}]
        )
        assert first["duplicate"] is False
        assert again == {"status": "ok", "clients_notified": 0, "id": first["id"], "duplicate": True}
        assert (batch["accepted"], batch["duplicates"]) == (1, 2)
        hub.publish({"type": "end"})
        assert [stream.until("x")["event_id"] for _ in range(2)] == ["e1", "e2"]
        assert stream.next()["type"] == "end"
    hub.stop()
    restarted = hub_factory(**options).start()
    answer = restarted.publish({"type": "x", "event_id": "e1"})
    assert answer["duplicate"] is True
    assert answer["id"] == first["id"]


def test_only_a_missing_timestamp_is_filled_in(hub_factory: Any) -> None:
    hub = hub_factory().start()
    with hub.stream() as stream:
        began = time.time()
        for event in ({"type": "x"}, {"type": "x", "timestamp": None}, {"type": "x", "timestamp": 5}):
            hub.publish(event)
        got = [stream.until("x")["timestamp"] for _ in range(3)]
        assert all(began - 1 <= t <= time.time() + 1 for t in got[:2])
        assert got[2] == 5


def test_pipelined_requests_on_a_persistent_connection(hub_factory: Any) -> None:
    """Requests that arrive in one packet are answered in order, even if one of them is refused."""
    hub = hub_factory().start()
    good = b'{"type":"x"}'
    request = (
        b"POST /api/agent/data HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    )
    bad = b'{"type":'
    data = request % (len(good), good) + request % (len(bad), bad) + request % (len(good), good)
    with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        answer = b""
        while answer.count(b"HTTP/1.1 ") < 3 or not answer.endswith(b"}\n"):
            received = connection.recv(65536)
            assert received
            answer += received
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [200, 400, 200]
    assert json.loads(answer.splitlines()[-1])["id"].endswith("-2")
