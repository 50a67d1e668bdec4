"""Captions: who said what, when; and for any events whatever, well-formed files."""

from __future__ import annotations

import math
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from event_hub.sessions.captions import READABLE, Cue, cues, srt, txt, vtt


def heard(text: str, at: float, *, final: bool = True, **more: Any) -> dict[str, Any]:
    return {"type": "transcript", "text": text, "final": final, "timestamp": at, "role": "user", **more}


def event(kind: str, at: float, **more: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": at, **more}


def spans(events: list[dict[str, Any]]) -> list[tuple[float, float, str]]:
    return [(round(cue.start, 3), round(cue.end, 3), cue.text) for cue in cues(events)]


def test_a_cue_begins_with_its_utterance_and_ends_with_its_final() -> None:
    events = [
        event("session_started", 100),
        heard("What", 102, final=False, utterance="u1"),
        heard("What is it", 103, final=False, utterance="u1"),
        heard("What is it?", 104.5, utterance="u1"),
        event("agent_speech_started", 105, utterance="a1"),
        heard("Sunny.", 107.25, utterance="a1", role="agent"),
    ]
    assert spans(events) == [(2, 4.5, "What is it?"), (5, 7.25, "Sunny.")]
    assert cues(reversed(events)) == cues(events)


def test_speech_that_names_no_utterance_counts_for_the_one_it_led_to() -> None:
    events = [
        event("session_started", 0),
        event("user_speech_started", 5, participant="ann"),  # a cough
        event("user_speech_finished", 5.5, participant="ann"),
        event("user_speech_started", 20, participant="bob"),  # another person
        event("user_speech_started", 30, participant="ann"),
        heard("Hel", 30.8, final=False, participant="ann", utterance="u"),
        heard("Hello.", 32, participant="ann", utterance="u"),
        event("user_speech_started", 40),  # without a name
        heard("Bye.", 42, participant="bob"),
    ]
    assert spans(events) == [(30, 32, "Hello."), (20, 42, "Bye.")][::-1]
    without_bob = [one for one in events if one["timestamp"] != 20]
    assert spans(without_bob) == [(30, 32, "Hello."), (40, 42, "Bye.")]


def test_the_last_final_of_an_utterance_counts() -> None:
    events = [
        heard("One", 1, final=False, utterance="u"),
        heard("One.", 3, utterance="u"),
        heard("Two.", 6, utterance="u"),
    ]
    assert spans(events) == [(0, 5, "Two.")]


def test_a_beginning_that_nothing_tells_is_estimated_from_the_length() -> None:
    events = [event("session_started", 0), heard("x" * 30, 10), heard("y" * 300, 12), heard("z", 100)]
    assert spans(events) == [(8, 10, "x" * 30), (10, 12, "y" * 300), (99, 100, "z")]
    assert spans([heard("first", 50)]) == [(0, READABLE, "first")]


def test_a_short_cue_stays_readable_but_not_into_the_next() -> None:
    events = [
        event("session_started", 0),
        event("agent_speech_started", 2, utterance="a"),
        heard("Yes.", 2.1, role="agent", utterance="a"),
        event("agent_speech_started", 2.5, utterance="b"),
        heard("No.", 2.6, role="agent", utterance="b"),
    ]
    assert spans(events) == [(2, 2.5, "Yes."), (2.5, 3.5, "No.")]


def test_who_spoke_at_the_same_time_overlaps() -> None:
    events = [
        heard("a", 1, final=False, participant="ann", utterance="1"),
        heard("b", 2, final=False, participant="bob", utterance="2"),
        heard("long", 6, participant="ann", utterance="1"),
        heard("short", 4, participant="bob", utterance="2"),
    ]
    assert spans(events) == [(0, 5, "long"), (1, 3, "short")]


def test_markup_and_empty_lines_do_not_leak() -> None:
    one = [Cue(3599.9996, 3601, "a<b>&", "x <i>--></i>\n{\\an8}y")]
    assert srt(one) == "1\n01:00:00,000 --> 01:00:01,000\na‹b>&: x ‹i>→‹/i>\n{ \\an8}y\n"
    assert vtt(one) == (
        "WEBVTT\n\n01:00:00.000 --> 01:00:01.000\n<v a&lt;b&gt;&amp;>x &lt;i&gt;--&gt;&lt;/i&gt;\n{\\an8}y</v>\n"
    )
    assert txt(one) == "[01:00:00] a<b>&: x <i>--></i> {\\an8}y\n"
    (cue,) = cues([heard("a\r\n\n \n\x1bb\u2028c", 1, participant="x\ny")])
    assert (cue.speaker, cue.text) == ("x y", "a\nb\nc")
    assert (srt([]), vtt([]), txt([])) == ("", "WEBVTT\n", "")


_kinds = st.sampled_from(
    ["transcript", "user_speech_started", "agent_speech_started", "session_started", "other", 7, None]
)
_names = st.sampled_from(["u1", "u2", "ann", "bob", "", "-->", "a\n\n1", None, 3])
_times = st.one_of(
    st.floats(0, 100),
    st.floats(1.7e9, 1.7e9 + 50),
    st.integers(0, 100),
    st.floats(allow_nan=True),
    st.none(),
    st.text(max_size=3),
)
_events = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"type": _kinds},
            optional={
                "timestamp": _times,
                "text": st.one_of(
                    st.text(max_size=40), st.sampled_from(["a\n\nb", "1\n00:00:01,000 --> 00:00:02,000"]), st.integers()
                ),
                "final": st.sampled_from([True, False, None]),
                "participant": _names,
                "role": st.sampled_from(["user", "agent", None]),
                "utterance": _names,
            },
        ),
        st.none(),
    ),
    max_size=15,
)
_TIMES = r"(\d\d+):([0-5]\d):([0-5]\d){point}(\d\d\d)"


@given(_events)
def test_any_events_in_any_order_give_well_formed_captions(events: list[Any]) -> None:
    result = cues(events)
    assert all(0 <= cue.start < cue.end < math.inf for cue in result)
    assert [cue.start for cue in result] == sorted(cue.start for cue in result)
    for cue in result:
        assert cue.text.strip()
        assert all(line.strip() for line in cue.text.split("\n"))
    blocks = srt(result).removesuffix("\n").split("\n\n") if result else []
    assert len(blocks) == len(result)
    for number, block in enumerate(blocks, 1):
        head, times, *text = block.split("\n")
        assert head == str(number)
        assert text
        check_times(times, ",")
    first, *blocks = vtt(result).removesuffix("\n").split("\n\n")
    assert first == "WEBVTT"
    assert len(blocks) == len(result)
    for block in blocks:
        times, *text = block.split("\n")
        check_times(times, ".")
        assert re.fullmatch(r"<v [^<>\n]+>[^<>]+</v>", "\n".join(text))
    assert txt(result).count("\n") == len(result)
    for text_form in (srt(result), vtt(result), txt(result)):
        text_form.encode()


def check_times(line: str, point: str) -> None:
    pattern = _TIMES.replace("{point}", re.escape(point))
    found = re.fullmatch(f"{pattern} --> {pattern}", line)
    assert found, line
    h, m, s, ms, *end = (int(part) for part in found.groups())
    start = ((h * 60 + m) * 60 + s) * 1000 + ms
    assert ((end[0] * 60 + end[1]) * 60 + end[2]) * 1000 + end[3] > start


@given(_events, st.randoms())
def test_the_order_of_arrival_does_not_matter_where_times_differ(events: list[Any], random: Any) -> None:
    stamped = {e["timestamp"]: e for e in events if isinstance(e, dict) and type(e.get("timestamp")) in (int, float)}
    ordered = list(stamped.values())
    shuffled = random.sample(ordered, len(ordered))
    assert cues(shuffled) == cues(ordered)
