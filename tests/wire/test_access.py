"""Access to a hub that requires credentials, tried as every kind of principal on every route (H37, X10)."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from event_hub.server.access.needs import ROUTES, Need
from tests.hubs import PATIENCE, HubProcess, Stream, until

from .guarded import ENVIRON, KEYS, SECRET, bearer, cookie, elsewhere, get, rooms_of, share, token

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
            if rule in ("/api/sign-in", "/api/livekit/webhook") or rule.startswith(("/observability/", "/v1/")):
                continue  # they check what is in the request
            assert refused == (not allowed), (kind, method, rule, answer.status_code, code)
            if refused:
                assert answer.status_code == (403 if code == "forbidden" else 401)
                assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)


def test_a_stranger_learns_only_how_to_sign_in(guarded: HubProcess) -> None:
    config = requests.get(f"{guarded.url}/api/config", timeout=PATIENCE).json()
    assert set(config) == {"version", "access"}
    assert (config["access"]["auth"], config["access"]["kind"]) == ("required", "anonymous")
    assert set(requests.get(f"{guarded.url}/api/health", timeout=PATIENCE).json()) == {"version", "status"}
    assert set(requests.get(f"{guarded.url}/api/health/live", timeout=PATIENCE).json()) == {"version", "status"}
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
