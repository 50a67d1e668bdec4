"""`POST /api/token` is the token endpoint that LiveKit's clients expect, checked with LiveKit's own library (H17)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from livekit import api

from ..hubs import PATIENCE, HubProcess

KEY, SECRET = "devkey", "a secret of thirty-two characters"
LIVEKIT = {"LIVEKIT_URL": "https://project.livekit.example", "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("token"), AGENT_NAME="assistant", **LIVEKIT) as hub:
        yield hub


def ask(hub: HubProcess, body: Any = None) -> requests.Response:
    options = {} if body is None else {"json": body}
    return requests.post(f"{hub.url}/api/token", timeout=PATIENCE, **options)


def claims(hub: HubProcess, body: Any = None) -> tuple[dict[str, Any], Any]:
    """The answer, and the claims that LiveKit's own verifier reads from the token."""
    answer = ask(hub, body)
    assert answer.status_code == 201, answer.text
    facts = answer.json()
    return facts, api.TokenVerifier(KEY, SECRET).verify(facts["participant_token"])


def test_without_a_body_a_guest_joins_a_new_room(configured: HubProcess) -> None:
    """The answer has both spellings: `TokenSource.endpoint` reads snake_case, the React starter camelCase."""
    facts, found = claims(configured)
    assert facts["server_url"] == facts["serverUrl"] == "wss://project.livekit.example"
    assert facts["participant_token"] == facts["participantToken"]
    assert found.video.room == facts["roomName"] == facts["room_name"]
    assert found.identity == facts["participantIdentity"] == facts["participantName"] == found.name
    grants = found.video
    assert (grants.room_join, grants.can_publish, grants.can_subscribe, grants.can_publish_data) == (True,) * 4
    assert not (grants.room_admin or grants.room_create or grants.room_list or grants.room_record)
    other, _ = claims(configured)
    assert other["roomName"] != facts["roomName"]
    assert other["participantIdentity"] != facts["participantIdentity"]


def test_the_token_expires_so_that_clients_cache_it(configured: HubProcess) -> None:
    facts, _ = claims(configured)
    read = jwt.decode(facts["participant_token"], SECRET, algorithms=["HS256"])
    assert (read["iss"], read["sub"]) == (KEY, facts["participantIdentity"])
    assert read["nbf"] <= time.time() < read["exp"] <= time.time() + 900


ASKED: dict[str, Any] = {
    "room_name": "Zoë's room",
    "participant_name": "Zoë",
    "participant_identity": "zoe",
    "participant_metadata": '{"vip": true}',
    "participant_attributes": {"favourite_colour": "grün", "camelCase": "kept"},
    "room_config": {
        "empty_timeout": 30,
        "max_participants": 4,
        "agents": [{"agent_name": "billing", "metadata": "{}"}, {"agent_name": "second"}],
        "tags": {"some_tag": "x"},
    },
}


def camel(value: Any) -> Any:
    """The same body as JavaScript writes it: our keys in camelCase, the user's own keys unchanged."""
    text = json.dumps(value)
    for name in (*ASKED, "empty_timeout", "max_participants", "agent_name"):
        head, *rest = name.split("_")
        text = text.replace(f'"{name}"', f'"{head}{"".join(map(str.title, rest))}"')
    return json.loads(text)


@pytest.mark.parametrize("body", [ASKED, camel(ASKED)], ids=["snake_case", "camelCase"])
def test_every_field_that_a_client_may_send(configured: HubProcess, body: Any) -> None:
    facts, found = claims(configured, body)
    assert (facts["roomName"], facts["participantName"], facts["participantIdentity"]) == ("Zoë's room", "Zoë", "zoe")
    assert (found.video.room, found.name, found.identity) == ("Zoë's room", "Zoë", "zoe")
    assert found.metadata == '{"vip": true}'
    assert found.attributes == ASKED["participant_attributes"]
    config = found.room_config
    assert (config.empty_timeout, config.max_participants, dict(config.tags)) == (30, 4, {"some_tag": "x"})
    assert [(agent.agent_name, agent.metadata) for agent in config.agents] == [("billing", "{}"), ("second", "")]


def test_our_worker_is_dispatched_by_name(configured: HubProcess, hub_factory: Any) -> None:
    """A worker without a name needs no dispatch: LiveKit sends it to every room."""
    _, found = claims(configured, {"room_name": "r"})
    assert [agent.agent_name for agent in found.room_config.agents] == ["assistant"]
    _, found = claims(configured, {"room_config": {"agents": []}})
    assert found.room_config is None
    _, found = claims(hub_factory(**LIVEKIT).start())
    assert found.room_config is None


def test_the_token_equals_that_of_livekits_own_library(configured: HubProcess) -> None:
    config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="assistant")])
    grants = api.VideoGrants(room_join=True, room="r", can_publish=True, can_subscribe=True, can_publish_data=True)
    theirs = api.AccessToken(KEY, SECRET).with_identity("i").with_name("n").with_grants(grants).with_room_config(config)
    ours = ask(configured, {"room_name": "r", "participant_identity": "i", "participant_name": "n"}).json()
    decoded = [jwt.decode(t, SECRET, algorithms=["HS256"]) for t in (theirs.to_jwt(), ours["participant_token"])]
    for payload in decoded:
        del payload["exp"], payload["nbf"]
        payload["video"] = {name: value for name, value in payload["video"].items() if value is not None}
    assert decoded[0] == decoded[1]


@pytest.mark.parametrize("missing", [("LIVEKIT_URL",), ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"), tuple(LIVEKIT)])
def test_missing_settings_are_named(hub_factory: Any, missing: tuple[str, ...]) -> None:
    hub = hub_factory(**{name: value for name, value in LIVEKIT.items() if name not in missing}).start()
    for path in ("/api/token", "/api/livekit/webhook"):
        answer = requests.post(f"{hub.url}{path}", timeout=PATIENCE)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "livekit_not_configured")
        assert problem["missing"] == list(missing)
        assert SECRET not in answer.text
    config = hub.get("/api/config")
    assert not {"token", "webhook"} & set(config["features"])
    assert config["livekit_missing"] == list(missing)


def test_config_lists_the_features(configured: HubProcess) -> None:
    config = configured.get("/api/config")
    assert {"agent", "attach", "token", "webhook"} <= set(config["features"])
    assert (config["livekit_missing"], config["agent_name"]) == ([], configured.environ["AGENT_NAME"])


BAD: list[tuple[Any, str]] = [
    ({"room_name": "r" * 10240}, "room_name"),
    ({"participantName": "n" * 257}, "participantName"),
    ({"participant_identity": ""}, "participant_identity"),
    ({"participant_identity": 5}, "participant_identity"),
    ({"participant_identity": "a\nb"}, "participant_identity"),
    ({"participant_metadata": {"a": 1}}, "participant_metadata"),
    ({"participant_metadata": "m" * 20000}, "participant_metadata"),
    ({"participant_attributes": {"a": 1}}, "participant_attributes.a"),
    ({"participant_attributes": ["a"]}, "participant_attributes"),
    ({"participant_attributes": {"a": "x" * 20000}}, "participant_attributes"),
    ({"room_config": "r"}, "room_config"),
    ({"room_config": {"agents": {"agent_name": "x"}}}, "room_config.agents"),
    ({"room_config": {"agents": [{"agent_nam": "x"}]}}, "room_config.agents.0.agent_nam"),
    ({"room_config": {"agents": [{"agent_name": "x"}] * 9}}, "room_config.agents"),
    ({"room_config": {"empty_timeout": -1}}, "room_config.empty_timeout"),
    ({"room_config": {"egress": {"room": {"file_outputs": []}}}}, "room_config.egress"),
    ({"participant_identity": "a\u202eb"}, "participant_identity"),
    ({"room_name": "a\x85b"}, "room_name"),
    ({"participant_attributes": {"lk.agent.state": "x"}}, "participant_attributes"),
    ({"participantAttributes": {" LK.x": "x"}}, "participantAttributes"),
    ({"room_name": "a", "roomName": "b"}, "room_name"),
    ({"room_config": {"empty_timeout": 1, "emptyTimeout": 1}}, "room_config.empty_timeout"),
    ({"participant_metadata": "m" * 16000}, "participant_metadata"),
    ({"room_config": {"agents": [{"metadata": "m" * 9000}] * 2}}, "room_config"),
    ({"room": "r"}, "room"),
    ({"video": {"roomAdmin": True}}, "video"),
    ([], ""),
    ("room", ""),
]


@pytest.mark.parametrize(("body", "field"), BAD, ids=range(len(BAD)))
def test_bad_fields_are_refused(configured: HubProcess, body: Any, field: str) -> None:
    answer = ask(configured, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, "bad_field", field), problem


def test_misspelled_fields_get_a_suggestion(configured: HubProcess) -> None:
    assert "do you mean room_name?" in ask(configured, {"roomname": "r"}).json()["detail"]
    assert (
        "do you mean agent_name?"
        in ask(configured, {"room_config": {"agents": [{"agentNames": "x"}]}}).json()["detail"]
    )
    assert requests.get(f"{configured.url}/api/token", timeout=PATIENCE).headers["Allow"]
    big = requests.post(f"{configured.url}/api/token", json={"room_name": "x" * (1 << 20)}, timeout=PATIENCE)
    assert (big.status_code, big.json()["code"]) == (413, "body_too_large")


def test_openapi_describes_both_spellings(configured: HubProcess) -> None:
    described = configured.get("/openapi.json")
    body = described["paths"]["/api/token"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    inner = described["components"]["schemas"]
    for properties, name, camel in (
        (body["properties"], "room_name", "roomName"),
        (inner["RoomConfig"]["properties"], "empty_timeout", "emptyTimeout"),
        (inner["AgentDispatch"]["properties"], "agent_name", "agentName"),
    ):
        assert {**properties[name], "description": ""} == {**properties[camel], "description": ""}


def test_the_secret_is_never_shown(configured: HubProcess) -> None:
    for path in ("/api/config", "/api/health", "/metrics", "/openapi.json", "/api/agent/status"):
        assert SECRET not in requests.get(f"{configured.url}{path}", timeout=PATIENCE).text
    assert SECRET not in configured.output()
