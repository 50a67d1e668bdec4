"""LiveKit's tokens as credentials: whoever may be in a room may watch it, and its agent publishes for it (H37)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.hubs import HubProcess, until

from .guarded import ENVIRON, KEYS, SECRET, bearer, get, rooms_of, token


@pytest.mark.parametrize("grant", ["roomJoin", "roomAdmin", "roomRecord", "hidden"])
def test_whoever_may_be_in_a_room_may_watch_it(guarded: HubProcess, grant: str) -> None:
    credential = token({"room": "demo", grant: True})
    assert rooms_of(guarded, credential) == {"demo"}
    assert rooms_of(guarded, credential, "?room=*") == {"demo"}
    assert rooms_of(guarded, credential, "?room=other") == set()


@pytest.mark.parametrize(
    "room", ["*", "supp*", "..", "a%2fb", "a/b", "nul\0", "x" * 5_000, "Demo", "démo", "de\u0301mo"]
)
def test_the_name_of_a_room_in_a_token_is_never_a_pattern(guarded: HubProcess, room: str) -> None:
    credential = token({"room": room, "roomJoin": True})
    assert rooms_of(guarded, credential) == set()
    assert rooms_of(guarded, credential, "?room=*") == set()
    assert get(guarded, "/api/sessions", credential).json()["sessions"] == []


def test_rooms_whose_names_look_alike_are_different(guarded: HubProcess) -> None:
    for room in ("caf\u00e9", "cafe\u0301", "CAF\u00c9"):
        assert guarded.post({"type": "n", "room": room}, headers=bearer(KEYS["control"])).status_code == 200
    for room in ("caf\u00e9", "cafe\u0301", "CAF\u00c9"):
        assert rooms_of(guarded, token({"room": room, "roomJoin": True})) == {room}


def _unsigned(payload: dict[str, Any]) -> str:
    return jwt.encode(payload, "", algorithm="none")


NOW = {"iss": "devkey", "sub": "a", "video": {"room": "demo", "roomJoin": True}}
BAD: dict[str, Callable[[], str]] = {
    "alg none": lambda: _unsigned({**NOW, "exp": int(time.time()) + 60}),
    "HS512": lambda: jwt.encode({**NOW, "exp": int(time.time()) + 60}, SECRET * 2, algorithm="HS512"),
    "other secret": lambda: token({"room": "demo", "roomJoin": True}, secret="another-secret-of-some-length-00000"),
    "empty secret": lambda: token({"room": "demo", "roomJoin": True}, secret="\0" * 32),
    "other key": lambda: token({"room": "demo", "roomJoin": True}, iss="otherkey"),
    "no issuer": lambda: jwt.encode({"exp": int(time.time()) + 60, "video": NOW["video"]}, SECRET, algorithm="HS256"),
    "no expiry": lambda: jwt.encode(NOW, SECRET, algorithm="HS256"),
    "expired by a second": lambda: token({"room": "demo", "roomJoin": True}, life=-1),
    "not yet valid": lambda: token({"room": "demo", "roomJoin": True}, nbf=int(time.time()) + 300),
    "issued by a clock 5 minutes fast": lambda: token({"room": "demo", "roomJoin": True}, iat=int(time.time()) + 300),
    "key id": lambda: jwt.encode(
        {**NOW, "exp": int(time.time()) + 60}, "x" * 32, algorithm="HS256", headers={"kid": "../../dev/null"}
    ),
    "garbage": lambda: "a.b.c",
    "dots": lambda: "..",
    "long": lambda: token({"room": "demo", "roomJoin": True, "pad": "x" * 5000}, secret="y" * 32),
    "unsigned share": lambda: "share.e30.AAAA",
    "unsigned agent": lambda: "agent.e30.AAAA",
    "label": lambda: "boss",
    "key with a space": lambda: KEYS["control"] + " x",
    "prefix of a key": lambda: KEYS["control"][:-1],
}


@pytest.mark.parametrize("case", BAD)
def test_tokens_that_are_refused(guarded: HubProcess, case: str) -> None:
    credential = BAD[case]()
    answer = get(guarded, "/api/events", credential)
    assert answer.status_code == 401, answer.text
    assert credential not in answer.text
    assert answer.json()["code"] in ("bad_credential", "credential_expired", "unauthorized")


def test_grants_must_be_true(guarded: HubProcess) -> None:
    grants: list[dict[str, Any]] = [
        {"room": "demo"},
        {"room": "demo", "roomJoin": "true"},
        {"room": "demo", "roomJoin": 1},
        {"roomJoin": True},
        {"room": ["demo"], "roomJoin": True},
        {"room": "", "roomJoin": True, "roomAdmin": True},
        {"roomList": True, "roomCreate": True},
    ]
    for video in grants:
        assert get(guarded, "/api/events", token(video)).status_code == 403, video


def test_an_agent_publishes_for_its_room_only(guarded: HubProcess) -> None:
    for credential in (token({"room": "demo", "agent": True}), token({"room": "demo", "roomJoin": True}, kind="agent")):
        for room, status in (("demo", 200), ("other", 403), (None, 403), ("*", 403)):
            event = {"type": "n", **({"room": room} if room else {})}
            answer = guarded.post(event, headers=bearer(credential))
            assert answer.status_code == status, answer.text
        batch = [{"type": "n", "room": "demo", "n": 1}, {"type": "n", "room": "other"}]
        answer = guarded.post(batch, headers=bearer(credential))
        assert (answer.status_code, answer.json()["index"]) == (403, 1)
    person = token({"room": "demo", "roomJoin": True})
    assert guarded.post({"type": "n", "room": "demo"}, headers=bearer(person)).status_code == 403


def test_the_worker_publishes_for_any_room(guarded: HubProcess) -> None:
    worker = token({"agent": True})
    for event in ({"type": "n", "room": "any"}, {"type": "n"}):
        assert guarded.post(event, headers=bearer(worker)).status_code == 200
    assert get(guarded, "/api/events", worker).status_code == 403


def test_a_stream_ends_with_its_token(guarded: HubProcess) -> None:
    credential = token({"room": "demo", "roomJoin": True}, life=2)
    with guarded.stream(f"?access_token={credential}") as stream:
        assert stream.until("stream_closing")["reason"] == "token_expired"
        while stream.read():
            pass
    answer = get(guarded, "/api/stream", credential)
    assert (answer.status_code, answer.json()["code"]) == (401, "credential_expired")


def test_the_ids_of_a_limited_publisher_are_its_own(guarded: HubProcess) -> None:
    """It can neither learn of an event in another room by its id nor pre-empt it."""
    event = {"type": "n", "event_id": "same"}
    agent = bearer(token({"room": "demo", "agent": True}))
    for _ in range(2):
        first = guarded.post({**event, "room": "demo"}, headers=agent).json()
    assert first["duplicate"] is True
    answer = guarded.post({**event, "room": "other"}, headers=bearer(KEYS["control"])).json()
    assert answer["duplicate"] is False


def test_a_replay_ends_with_its_token(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**ENVIRON).start()
    for _ in range(20):
        batch = [{"type": "n", "room": "demo", "pad": "x" * 30_000} for _ in range(100)]
        assert hub.post(batch, headers=bearer(KEYS["control"])).status_code == 200
    credential = token({"room": "demo", "roomJoin": True}, life=3)
    with hub.stream(f"?since=all&access_token={credential}", receive_buffer=4096) as stream:
        path = "/api/events?limit=1"  # it reads nothing until the token has expired
        until(lambda: get(hub, path, credential).status_code == 401, "the token to expire")
        assert hub.post({"type": "later", "room": "demo"}, headers=bearer(KEYS["control"])).status_code == 200
        while stream.read():
            pass
        assert b'"later"' not in stream.bytes
