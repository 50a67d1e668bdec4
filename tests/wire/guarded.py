"""A hub that requires credentials, and the credentials of each kind of principal."""

from __future__ import annotations

import ipaddress
import itertools
import time
from typing import Any

import jwt
import requests

from tests.hubs import PATIENCE, HubProcess

SECRET = "a-livekit-secret-of-some-length-000"
KEYS = {
    "control": "control-secret-0001",
    "publish": "publish-secret-0001",
    "publish room": "publish-secret-0002",
    "subscribe": "subscribe-secret-01",
    "subscribe room": "subscribe-secret-02",
}
ENVIRON = {
    "HUB_CONTROL_KEYS": f"boss:{KEYS['control']}",
    "HUB_PUBLISH_KEYS": f"ci:{KEYS['publish']},robot:{KEYS['publish room']}@support-*",
    "HUB_SUBSCRIBE_KEYS": f"wall:{KEYS['subscribe']},desk:{KEYS['subscribe room']}@support-*|demo",
    "LIVEKIT_URL": "ws://localhost:7880",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": SECRET,
    "HUB_AGENT": "no-such-program",
    "HUB_HEARTBEAT": "1s",
    "HUB_PROXIES": "127.0.0.1",
}


def token(video: dict[str, Any] | None, *, secret: str = SECRET, life: float = 600, **claims: Any) -> str:
    """A LiveKit token; without a grant if `video` is None."""
    now = time.time()
    payload = {"iss": "devkey", "sub": "ada", "nbf": int(now) - 5, "exp": int(now + life), **claims}
    return jwt.encode({**payload, **({"video": video} if video is not None else {})}, secret, algorithm="HS256")


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}", **elsewhere()}


_addresses = itertools.count(0x0B000000)


def elsewhere() -> dict[str, str]:
    """A client's address of its own, so that the wrong credentials of other tests do not count."""
    return {"X-Forwarded-For": str(ipaddress.ip_address(next(_addresses)))}


def get(hub: HubProcess, path: str, credential: str, **options: Any) -> requests.Response:
    return requests.get(f"{hub.url}{path}", headers=bearer(credential), timeout=PATIENCE, **options)


def rooms_of(hub: HubProcess, credential: str, query: str = "") -> set[str | None]:
    """The rooms of the events that this credential can read from the history."""
    answer = get(hub, f"/api/events{query}", credential)
    assert answer.status_code == 200, answer.text
    return {item["event"].get("room") for item in answer.json()["events"]}


def share(hub: HubProcess, key: str = KEYS["control"], **body: Any) -> dict[str, Any]:
    answer = requests.post(f"{hub.url}/api/share", json=body, headers=bearer(key), timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    link: dict[str, Any] = answer.json()
    return link


def cookie(hub: HubProcess, key: str) -> dict[str, str]:
    answer = requests.post(f"{hub.url}/api/sign-in", json={"key": key}, headers=elsewhere(), timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
