"""Events described in one readable line."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_hub.cli import terminal_text
from event_hub.cli.describe import Describer, clock, day
from event_hub.events import HUB_ONLY, KNOWN


def text(**event: Any) -> str:
    return Describer().describe(event).text


@pytest.mark.parametrize(
    ("event", "expected", "style"),
    [
        ({"type": "transcript", "text": "Hi", "role": "user", "participant": "caller_1"}, "user caller_1: Hi", "user"),
        ({"type": "transcript", "text": "Hi", "final": False}, "unknown speaker: Hi …", "dim"),
        ({"type": "transcript", "text": "It is", "role": "agent", "interrupted": True}, "agent: It is — cut off", "agent"),
        ({"type": "tool_call_started", "call_id": "1", "name": "f", "arguments": '{"x":1}'}, 'f({"x":1})', "tool"),
        ({"type": "tool_call_started", "call_id": "1", "name": "f"}, "f()", "tool"),
        ({"type": "tool_call_finished", "call_id": "1", "is_error": True, "output": "no"}, "1 → failed: no", "error"),
        ({"type": "agent_state_changed", "new_state": "thinking"}, "… → thinking", "state"),
        ({"type": "turn_metrics", "llm_node_ttft": 0.3104, "e2e_latency": 1.92}, "end to end 1,920 ms · LLM 310 ms", "state"),
        ({"type": "agent_error", "message": "no answer", "source": "tts", "recoverable": False}, "tts: no answer (the session cannot continue)", "error"),
        ({"type": "agent_process_exited", "agent": "ag", "code": 0}, "ag: exit code 0", "state"),
        ({"type": "agent_process_exited", "agent": "ag", "code": -9}, "ag: signal 9", "error"),
        ({"type": "agent_speech_finished", "position": 0.4}, "agent stops speaking after 400 ms", "state"),
        ({"type": "livekit_track_published", "participant": "ann", "track": {"source": "MICROPHONE"}}, "ann MICROPHONE", "state"),
        ({"type": "stream_gap", "missed": 1200, "reason": "retention"}, "gap: 1,200 events missing (retention)", "gap"),
        ({"type": "stream_gap", "missed": None, "reason": "unknown_epoch"}, "gap: events missing (unknown_epoch)", "gap"),
        ({"type": "mine", "room": "r", "event_id": "e", "x": [1, "ä"], "participant": "ann"}, 'ann {"x":[1,"ä"]}', ""),
        ({"type": "mine"}, "", ""),
        ({"type": "turn_metrics", "e2e_latency": "soon"}, "", "state"),
        ({"type": "usage_updated", "model_usage": [7]}, "(cannot be displayed; use --json)", "error"),
    ],
)  # fmt: skip
def test_descriptions(event: dict[str, Any], expected: str, style: str) -> None:
    description = Describer().describe(event)
    assert (description.text, description.style) == (expected, style)


def test_a_tool_result_is_shown_with_the_arguments_of_its_call() -> None:
    describer = Describer()
    describer.describe(
        {"type": "tool_call_started", "session": "s", "call_id": "1", "name": "f", "arguments": {"a": "b"}}
    )
    done = describer.describe(
        {"type": "tool_call_finished", "session": "s", "call_id": "1", "output": {"c": 1}, "duration": 2}
    )
    assert done.text == 'f(a="b") → {"c":1}, 2.0 s'


def test_every_known_type_has_a_description() -> None:
    for kind, model in {**KNOWN, "stream_gap": HUB_ONLY["stream_gap"]}.items():
        description = Describer().describe(model.example)
        assert description.text, kind
        assert not description.cut, kind


def test_clock_and_day(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.789", clock(1695123456.7899))
    assert re.fullmatch(r"2023-09-1[89]|2023-09-20", day(1695123456.789) or "")
    for invalid in (None, "soon", float("nan"), float("inf"), 1e300, -1e300, True):
        assert clock(invalid) == "--:--:--.---"
        assert day(invalid) is None


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_fields = sorted({name for model in KNOWN.values() for name in model.model_fields})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # slow on a busy machine
@given(
    st.sampled_from([*KNOWN, *HUB_ONLY, "livekit_x", "unknown"]),
    st.dictionaries(st.sampled_from(_fields), _values),
)
def test_any_event_becomes_one_safe_line(kind: str, fields: dict[str, Any]) -> None:
    description = Describer().describe({**fields, "type": kind})
    text = "".join(part for part in description if isinstance(part, str))
    assert text == terminal_text.escape(text)
    assert "\n" not in text
    assert "\x1b" not in text
