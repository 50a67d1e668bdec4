"""Random requests as every kind of principal: no server error, no event seen by those who may not, no neighbour disturbed.

HUB_FUZZ_REQUESTS sets how many (50,000 before a release).
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from urllib.parse import quote

import pytest

from event_hub.server.access.needs import ROUTES

from ..hubs import PATIENCE, HubProcess
from .test_access import ENVIRON, KEYS, bearer, share, token

COUNT = int(os.environ.get("HUB_FUZZ_REQUESTS", "3000"))
MARK = "only-for-control"
WORKERS = 4
ENOUGH = 1.0
"""Seconds after which a request whose headers were damaged is left waiting."""
BYTES = [b"\0", b"\xff", b"%00", b"%ff", b"%2f", b"%2e%2e/", b"*", b"//", b";", b"\r\n", b" ", b"\xc3\xa9", b"%0d%0a"]
VALUES = [
    "*",
    "secret-room",
    "demo",
    "..",
    "0",
    "-1",
    "all",
    "5m",
    "1e999",
    "9" * 40,
    "x" * 3000,
    "\u202e",
    "null",
    "[]",
]
NAMES = [
    "room",
    "type",
    "session",
    "since",
    "after",
    "before",
    "limit",
    "replay",
    "past",
    "last_event_id",
    "access_token",
]
BODIES = [
    b"", b"{}", b"[]", b"null", b"{", b'{"type":"n"}', b'{"type":"n","room":"demo"}', b'[{"type":"n","room":"demo"},{}]',
    b'{"type":"n","room":["secret-room"]}', b'{"key":"x"}', b'{"rooms":["secret-room"]}', b'{"session":"s"}',
    b'{"mode":"scripted"}', b'{"room":"secret-room","dry_run":true}', b"\xff\xfe", b"[" * 2000,
]  # fmt: skip


def _request(rng: random.Random, credential: str | None, port: int) -> bytes:
    """One request, most of it valid."""
    (method, rule), _ = rng.choice(list(ROUTES.items()))
    if rng.random() < 0.1:
        method = rng.choice(["HEAD", "OPTIONS", "PUT", "DELETE", "get", "TRACE", "PATCH"])
    path = rule
    for part in ("<name:id>", "<name:room>", "<path:name>", "<path:path>", "<path:filename>"):
        path = path.replace(part, quote(rng.choice(VALUES), safe=""))
    path = path.replace("<form>", rng.choice(["json", "txt", "md", "vtt", "srt", "exe"]))
    query = [f"{rng.choice(NAMES)}={quote(rng.choice(VALUES))}" for _ in range(rng.randrange(4))]
    headers = [f"Host: 127.0.0.1:{port}", f"X-Forwarded-For: 10.{rng.randrange(256)}.{rng.randrange(256)}.1"]
    if credential is not None:
        where = rng.random()
        if where < 0.5:
            headers.append(f"Authorization: {rng.choice(['Bearer', 'bearer', 'BEARER', 'Bearer '])} {credential}")
        elif where < 0.9:
            query.append(f"access_token={quote(credential, safe='')}")
        else:
            headers.append(f"Cookie: hub_sign_in_{port}={credential}; a=b")
    if rng.random() < 0.2:
        headers.append(rng.choice([
            "Origin: https://evil.example", "Origin: null", "Last-Event-ID: x-1", "Accept: application/x-ndjson",
            "X-Forwarded-For: 127.0.0.1", "Authorization: Basic YTpi", "Range: bytes=0-1",
        ]))  # fmt: skip
    body = rng.choice(BODIES) if method == "POST" else b""
    headers += [
        f"Content-Type: {rng.choice(['application/json', 'application/x-ndjson', 'text/plain'])}",
        "Connection: close",
    ]
    if rng.random() < 0.9:
        headers.append(f"Content-Length: {len(body)}")
    target = path + ("?" + "&".join(query) if query else "")
    raw = "\r\n".join([f"{method} {target} HTTP/1.1", *headers, "", ""]).encode("utf-8", "surrogatepass") + body
    if rng.random() < 0.1:  # a few bytes elsewhere
        at = rng.randrange(len(raw))
        raw = raw[:at] + rng.choice(BYTES) + raw[at + rng.randrange(3) :]
    return raw


def _answer(port: int, raw: bytes) -> bytes:
    """What the hub sends within a short time, or until it closes the connection."""
    received = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(raw)
        connection.settimeout(ENOUGH)
        while part := connection.recv(65536):
            received += part
            if b"text/event-stream" in received:  # it would never end
                connection.settimeout(0.02)
    return received


@pytest.mark.slow
def test_random_requests_as_every_kind_of_principal(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**{**ENVIRON, "HUB_HEARTBEAT": "5s"}).start()
    for n in range(20):
        event = {"type": "transcript", "role": "user", "text": f"{MARK} {n}", "room": "secret-room", "session": "s"}
        assert hub.post(event, headers=bearer(KEYS["control"])).status_code == 200
    credentials = {
        "none": None,
        "wrong": "not-a-key-at-all",
        "subscribe room": KEYS["subscribe room"],
        "publish": KEYS["publish"],
        "publish room": KEYS["publish room"],
        "LiveKit": token({"room": "demo", "roomJoin": True}),
        "agent": token({"room": "demo", "agent": True}),
        "share": share(hub, rooms=["demo"])["token"],
        "broken": token({"room": "demo", "roomJoin": True})[:-3] + "AAA",
    }
    problems: list[tuple[str, bytes, bytes]] = []

    def fuzz(part: int) -> None:
        rng = random.Random(part)
        for _ in range(COUNT // WORKERS):
            kind, credential = rng.choice(list(credentials.items()))
            raw = _request(rng, credential, hub.port)
            answer = _answer(hub.port, raw)
            status = answer[9:12]
            documented = status == b"503" and b'"code":"' in answer
            if MARK.encode() in answer or (status.startswith(b"5") and not documented):
                problems.append((kind, raw, answer))

    with ExitStack() as stack:
        neighbours = [
            (key, stack.enter_context(hub.stream(f"?access_token={KEYS[key]}&type=tick")))
            for key in ("control", "subscribe", "subscribe room")
        ]
        workers = [threading.Thread(target=fuzz, args=(part,)) for part in range(WORKERS)]
        for worker in workers:
            worker.start()
        ticks = 0
        while any(worker.is_alive() for worker in workers):
            for room in ("secret-room", "demo"):
                event = {"type": "tick", "n": ticks, "room": room}
                assert hub.post(event, headers=bearer(KEYS["control"])).status_code == 200
            ticks += 1
            time.sleep(0.1)
        for worker in workers:
            worker.join()
        for key, stream in neighbours:
            rooms = ("demo",) if key == "subscribe room" else ("secret-room", "demo")
            expected = [(n, room) for n in range(ticks) for room in rooms]
            received = [(event["n"], event["room"]) for event in (stream.until("tick") for _ in expected)]
            assert received == expected
    assert problems == [], json.dumps(
        [(kind, repr(raw), repr(answer[:500])) for kind, raw, answer in problems[:3]], indent=1
    )
    assert "Traceback" not in hub.output()
