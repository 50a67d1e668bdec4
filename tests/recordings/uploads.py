"""The uploads of one real call (tests/recordings/call: recorded from a LiveKit agent, livekit-agents 1.8.9), sent again as
its exporters sent them."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import requests

from ..hubs import HubProcess, until

CALL = Path(__file__).parent / "call"
JOB = "AJ_BkPPVcwqPCMz"
ROOM_SID = "RM_dWzouYy4PvNZ"
KEY, SECRET = "devkey", "a-secret-of-the-tests-with-more-than-32-characters"
LIVEKIT = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
REQUESTS: list[dict[str, Any]] = json.loads((CALL / "requests.json").read_text())
TRACES, LOGS, METRICS = (f"/observability/{signal}/otlp/v0" for signal in ("traces", "logs", "metrics"))
RECORDINGS = "/observability/recordings/v0"


def token(secret: str = SECRET, key: str = KEY, **claims: Any) -> str:
    """A token as LiveKit's agents send it."""
    now = int(time.time())
    made = {"observability": {"write": True}, "sub": "", "iss": key, "nbf": now, "exp": now + 6 * 3600, **claims}
    return jwt.encode(made, secret, algorithm="HS256")


def body_of(request: dict[str, Any]) -> bytes:
    return (CALL / request["file"]).read_bytes()


def send(hub: HubProcess, request: dict[str, Any], bearer: str | None = None) -> requests.Response:
    """Send one of `REQUESTS` to the hub."""
    headers = {"Authorization": f"Bearer {bearer or token()}"}
    body = body_of(request)
    if request["path"] == RECORDINGS:
        headers["Content-Type"] = request["headers"]["Content-Type"]
    else:
        headers |= {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        body = gzip.compress(body)
    return requests.post(hub.url + request["path"], data=body, headers=headers, timeout=30)


def post(hub: HubProcess, path: str, body: bytes, **headers: str) -> requests.Response:
    """POST a body as an exporter with a valid token does; a header that is empty is left out."""
    given = {"Authorization": f"Bearer {token()}", "Content-Type": "application/x-protobuf", **headers}
    return requests.post(hub.url + path, data=body, headers={k: v for k, v in given.items() if v}, timeout=30)


def send_all(hub: HubProcess, but: Callable[[dict[str, Any]], bool] = lambda _: False) -> None:
    """Send all requests of the call, except those for which `but` is true."""
    for request in REQUESTS:
        if not but(request):
            answer = send(hub, request)
            assert answer.status_code == 200, (request["path"], answer.text)


def recording(
    header: bytes, *, chat: bytes | None = None, audio: bytes | None = None, end: bool = True
) -> tuple[bytes, str]:
    """A multipart body as LiveKit's agents send it, and its content type."""
    boundary = "0123456789abcdef0123456789abcdef"
    parts = [("header", "header.binpb", "application/protobuf", header)]
    if chat is not None:
        parts.append(("chat_history", "chat_history.json", "application/json", chat))
    if audio is not None:
        parts.append(("audio", "recording.ogg", "audio/ogg", audio))
    pieces = [
        f'--{boundary}\r\nContent-Type: {kind}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, file, kind, data in parts
    ]
    return b"".join(pieces) + (
        f"--{boundary}--\r\n".encode() if end else b""
    ), f"multipart/form-data; boundary={boundary}"


def session(hub: HubProcess, id: str, condition: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
    """The session, once it is there and `condition` is true for it."""

    def found() -> dict[str, Any] | None:
        answer = requests.get(f"{hub.url}/api/sessions/{id}", timeout=30)
        return answer.json() if answer.status_code == 200 and condition(answer.json()) else None

    result: dict[str, Any] = until(found, f"session {id}", 60)
    return result
