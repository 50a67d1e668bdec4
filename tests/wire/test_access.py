"""Access to a hub that requires credentials, tried as every kind of principal on every route (H37, H40, X10)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from event_hub.server.access.needs import ROUTES, Need
from event_hub.server.access.signed import sign
from tests.hubs import PATIENCE, HubProcess, Stream, until

from ..conftest import outliving

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


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that requires credentials, with events in three rooms and in none."""
    with outliving() as keep, HubProcess(tmp_path_factory.mktemp("guarded"), **ENVIRON) as hub:
        keep()
        for room in ("support-1", "demo", "other", None):
            event = {"type": "transcript", "role": "user", "text": f"said in {room}", "session": "s"}
            answer = hub.post({**event, **({"room": room} if room else {})}, headers=bearer(KEYS["control"]))
            assert answer.status_code == 200, answer.text
        yield hub


def get(hub: HubProcess, path: str, credential: str, **options: Any) -> requests.Response:
    return requests.get(f"{hub.url}{path}", headers=bearer(credential), timeout=PATIENCE, **options)


def rooms_of(hub: HubProcess, credential: str, query: str = "") -> set[str | None]:
    """The rooms of the events that this credential can read from the history."""
    answer = get(hub, f"/api/events{query}", credential)
    assert answer.status_code == 200, answer.text
    return {item["event"].get("room") for item in answer.json()["events"]}


# -- the table -----------------------------------------------------------------------------------------------------------

PRINCIPALS: dict[str, tuple[Callable[[HubProcess], dict[str, str]], set[Need]]] = {
    "none": (lambda _: {}, set()),
    "wrong": (lambda _: bearer("no-such-key-000000"), set()),
    "expired": (lambda _: bearer(token({"room": "demo", "roomJoin": True}, life=-1)), set()),
    "other room": (lambda _: bearer(token({"room": "elsewhere", "roomJoin": True})), {Need.SUBSCRIBE}),
    "no grant": (lambda _: bearer(token(None)), set()),
    "agent": (lambda _: bearer(token({"room": "demo", "agent": True}, kind="agent")), {Need.PUBLISH}),
    "publish": (lambda _: bearer(KEYS["publish"]), {Need.PUBLISH}),
    "publish room": (lambda _: bearer(KEYS["publish room"]), {Need.PUBLISH}),
    "subscribe": (lambda _: bearer(KEYS["subscribe"]), {Need.SUBSCRIBE}),
    "subscribe room": (lambda _: bearer(KEYS["subscribe room"]), {Need.SUBSCRIBE}),
    "share": (lambda hub: bearer(share(hub, rooms=["demo"])["token"]), {Need.SUBSCRIBE}),
    "cookie": (lambda hub: cookie(hub, KEYS["subscribe"]), {Need.SUBSCRIBE}),
    "control": (lambda _: bearer(KEYS["control"]), set(Need)),
}


def share(hub: HubProcess, key: str = KEYS["control"], **body: Any) -> dict[str, Any]:
    answer = requests.post(f"{hub.url}/api/share", json=body, headers=bearer(key), timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    link: dict[str, Any] = answer.json()
    return link


def cookie(hub: HubProcess, key: str) -> dict[str, str]:
    answer = requests.post(f"{hub.url}/api/sign-in", json={"key": key}, headers=elsewhere(), timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


@pytest.mark.parametrize("kind", PRINCIPALS)
def test_every_route_as_every_kind_of_principal(guarded: HubProcess, kind: str) -> None:
    headers, rights = PRINCIPALS[kind]
    given = headers(guarded)
    for (method, rule), need in ROUTES.items():
        given |= elsewhere()
        path = rule.replace("<name:id>", "s").replace("<form>", "json").replace("<name:room>", "demo")
        path = (
            path.replace("<path:filename>", "page.css").replace("<path:path>", "x").replace("<path:name>", "protocol")
        )
        body = {"json": {}} if method == "POST" else {}
        with requests.request(
            method, f"{guarded.url}{path}", headers=given, timeout=PATIENCE, stream=True, allow_redirects=False, **body
        ) as answer:
            code = answer.json().get("code") if "problem" in answer.headers["Content-Type"] else None
            allowed = need is Need.NOTHING or need in rights
            refused = code in ("unauthorized", "bad_credential", "credential_expired", "forbidden")
            if rule in ("/api/sign-in", "/api/livekit/webhook"):  # they check what is in the request
                continue
            assert refused == (not allowed), (kind, method, rule, answer.status_code, code)
            if refused:
                assert answer.status_code == (403 if code == "forbidden" else 401)
                assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)


def test_a_stranger_learns_only_how_to_sign_in(guarded: HubProcess) -> None:
    config = requests.get(f"{guarded.url}/api/config", timeout=PATIENCE).json()
    assert set(config) == {"version", "access"}
    assert (config["access"]["auth"], config["access"]["kind"]) == ("required", "anonymous")
    assert set(requests.get(f"{guarded.url}/api/health", timeout=PATIENCE).json()) == {"version", "status"}
    assert get(guarded, "/api/config", KEYS["control"]).json()["access"]["control"] is True


# -- what is seen --------------------------------------------------------------------------------------------------------

SEES = {
    "subscribe": {"support-1", "demo", "other", None},
    "subscribe room": {"support-1", "demo"},
}


@pytest.mark.parametrize("key", SEES)
def test_history_sessions_rooms_and_transcripts_are_limited(guarded: HubProcess, key: str) -> None:
    credential, sees = KEYS[key], SEES[key]
    assert rooms_of(guarded, credential) == sees
    assert rooms_of(guarded, credential, "?room=*") == sees - {None}
    assert rooms_of(guarded, credential, "?room=other") == sees & {"other"}
    assert rooms_of(guarded, credential, "?session=s") == sees
    exported = get(guarded, "/api/events", credential, params={"limit": 1000})
    assert ("said in other" in exported.text) == ("other" in sees)
    sessions = get(guarded, "/api/sessions", credential).json()["sessions"]
    assert {session["room"] for session in sessions} == sees - {None}
    rooms = get(guarded, "/api/rooms", credential).json()["rooms"]
    assert {room["room"] for room in rooms} == sees - {None}
    for room in ("demo", "other"):
        one = get(guarded, f"/api/sessions/s?room={room}", credential)
        text = get(guarded, f"/api/rooms/{room}/transcript.txt", credential)
        assert (one.status_code, text.status_code) == ((200, 200) if room in sees else (404, 404))


def test_ndjson_export_is_limited(guarded: HubProcess) -> None:
    headers = {**bearer(KEYS["subscribe room"]), "Accept": "application/x-ndjson"}
    text = requests.get(f"{guarded.url}/api/events", headers=headers, timeout=PATIENCE).text
    assert {json.loads(line).get("room") for line in text.splitlines()} == {"support-1", "demo"}


def test_live_and_replayed_events_are_limited(guarded: HubProcess) -> None:
    with guarded.stream(f"?since=all&room=*&access_token={KEYS['subscribe room']}") as stream:
        assert {stream.until("transcript")["room"] for _ in range(2)} == {"support-1", "demo"}
        for room in ("other", None, "demo"):
            event = {"type": "live", **({"room": room} if room else {})}
            assert guarded.post(event, headers=bearer(KEYS["publish"])).json()["clients_notified"] is None
        event = stream.until("live")
        assert event["room"] == "demo", "the first live event that it may see"


def test_sessions_do_not_contain_what_was_said_without_a_room(guarded: HubProcess) -> None:
    """An event that names only the session belongs to it, but not to those who may see one room."""
    said = {"type": "transcript", "role": "user", "session": "one-room"}
    for event in ({**said, "room": "demo", "text": "in the room"}, {**said, "text": "outside"}):
        assert guarded.post(event, headers=bearer(KEYS["control"])).status_code == 200
    assert "outside" in get(guarded, "/api/sessions/one-room?room=demo", KEYS["subscribe"]).text
    found = get(guarded, "/api/sessions/one-room?room=demo", KEYS["subscribe room"]).text
    assert "in the room" in found
    assert "outside" not in found


# -- LiveKit's tokens ----------------------------------------------------------------------------------------------------


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


# -- where the credential is ---------------------------------------------------------------------------------------------


def test_two_different_credentials_are_refused(guarded: HubProcess) -> None:
    one, other = KEYS["subscribe"], KEYS["subscribe room"]
    url = f"{guarded.url}/api/events"
    assert requests.get(f"{url}?access_token={one}&access_token={one}", timeout=PATIENCE).status_code == 200
    assert requests.get(f"{url}?access_token={one}", headers=bearer(one), timeout=PATIENCE).status_code == 200
    for query, headers in (
        (f"?access_token={one}&access_token={other}", {}),
        (f"?access_token={one}", bearer(other)),
        (f"?%61ccess_token={one}", bearer(other)),
    ):
        assert requests.get(f"{url}{query}", headers=headers, timeout=PATIENCE).status_code == 400


def test_other_schemes_are_for_somebody_else(guarded: HubProcess) -> None:
    """A proxy may pass on the password that it has asked for."""
    basic = {"Authorization": "Basic YTpi"}
    query = f"/api/events?access_token={KEYS['subscribe']}"
    assert requests.get(f"{guarded.url}{query}", headers=basic, timeout=PATIENCE).status_code == 200
    assert requests.get(f"{guarded.url}/api/events", headers=basic, timeout=PATIENCE).json()["code"] == "unauthorized"


@pytest.mark.parametrize("parser", ["auto", "python"])
def test_a_token_in_the_address_is_in_no_log(hub_factory: Callable[..., HubProcess], parser: str) -> None:
    hub = hub_factory(**ENVIRON, GUNICORN_CMD_ARGS=f"--http-parser {parser}").start()
    secret = KEYS["subscribe"]
    for request in (
        f"GET /api/events?limit=x&access_token={secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /nowhere?access_token={secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /api/events?access_token={secret} HTTP/9\r\nHost: a\r\n\r\n",
        f"G@T /api/events?access_token={secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /api/events?access_token={secret} HTTP/1.1\r\nHost : a\r\nX\r\n\r\n",
        f"GET /api/events?access_token={secret}{'x' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET http://[?access%5Ftoken={secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET http://[?access_token[]={secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET * HTTP/1.1\nHost: a\nX-Access-Token: {secret}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nAuthorizat {secret}\r\n\r\n",
        f"ken={secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET / {secret}\r\nHost: a\r\n\r\n",
        f"GET http://[?a&{secret} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /api/events HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {secret}\r\n\r\n",
        f"GET /api/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\0\r\n\r\n",
        f"GET /api/events HTTP/1.1\r\nHost: a\r\nCookie hub_sign_in_5000={secret}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", hub.port), PATIENCE) as connection:
            connection.sendall(request.encode())
            connection.recv(65536)
    answer = get(hub, f"/api/events?access_token={secret}&limit=x", secret)
    assert secret not in answer.text
    hub.terminate()
    assert secret not in hub.output()


def test_secrets_are_not_in_the_log_the_metrics_or_the_process_list(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**ENVIRON).start()
    text = "".join(get(hub, path, KEYS["control"]).text for path in ("/api/config", "/metrics", "/api/subscribers"))
    assert hub.process is not None
    commands = Path(f"/proc/{hub.process.pid}/cmdline").read_bytes().decode()
    hub.terminate()
    for secret in (*KEYS.values(), SECRET):
        assert secret not in text + hub.output() + commands


# -- rotation ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-generator", "gevent"])
def test_keys_are_rotated_without_a_restart(
    hub_factory: Callable[..., HubProcess], tmp_path: Path, server: str
) -> None:
    file = tmp_path / "keys"
    file.write_text("subscribe stays:stays-secret-0001\nsubscribe goes:goes-secret-00001\n")
    hub = hub_factory(server=server, **ENVIRON, HUB_KEYS_FILE=str(file)).start()
    share_link = share(hub, rooms=["demo"])["token"]
    with (
        hub.stream("?access_token=stays-secret-0001") as stays,
        hub.stream("?access_token=goes-secret-00001") as goes,
        hub.stream(f"?access_token={share_link}") as shared,
    ):
        for stream in (stays, goes, shared):
            stream.until("stream_opened")
        file.write_text("subscribe stays:stays-secret-0001\nsubscribe comes:comes-secret-0001\n")
        assert hub.process is not None
        os.kill(hub.process.pid, signal.SIGHUP)
        assert goes.until("stream_closing")["reason"] == "access_revoked"
        until(lambda: get(hub, "/api/events", "comes-secret-0001").status_code == 200, "the new key")
        assert get(hub, "/api/events", "goes-secret-00001").status_code == 401
        file.write_text("nonsense")
        os.kill(hub.process.pid, signal.SIGHUP)
        until(lambda: "are not changed" in hub.output(), "the log to say that the file is wrong")
        assert hub.post({"type": "n", "room": "demo"}, headers=bearer(KEYS["control"])).status_code == 200
        assert stays.until("n")["room"] == shared.until("n")["room"] == "demo"


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


# -- agents of this hub --------------------------------------------------------------------------------------------------


def test_agents_that_the_hub_starts_can_publish_to_it(hub_factory: Callable[..., HubProcess]) -> None:
    environ = {k: v for k, v in ENVIRON.items() if not k.startswith(("LIVEKIT", "HUB_AGENT"))}
    hub = hub_factory(**environ).start()
    with Stream(hub.port, f"?access_token={KEYS['subscribe']}") as stream:
        started = requests.post(
            f"{hub.url}/api/agent/start", json={"mode": "scripted"}, headers=bearer(KEYS["control"]), timeout=PATIENCE
        )
        assert started.status_code == 202, started.text
        stream.until("session_started", 3 * PATIENCE)
    agent = started.json()["agent_id"]
    report = {
        "type": "agent_error",
        "room": "support-1",
        "agent_id": agent,
        "message": "not its own",
        "recoverable": False,
    }
    assert hub.post(report, headers=bearer(KEYS["publish room"])).status_code == 200
    status = get(hub, "/api/agent/status", KEYS["control"]).text
    assert agent in status
    assert "not its own" not in status, "a publisher that is limited to rooms does not speak for the hub's agents"
    assert get(hub, "/api/agent/status", KEYS["subscribe room"]).json()["agents"] == []
    assert (
        requests.get(f"{hub.url}/api/agent/logs", headers=bearer(KEYS["subscribe"]), timeout=PATIENCE).status_code
        == 403
    )


def test_who_knows_a_key_cannot_sign_for_the_hub(guarded: HubProcess) -> None:
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


def test_a_replay_ends_with_its_token(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**ENVIRON).start()
    for _ in range(20):
        batch = [{"type": "n", "room": "demo", "pad": "x" * 30_000} for _ in range(100)]
        assert hub.post(batch, headers=bearer(KEYS["control"])).status_code == 200
    credential = token({"room": "demo", "roomJoin": True}, life=3)
    with hub.stream(f"?since=all&access_token={credential}", receive_buffer=4096) as stream:
        time.sleep(4)  # it reads nothing until the token has expired
        assert hub.post({"type": "later", "room": "demo"}, headers=bearer(KEYS["control"])).status_code == 200
        while stream.read():
            pass
        assert b'"later"' not in stream.bytes
