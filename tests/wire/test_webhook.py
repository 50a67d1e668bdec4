"""`POST /api/livekit/webhook`: bodies as LiveKit's server writes and signs them, made with LiveKit's own library."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import requests
from google.protobuf.json_format import MessageToJson
from livekit import api
from livekit.protocol.egress import EgressInfo
from livekit.protocol.models import ParticipantInfo, Room, TrackInfo, TrackSource, TrackType
from livekit.protocol.webhook import WebhookEvent

from ..hubs import PATIENCE, HubProcess
from .agents import history

KEY, SECRET = "devkey", "a secret of thirty-two characters"
LIVEKIT = {"LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
NOW = int(time.time())


@pytest.fixture
def listening(hub_factory: Any) -> HubProcess:
    return hub_factory(**LIVEKIT).start()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that must refuse everything sent to it."""
    with HubProcess(tmp_path_factory.mktemp("webhook"), **LIVEKIT) as hub:
        yield hub
        assert hub.get("/api/events")["events"] == []


def body_of(event: WebhookEvent) -> str:
    return MessageToJson(event, indent=None)


def sign(body: str | bytes, key: str = KEY, secret: str = SECRET, ttl: float = 300) -> str:
    """Sign as LiveKit's servers do."""
    raw = body.encode() if isinstance(body, str) else body
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
    return api.AccessToken(key, secret).with_sha256(digest).with_ttl(datetime.timedelta(seconds=ttl)).to_jwt()


def deliver(hub: HubProcess, body: str | bytes, authorization: str | None = "") -> requests.Response:
    """Post the body, correctly signed unless `authorization` is given; with None, without the header."""
    headers = {"Content-Type": "application/webhook+json"}
    if authorization is not None:
        headers["Authorization"] = authorization or sign(body)
    raw = body.encode() if isinstance(body, str) else body
    return requests.post(f"{hub.url}/api/livekit/webhook", data=raw, headers=headers, timeout=PATIENCE)


def joined(**more: Any) -> WebhookEvent:
    return WebhookEvent(
        event="participant_joined",
        id="EV_abc",
        created_at=NOW,
        room=Room(sid="RM_1", name="support-7", num_participants=1, creation_time=NOW, turn_password="hunter2"),
        participant=ParticipantInfo(sid="PA_1", identity="caller_1", name="Zoë", joined_at=NOW),
        **more,
    )


def test_a_webhook_is_broadcast(listening: HubProcess) -> None:
    body = body_of(joined())
    assert f'"createdAt": "{NOW}"' in body, "protobuf's JSON writes 64-bit integers as strings"
    assert api.WebhookReceiver(api.TokenVerifier(KEY, SECRET)).receive(body, sign(body)).id == "EV_abc"
    with listening.stream("?room=support-7") as stream:
        stream.next()
        answer = deliver(listening, body)
        assert (answer.status_code, answer.json()["duplicate"]) == (200, False)
        event = stream.until("livekit_participant_joined")
    assert (event["room"], event["participant"], event["timestamp"]) == ("support-7", "caller_1", NOW)
    assert event["event_id"] == "livekit-EV_abc"
    assert event["participant_info"] == json.loads(body)["participant"]
    room = json.loads(body)["room"]
    assert room.pop("turnPassword") == "hunter2"
    assert event["room_info"] == room
    assert "hunter2" not in str(event)
    assert answer.json()["id"] == event["_id"]


def test_the_same_delivery_twice_is_broadcast_once(listening: HubProcess) -> None:
    body = body_of(joined())
    first, second = deliver(listening, body).json(), deliver(listening, body, f"Bearer {sign(body)}").json()
    assert (first["duplicate"], second["duplicate"], second["id"]) == (False, True, first["id"])
    assert len(history(listening, "livekit_*")) == 1


def test_every_kind_of_webhook_is_broadcast(listening: HubProcess) -> None:
    track = TrackInfo(sid="TR_1", type=TrackType.AUDIO, source=TrackSource.MICROPHONE, name="mic")
    room = Room(name="r")
    for event in (
        WebhookEvent(event="room_started", id="1", room=room),
        WebhookEvent(
            event="track_published", id="2", room=room, participant=ParticipantInfo(identity="i"), track=track
        ),
        WebhookEvent(event="egress_started", id="3", egress_info=EgressInfo(egress_id="EG_1", room_name="r")),
        WebhookEvent(event="room_finished", id="4", room=room, num_dropped=2),
        WebhookEvent(event="a brand/new Event" + "x" * 100, id="5" * 300),
    ):
        answer = deliver(listening, body_of(event))
        assert answer.status_code == 200, answer.text
    started, published, egress, finished, new = history(listening, "livekit_*")
    assert (started["type"], started["room"]) == ("livekit_room_started", "r")
    assert (published["participant"], published["track"]["sid"]) == ("i", "TR_1")
    assert (egress["room"], egress["egress_info"]["egressId"]) == ("r", "EG_1")
    assert finished["num_dropped"] == 2
    assert (new["type"], len(new["event_id"])) == (f"livekit_a_brand_new_Event{'x' * 39}", 72)
    assert len(new["type"]) == 64


def claims(body: str, **changed: Any) -> dict[str, Any]:
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    made = {"iss": KEY, "nbf": now() - 10, "exp": now() + 300, "sha256": digest, **changed}
    return {name: value for name, value in made.items() if value is not None}


def token(secret: str = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    """A signature of `BODY` with these claims changed."""
    return jwt.encode(claims(BODY, **changed), secret, algorithm=algorithm)


def now() -> int:
    """The time of the call: a token signed when the module is imported could have expired, or become valid, by then."""
    return int(time.time())


BODY = body_of(joined())
SIGNATURES: dict[str, Callable[[], str | None]] = {
    "none": lambda: None,
    "empty": lambda: "Bearer",
    "not a token": lambda: "Bearer hello",
    "another secret": lambda: sign(BODY, secret="another secret of thirty-two chars"),
    "another key": lambda: sign(BODY, key="another"),
    "of another body": lambda: sign(BODY + " "),
    "expired": lambda: token(exp=now() - 120),
    "not valid yet": lambda: token(nbf=now() + 600, exp=now() + 900),
    "without an expiry": lambda: token(exp=None),
    "without an issuer": lambda: token(iss=None),
    "without a hash": lambda: token(sha256=None),
    "a hash that is not a string": lambda: token(sha256=5),
    "a hash in hex": lambda: token(sha256=hashlib.sha256(BODY.encode()).hexdigest()),
    "not signed": lambda: jwt.encode(claims(BODY), None, algorithm="none"),
    "with another algorithm": lambda: token(SECRET * 2, "HS512"),
    "a join token": lambda: (
        api.AccessToken(KEY, SECRET).with_identity("i").with_grants(api.VideoGrants(room_join=True, room="r")).to_jwt()
    ),
    "an issuer that is half a character": lambda: token(iss="\ud800"),
    "a hash that is half a character": lambda: token(sha256="\ud800"),
    "an infinite expiry": lambda: token(exp=float("inf")),
}


def test_the_unchanged_token_is_accepted(listening: HubProcess) -> None:
    assert deliver(listening, BODY, token()).status_code == 200


@pytest.mark.parametrize("name", SIGNATURES)
def test_bad_signatures_are_refused(strict: HubProcess, name: str) -> None:
    answer = deliver(strict, BODY, SIGNATURES[name]())
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature"), answer.text
    assert answer.headers["WWW-Authenticate"]
    assert SECRET not in answer.text


def test_a_body_with_a_changed_byte_is_refused(strict: HubProcess) -> None:
    signature = sign(BODY)
    raw = bytearray(BODY.encode())
    for place in range(0, len(raw), 7):
        changed = bytes([*raw[:place], raw[place] ^ 1, *raw[place + 1 :]])
        assert deliver(strict, changed, signature).status_code == 401
    for changed in (raw[:-1], raw + b"\n", b""):
        assert deliver(strict, bytes(changed), signature).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "bad_json"),
        ("{", 400, "bad_json"),
        (b"\xff", 400, "bad_json"),
        ("[" * 100_000, 413, "body_too_large"),
        ("[" * 10_000, 400, "bad_json"),
        ("[]", 422, "bad_field"),
        ("{}", 422, "bad_field"),
        ('{"event": 5}', 422, "bad_field"),
        ('{"event": "room_started", "room": "r"}', 422, "bad_field"),
        (json.dumps({"event": "room_started", "room": {"metadata": "x" * 70_000}}), 413, "body_too_large"),
    ],
    ids=range(10),
)
def test_signed_bodies_that_are_not_webhooks_are_refused(
    strict: HubProcess, body: str | bytes, status: int, code: str
) -> None:
    answer = deliver(strict, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_refusals_name_the_cause(strict: HubProcess) -> None:
    detail = deliver(strict, BODY, SIGNATURES["without an expiry"]()).json()["detail"]
    assert detail.startswith("the signature has no expiry (exp)")
    big = deliver(strict, json.dumps({"event": "e", "pad": "x" * 70_000})).json()
    assert "HUB_MAX_EVENT" in big["advice"]
    assert deliver(strict, '{"event": "e", "x": ' + "[" * 900 + "]" * 900 + "}").status_code in (400, 413)


def test_credentials_are_not_broadcast(listening: HubProcess) -> None:
    """Subscribers must not learn keys with which they could stream, record, or read a storage bucket."""
    secret = {
        name: f"hidden-{n}"
        for n, name in enumerate(
            ("secret", "accessKey", "access_key", "sessionToken", "assumeRoleArn", "assume_role_external_id", "credentials",
             "password", "turnPassword", "turn_password", "accountKey", "streamKey", "stream_key", "signingKey")
        )
    }  # fmt: skip
    body = {
        "event": "egress_ended",
        "room": {"name": "r", "turnPassword": "hidden-a", "metadata": "kept"},
        "ingressInfo": {"ingressId": "IN_1", "streamKey": "hidden-b"},
        "egressInfo": {"egressId": "EG_1", "fileOutputs": [{"s3": {**secret, "bucket": "b"}, "proxy": {**secret}}]},
        "newField": {**secret},
        "secret": "hidden-c",
    }
    assert deliver(listening, json.dumps(body)).status_code == 200
    (event,) = history(listening, "livekit_*")
    assert "hidden" not in json.dumps(event)
    assert event["room_info"] == {"name": "r", "metadata": "kept"}
    assert event["ingress_info"] == {"ingressId": "IN_1"}
    assert event["egress_info"]["fileOutputs"] == [{"s3": {"bucket": "b"}, "proxy": {}}]


def test_similarly_named_fields_do_not_replace_the_objects(listening: HubProcess) -> None:
    body = {
        "event": "participant_joined",
        "room": {"name": "r"},
        "participant": {"identity": "i"},
        "participantInfo": {"identity": "x"},
        "participant_info": {"identity": "y"},
        "room_info": {"turnPassword": "hidden"},
        "roomInfo": 5,
        "track_": 1,
    }
    assert deliver(listening, json.dumps(body)).status_code == 200
    (event,) = history(listening, "livekit_*")
    assert (event["participant_info"], event["room_info"]) == ({"identity": "i"}, {"name": "r"})


def test_unexpected_but_valid_webhooks_are_accepted(listening: HubProcess) -> None:
    """Fields that a later server may send, and names too long for a filter."""
    body = json.dumps(
        {
            "event": "room_started",
            "room": {"name": "r" * 300},
            "createdAt": "soon",
            "role": 7,
            "timestamp": "x",
            "newField": [1],
        }
    )
    assert deliver(listening, body).status_code == 200
    (event,) = history(listening, "livekit_*")
    assert "room" not in event
    assert (event["room_info"]["name"], event["new_field"]) == ("r" * 300, [1])
    assert event["timestamp"] == pytest.approx(time.time(), abs=60)
