"""The vocabulary: what passes, what is refused and how it is told (H07–H10 H12 H39)."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.events import HUB_ONLY, KNOWN, InvalidEvent, LiveKitWebhook, check
from event_hub.events.schema import document

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
DESIGN_TYPES = """agent_ready session_started session_ended transcript agent_text_delta agent_text_complete agent_speech_started
agent_speech_finished user_speech_started user_speech_finished agent_state_changed user_state_changed tool_call_started tool_call_updated
tool_call_finished turn_metrics usage_updated agent_handoff agent_false_interruption agent_error agent_process_started
agent_process_exited events_dropped agent_text_unsaid user_turn_completed user_transcription_timeout overlapping_speech
speech_created sip_dtmf_received metrics_collected agent_config_update recording_available trace_available alert_raised alert_cleared annotation""".split()
SEEDS: list[dict[str, Any]] = [
    {
        "type": "transcript",
        "text": "Hello, how can I help you?",
        "participant": "agent_123",
        "timestamp": 1695123456.789,
    },
    {
        "type": "transcript",
        "text": "User said something",
        "participant": "voice_assistant_user_1234",
        "timestamp": 1695123456.789,
    },
    {"type": "agent_speech_started", "timestamp": 1695123456.789},
    {"type": "agent_speech_finished", "timestamp": 1695123456.789},
    {"type": "agent_ready", "message": "Voice agent is ready and listening"},
    {"type": "test", "message": "Hello from curl"},
    {"type": "test_transcript", "text": "This is a test message", "timestamp": 1695123456.789},
]


def refusal(event: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        check(event)
    return caught.value


def test_every_type_of_the_design_is_known() -> None:
    assert list(KNOWN) and set(KNOWN) == set(DESIGN_TYPES)
    assert set(HUB_ONLY) == {
        "heartbeat", "stream_opened", "stream_gap", "stream_closing", "event_erased", "events_erased",
    }  # fmt: skip


@pytest.mark.parametrize("event", SEEDS, ids=lambda e: e["type"])
def test_the_seeds_own_events_pass(event: dict[str, Any]) -> None:
    before = copy.deepcopy(event)
    check(event)
    assert event == before


@pytest.mark.parametrize("model", [*KNOWN.values(), LiveKitWebhook], ids=lambda m: m.__name__)
def test_examples_pass_and_match_the_schema(model: Any) -> None:
    check(model.example)
    jsonschema.validate(model.example, document())
    assert model.when


@given(st.dictionaries(st.text(min_size=1), json_values), st.from_regex(r"x[A-Za-z0-9_.:-]{0,63}", fullmatch=True))
def test_unknown_types_and_fields_pass_unchanged(fields: dict[str, Any], name: str) -> None:
    envelope = {"timestamp", "event_id", "room", "session", "participant", "role", "utterance"}
    event = {key: value for key, value in fields.items() if key not in envelope} | {"type": name}
    before = copy.deepcopy(event)
    check(event)
    assert event == before


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({}, "type"),
        ({"type": ""}, "type"),
        ({"type": "x" * 65}, "type"),
        ({"type": 5}, "type"),
        ({"type": None}, "type"),
        ({"type": ["a"]}, "type"),
        ({"type": "a b"}, "type"),
        ({"type": "a\n"}, "type"),
        ({"type": "ä"}, "type"),
        ({"type": "x", "timestamp": "now"}, "timestamp"),
        ({"type": "x", "timestamp": True}, "timestamp"),
        ({"type": "x", "timestamp": -1}, "timestamp"),
        ({"type": "x", "room": 5}, "room"),
        ({"type": "x", "room": ""}, "room"),
        ({"type": "x", "room": "r" * 257}, "room"),
        ({"type": "x", "event_id": "e" * 129}, "event_id"),
        ({"type": "x", "role": "bot"}, "role"),
        ({"type": "transcript"}, "text"),
        ({"type": "transcript", "text": None}, "text"),
        ({"type": "transcript", "text": 5}, "text"),
        ({"type": "transcript", "text": "a", "final": "yes"}, "final"),
        ({"type": "agent_text_delta", "delta": "a", "offset": 1.5}, "offset"),
        ({"type": "agent_text_delta", "delta": "a", "offset": -1}, "offset"),
        ({"type": "agent_speech_finished", "position": -0.1}, "position"),
        ({"type": "agent_state_changed", "old_state": "idle"}, "new_state"),
        ({"type": "tool_call_started", "call_id": "c"}, "name"),
        ({"type": "tool_call_started", "call_id": "c", "name": "n", "arguments": [1]}, "arguments"),
        ({"type": "turn_metrics", "e2e_latency": "fast"}, "e2e_latency"),
        ({"type": "usage_updated", "model_usage": [{}, 5]}, "model_usage.1"),
        ({"type": "agent_process_exited", "agent": "a", "code": True}, "code"),
        ({"type": "livekit_room_started", "track": 5}, "track"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_shape_is_refused_and_the_field_named(event: dict[str, Any], field: str) -> None:
    error = refusal(event)
    assert error.field == field
    assert error.reason


@pytest.mark.parametrize("name", list(HUB_ONLY))
def test_hub_only_types_are_refused(name: str) -> None:
    error = refusal({"type": name, **HUB_ONLY[name].example})
    assert error.hub_only


@pytest.mark.parametrize("value", [None, 5, 1.5, "text", True, [{"type": "x"}]])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert "an event is a JSON object" in str(refusal(value))


def test_null_counts_as_absent_and_big_integers_pass() -> None:
    check({"type": "transcript", "text": "", "final": None, "room": None, "n": 10**40, "timestamp": 10**10})


@pytest.mark.parametrize("model", [*KNOWN.values(), LiveKitWebhook], ids=lambda m: m.__name__)
def test_null_counts_as_absent_in_every_optional_field(model: Any) -> None:
    optional = {field.alias or name for name, field in model.model_fields.items() if not field.is_required()}
    assert optional
    for name in optional:
        check({**model.example, name: None})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1695123456789, "1695123456789 looks like milliseconds: divide it by 1,000"),
        (1695123456789.5, "1695123456789.5 looks like milliseconds: divide it by 1,000"),
        (1e11, "looks like milliseconds: divide it by 1,000"),
        (1695123456789012, "looks like microseconds: divide it by 1,000,000"),
        (1695123456789012345, "looks like nanoseconds: divide it by 1,000,000,000"),
        (1e30, "must be in epoch seconds"),
        (10**400, "valid number"),
    ],
)
@pytest.mark.parametrize(
    "event",
    [
        {"type": "x", "timestamp": 1.0},
        {"type": "livekit_room_started", "timestamp": 1.0},
        {"type": "transcript", "text": "a", "began": 1.0},
        {"type": "user_transcription_timeout", "vad_speech_started_at": 1.0},
    ],
    ids=lambda event: list(event)[-1],
)
def test_points_in_time_are_seconds(event: dict[str, Any], value: float, words: str) -> None:
    field = list(event)[-1]
    check({**event, field: 99_999_999_999.9})
    error = refusal({**event, field: value})
    assert error.field == field
    assert words in error.reason
