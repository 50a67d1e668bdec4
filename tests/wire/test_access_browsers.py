"""A person's access: signing in and out, shared links, and what pages of other origins may do (H37, H40)."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from event_hub.server.access.signed import sign
from tests.hubs import PATIENCE, HubProcess, until

from .guarded import ENVIRON, KEYS, bearer, cookie, elsewhere, get, rooms_of, share, token

# -- people --------------------------------------------------------------------------------------------------------------


def test_signing_in_and_out(guarded: HubProcess) -> None:
    browser = requests.Session()
    url = guarded.url
    answer = browser.post(
        f"{url}/api/sign-in", json={"key": KEYS["subscribe room"]}, headers=elsewhere(), timeout=PATIENCE
    )
    assert answer.json()["label"] == "desk"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert KEYS["subscribe room"] not in answer.headers["Set-Cookie"]
    events = browser.get(f"{url}/api/events", timeout=PATIENCE).json()["events"]
    assert {item["event"].get("room") for item in events} <= {"support-1", "demo"}
    assert browser.post(f"{url}/api/sign-out", timeout=PATIENCE).status_code == 200
    assert browser.get(f"{url}/api/events", timeout=PATIENCE).status_code == 401
    for key in ("wrong-key-00000", token({"room": "demo", "roomJoin": True}), ""):
        answer = browser.post(f"{url}/api/sign-in", json={"key": key}, headers=elsewhere(), timeout=PATIENCE)
        assert answer.status_code in (401, 422)
        assert "Set-Cookie" not in answer.headers


def test_a_cookie_counts_only_for_the_hubs_own_page(guarded: HubProcess) -> None:
    """Browsers send it for every port of a host, and other hubs on other ports set cookies of their own."""
    headers = cookie(guarded, KEYS["control"])
    own = {**headers, "Origin": guarded.url}
    assert requests.post(f"{guarded.url}/api/agent/stop", headers=own, timeout=PATIENCE).status_code == 200
    assert guarded.post({"type": "n"}, headers=own).status_code == 200
    for origin in ("http://127.0.0.1:3000", "https://evil.example", "null"):
        foreign = {**headers, "Origin": origin}
        answer = requests.post(f"{guarded.url}/api/agent/stop", headers=foreign, timeout=PATIENCE)
        assert answer.json()["code"] == "forbidden_origin"
        assert guarded.post({"type": "n"}, headers=foreign).json()["code"] == "forbidden_origin"
        answer = requests.post(f"{guarded.url}/api/sign-out", headers=foreign, timeout=PATIENCE)
        assert answer.json()["code"] == "forbidden_origin"
    other_hub = {"Cookie": headers["Cookie"].replace(f"_{guarded.port}=", "_5999=")}
    assert requests.get(f"{guarded.url}/api/events", headers=other_hub, timeout=PATIENCE).status_code == 401
    both = {"Cookie": f'{other_hub["Cookie"]}; a=b; odd[]="x; {headers["Cookie"]}'}
    assert requests.get(f"{guarded.url}/api/events", headers=both, timeout=PATIENCE).status_code == 200


def test_a_shared_link_opens_one_room_or_one_session_and_nothing_else(guarded: HubProcess) -> None:
    room = share(guarded, rooms=["demo"], **{"for": "2h"})
    assert room["url"] == f"/?access_token={room['token']}#room=demo"
    assert abs(room["expires_at"] - time.time() - 7200) < 300
    assert rooms_of(guarded, room["token"]) == {"demo"}
    assert guarded.post({"type": "n", "room": "demo"}, headers=bearer(room["token"])).status_code == 403
    session = share(guarded, rooms=["demo"], session="s")["token"]
    assert {s["session"] for s in get(guarded, "/api/sessions", session).json()["sessions"]} == {"s"}
    assert rooms_of(guarded, session) == {"demo"}
    for body, status in (
        ({}, 422), ({"rooms": ["a"], "for": "91d"}, 422), ({"rooms": ["a"], "for": "soon"}, 422),
        ({"session": "none"}, 404), ({"session": "s"}, 409), ({"rooms": ["a" * 300]}, 422),
        ({"rooms": ["r" * 250] * 20}, 200),
    ):  # fmt: skip
        url = f"{guarded.url}/api/share"
        answer = requests.post(url, json=body, headers=bearer(KEYS["control"]), timeout=PATIENCE)
        assert answer.status_code == status, (body, answer.text)


def test_a_tampered_link_is_refused(guarded: HubProcess) -> None:
    kind, body, signature = share(guarded, rooms=["demo"])["token"].split(".")
    other = share(guarded, rooms=["other"])["token"].split(".")
    for text in (
        f"cookie.{body}.{signature}",
        f"{kind}.{other[1]}.{signature}",
        f"{kind}.{body}.{other[2]}",
        f"{kind}.{body}",
    ):
        assert get(guarded, "/api/events", text).status_code == 401


def test_a_key_does_not_let_its_holder_sign_for_the_hub(guarded: HubProcess) -> None:
    """Links name and are signed with what only the hub knows, not with what can be derived from a key."""
    payload = {"exp": int(time.time()) + 600, "rooms": [], "globs": ["*"], "session": None}
    for key in KEYS.values():
        digest = hashlib.sha256(key.encode()).digest()
        for id_key, signing in (
            (hashlib.sha256(b"id\0" + digest).digest(), hashlib.sha256(b"sign\0" + digest).digest()),
            (hmac.digest(b"", b"id\0" + digest, "sha256"), hmac.digest(b"", b"sign\0" + digest, "sha256")),
        ):
            forged = sign("share", {"key": id_key.hex()[:16], **payload}, signing)
            assert get(guarded, "/api/events", forged).status_code == 401


def test_a_link_ends_when_its_key_may_no_longer_control(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("control boss2:a-key-that-is-demoted\n")
    hub = hub_factory(**ENVIRON, HUB_KEYS_FILE=str(file)).start()
    link = share(hub, "a-key-that-is-demoted", rooms=["*"])["token"]
    assert get(hub, "/api/events", link).status_code == 200
    file.write_text("subscribe boss2:a-key-that-is-demoted@x\n")
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGHUP)
    until(lambda: get(hub, "/api/events", link).status_code == 401, "the link to end")


# -- pages of other origins ----------------------------------------------------------------------------------------------


def test_other_origins_get_no_permission_to_read_a_guarded_hub(guarded: HubProcess) -> None:
    headers = {**bearer(KEYS["subscribe"]), "Origin": "https://evil.example"}
    answer = requests.get(f"{guarded.url}/api/events", headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    with requests.get(f"{guarded.url}/api/stream", headers=headers, timeout=PATIENCE, stream=True) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers.get("Vary", "")


def test_a_foreign_page_cannot_post_to_an_open_hub_unless_it_is_listed(hub: HubProcess) -> None:
    for origin, status in (
        ("https://evil.example", 403), ("http://localhost.evil.example", 403), ("null", 200),
        ("http://localhost:3000", 200), (hub.url, 200), (None, 200),
    ):  # fmt: skip
        answer = hub.post({"type": "n"}, headers={"Origin": origin} if origin else {})
        assert answer.status_code == status, origin
    evil = {"Origin": "https://evil.example"}
    assert (
        requests.get(f"{hub.url}/api/events", headers=evil, timeout=PATIENCE).headers["Access-Control-Allow-Origin"]
        == "*"
    )


@pytest.mark.parametrize("origin", ["http://[", "http://]", "http://\u2100".encode(), "http://[::1", "//["])
def test_an_origin_that_is_not_a_url_is_foreign(guarded: HubProcess, origin: str | bytes) -> None:
    headers: dict[str, Any] = {**cookie(guarded, KEYS["control"]), "Origin": origin}
    for path, body in (
        ("/api/sign-in", {"key": KEYS["control"]}),
        ("/api/agent/stop", {}),
        ("/api/agent/data", {"type": "n"}),
    ):
        answer = requests.post(f"{guarded.url}{path}", json=body, headers=headers, timeout=PATIENCE)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin"), (path, answer.text)


def test_a_listed_origin_may_post(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_CORS_ORIGINS="https://app.example").start()
    for origin, status in (("https://app.example", 200), ("https://evil.example", 403), ("null", 403)):
        assert hub.post({"type": "n"}, headers={"Origin": origin}).status_code == status
