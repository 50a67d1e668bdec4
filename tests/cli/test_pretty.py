"""Events as lines for people, and what grows until it is whole. Pure."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_hub.cli import plain
from event_hub.cli.growing import MOST, Growing
from event_hub.cli.pretty import Describer, clock, day
from event_hub.events import HUB_ONLY, KNOWN


def text(**event: Any) -> str:
    return Describer().line(event).text


@pytest.mark.parametrize(
    ("event", "expected", "style"),
    [
        ({"type": "transcript", "text": "Hi", "role": "user", "participant": "caller_1"}, "user caller_1: Hi", "user"),
        ({"type": "transcript", "text": "Hi", "final": False}, "somebody: Hi …", "dim"),
        ({"type": "transcript", "text": "It is", "role": "agent", "interrupted": True}, "agent: It is — cut off", "agent"),
        ({"type": "tool_call_started", "call_id": "1", "name": "f", "arguments": '{"x":1}'}, 'f({"x":1})', "tool"),
        ({"type": "tool_call_started", "call_id": "1", "name": "f"}, "f()", "tool"),
        ({"type": "tool_call_finished", "call_id": "1", "is_error": True, "output": "no"}, "1 → failed: no", "error"),
        ({"type": "agent_state_changed", "new_state": "thinking"}, "… → thinking", "state"),
        ({"type": "turn_metrics", "llm_node_ttft": 0.3104, "e2e_latency": 1.92}, "end to end 1,920 ms · LLM 310 ms", "state"),
        ({"type": "agent_error", "message": "no answer", "source": "tts", "recoverable": False}, "tts: no answer (the session cannot go on)", "error"),
        ({"type": "agent_process_exited", "agent": "ag", "code": 0}, "ag: exit code 0", "state"),
        ({"type": "agent_process_exited", "agent": "ag", "code": -9}, "ag: signal 9", "error"),
        ({"type": "agent_speech_finished", "position": 0.4}, "agent stops speaking after 400 ms", "state"),
        ({"type": "livekit_track_published", "participant": "ann", "track": {"source": "MICROPHONE"}}, "ann MICROPHONE", "state"),
        ({"type": "stream_gap", "missed": 1200, "reason": "retention"}, "gap: 1,200 events missing (retention)", "gap"),
        ({"type": "stream_gap", "missed": None, "reason": "unknown_epoch"}, "gap: events missing (unknown_epoch)", "gap"),
        ({"type": "mine", "room": "r", "event_id": "e", "x": [1, "ä"], "participant": "ann"}, 'ann {"x":[1,"ä"]}', ""),
        ({"type": "mine"}, "", ""),
        ({"type": "turn_metrics", "e2e_latency": "soon"}, "", "state"),
        ({"type": "usage_updated", "model_usage": [7]}, "(cannot be shown; --json has it)", "error"),
    ],
)  # fmt: skip
def test_lines(event: dict[str, Any], expected: str, style: str) -> None:
    line = Describer().line(event)
    assert (line.text, line.style) == (expected, style)


def test_a_tool_is_told_with_its_arguments_when_it_is_done() -> None:
    describer = Describer()
    describer.line({"type": "tool_call_started", "session": "s", "call_id": "1", "name": "f", "arguments": {"a": "b"}})
    done = describer.line(
        {"type": "tool_call_finished", "session": "s", "call_id": "1", "output": {"c": 1}, "duration": 2}
    )
    assert done.text == 'f(a="b") → {"c":1}, 2.0 s'


def test_every_type_of_the_vocabulary_has_a_line_of_its_own() -> None:
    for kind, model in {**KNOWN, "stream_gap": HUB_ONLY["stream_gap"]}.items():
        line = Describer().line(model.example)
        assert line.text, kind
        assert not line.cut, kind


def test_clock_and_day(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.789", clock(1695123456.7899))
    assert re.fullmatch(r"2023-09-1[89]|2023-09-20", day(1695123456.789) or "")
    for wrong in (None, "soon", float("nan"), float("inf"), 1e300, -1e300, True):
        assert clock(wrong) == "--:--:--.---"
        assert day(wrong) is None


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_fields = sorted({name for model in KNOWN.values() for name in model.model_fields})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(
    st.sampled_from([*KNOWN, *HUB_ONLY, "livekit_x", "unknown"]),
    st.dictionaries(st.sampled_from(_fields), _values),
)
def test_whatever_an_event_holds_it_is_one_harmless_line(kind: str, fields: dict[str, Any]) -> None:
    line = Describer().line({**fields, "type": kind})
    whole = "".join(part for part in line if isinstance(part, str))
    assert whole == plain.plain(whole)
    assert "\n" not in whole
    assert "\x1b" not in whole


def test_control_characters_are_written_out() -> None:
    assert plain.plain(
        "a\x1b[31m\r\n\t\x9b\u202e\u2028b\ud800é😀"
    ) == "a\\x1b[31m\\r\\n\\t\\x9b\\u202e\\u2028bé😀".replace("b\u00e9", "b\\ud800é")
    assert plain.plain_json('"\x7f\u009b"') == '"\\u007f\\u009b"'


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.integers(1, 40))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    text = plain.plain(text)
    for cut in (plain.head, plain.tail):
        assert plain.width(cut(text, columns)) <= columns
        assert cut(text, 200) == text
    assert plain.head("日本語", 5) == "日本…"
    assert plain.tail("日本語", 5) == "…本語"


def delta(text: str, offset: int | None = None, utterance: str = "a") -> dict[str, Any]:
    return {
        "type": "agent_text_delta",
        "delta": text,
        "utterance": utterance,
        **({} if offset is None else {"offset": offset}),
    }


def test_deltas_join_and_a_lost_one_shows() -> None:
    growing = Growing()
    for one in (delta("It", 0), delta(" is", 2), delta(" is", 2), delta(" sunny", 9)):
        assert growing.take(one, 0.0) == (True, [])
    assert growing.newest
    assert growing.newest.text == "It is… sunny"
    assert growing.take({"type": "agent_text_complete", "text": "…", "utterance": "a"}, 0.0) == (False, [])
    assert growing.newest is None


def test_what_does_not_grow_any_more_is_given_up() -> None:
    growing = Growing()
    growing.take(delta("old", utterance="old"), 0.0)
    growing.take({"type": "transcript", "text": "new", "final": False, "participant": "ann"}, 40.0)
    assert [one.whole()["delta"] for one in growing.stale(41.0, 30.0)] == ["old"]
    for n in range(MOST + 5):
        _, given_up = growing.take(delta("x", utterance=str(n)), 42.0)
        assert len(growing.open) <= MOST
        assert len(given_up) == (n >= MOST - 1)
    assert growing.take({"type": "session_ended"}, 43.0)[1]
    assert growing.all() == []
