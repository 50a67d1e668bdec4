"""event_hub.livekit.user_speech: states, transcripts and items of the user become utterances (D08)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.events import check
from event_hub.livekit.user_speech import UserSpeech


def user() -> tuple[UserSpeech, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    names = itertools.count(1)

    def emit(event: dict[str, Any]) -> None:
        check(event)
        events.append(event)

    return UserSpeech(emit, lambda: f"u{next(names)}"), events


def test_interims_and_their_final_are_one_utterance() -> None:
    speech, events = user()
    speech.state("speaking", 1.0)
    for text, final in (("What", False), ("What is", False), ("What is it?", True), ("And", False)):
        speech.transcribed(text, final, 1.5, language="en", speaker_id=None)
    speech.state("listening", 2.0)
    assert [e["type"] for e in events] == ["user_speech_started", *["transcript"] * 4, "user_speech_finished"]
    assert [(e["utterance"], e["final"]) for e in events[1:5]] == [
        ("u1", False), ("u1", False), ("u1", True), ("u2", False),
    ]  # fmt: skip
    assert "speaker_id" not in events[1]
    assert events[1]["language"] == "en"


def test_away_is_not_speech_and_blank_text_is_not_a_transcript() -> None:
    speech, events = user()
    speech.state("away", 1.0)
    speech.state("listening", 2.0)
    speech.transcribed("  ", True, 2.0)
    assert events == []


def test_spoken_turns_get_no_second_transcript_and_typed_turns_get_one() -> None:
    speech, events = user()
    speech.transcribed("What is it?", True, 1.0)
    speech.transcribed("I mean now.", True, 1.5)
    assert speech.item("typed in between", False, 1.7) == "u3"
    assert (events[-1]["text"], events[-1]["typed"], events[-1]["final"]) == ("typed in between", True, True)
    assert speech.item("[redacted]", True, 2.0) == "u2", "the agent's own code may change the text"
    assert len(events) == 4
    assert (events[-1]["type"], events[-1]["text"], events[-1]["utterance"]) == (
        "user_turn_completed",
        "[redacted]",
        "u2",
    )
    speech.transcribed("Yes", True, 3.0)
    speech.item("Yes", False, 4.0)
    assert [event.get("typed") for event in events[4:]] == [None, True]


def test_different_words_in_a_second_stretch_of_speech_are_another_utterance() -> None:
    speech, events = user()
    speech.state("speaking", 1.0)
    speech.transcribed("Hm", False, 1.1)
    speech.state("listening", 1.5)
    speech.state("speaking", 2.0)
    speech.transcribed("What", False, 2.1)
    speech.state("listening", 3.0)
    speech.transcribed("What is it?", True, 3.1)
    transcripts = [(e["utterance"], e["text"]) for e in events if e["type"] == "transcript"]
    assert transcripts[:3] == [("u1", "Hm"), ("u2", "What"), ("u2", "What is it?")]
    assert transcripts[3:] == [("u1", "")], "the STT took it back"


def test_the_end_of_the_session_ends_the_users_speech() -> None:
    speech, events = user()
    speech.close(1.0)
    speech.state("speaking", 2.0)
    speech.close(3.0)
    assert [event["type"] for event in events] == ["user_speech_started", "user_speech_finished"]


@given(st.lists(st.tuples(st.text(max_size=8), st.booleans())), st.text(max_size=20), st.booleans())
def test_any_text_of_the_user_is_accepted(heard: list[tuple[str, bool]], item: str, spoken: bool) -> None:
    speech, events = user()
    for text, final in heard:
        speech.transcribed(text, final, 1.0)
    speech.item(item, spoken, 2.0)
    assert all(event["text"].strip() for event in events)


def spoken(steps: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The transcripts that result from `("state", new, at)`, `("interim" | "final", text, at, fields)` and `("close", at)`."""
    speech, events = user()
    for step in steps:
        if step[0] == "state":
            speech.state(step[1], step[2])
        elif step[0] == "close":
            speech.close(step[1])
        else:
            fields = step[3] if len(step) > 3 else {}
            speech.transcribed(step[1], step[0] == "final", step[2], **fields)
    return [event for event in events if event["type"] == "transcript"]


def utterances(found: list[dict[str, Any]]) -> list[tuple[str, str, float | None]]:
    return [(event["utterance"], event["text"], event.get("began")) for event in found]


A, B = {"item_id": "A"}, {"item_id": "B"}


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (
            [("interim", "hello", 1.0), ("state", "speaking", 1.05), ("interim", "hello there", 1.5),
             ("state", "listening", 2.0), ("final", "hello there", 2.1)],
            [("u1", "hello", 1.0), ("u1", "hello there", 1.0), ("u1", "hello there", 1.0)],
        ),
        (  # the VAD backdates the start
            [("interim", "hello", 1.0), ("state", "speaking", 0.8), ("state", "listening", 2.0), ("final", "hello", 2.1)],
            [("u1", "hello", 1.0), ("u1", "hello", 0.8)],
        ),
        (  # after a noise in which nothing was recognised
            [("state", "speaking", 1.0), ("state", "listening", 1.2), ("interim", "hello", 9.0),
             ("state", "speaking", 9.1), ("final", "hello", 9.5)],
            [("u1", "hello", 9.0), ("u1", "hello", 9.0)],
        ),
        (  # the final arrives after the user started to speak again
            [("state", "speaking", 1.0), ("interim", "I want", 1.2), ("state", "listening", 2.0), ("state", "speaking", 2.5),
             ("final", "I want a coffee", 2.6), ("interim", "with", 2.8), ("state", "listening", 3.0),
             ("final", "with milk", 3.1)],
            [("u1", "I want", 1.0), ("u1", "I want a coffee", 1.0), ("u2", "with", 2.5), ("u2", "with milk", 2.5)],
        ),
        (  # the same with an STT that has no interims
            [("state", "speaking", 1.0), ("state", "listening", 2.0), ("state", "speaking", 2.5),
             ("final", "I want a coffee", 2.6), ("state", "listening", 3.0), ("final", "with milk", 3.1)],
            [("u1", "I want a coffee", 1.0), ("u2", "with milk", 2.5)],
        ),
        (  # one STT segment over two stretches of speech
            [("state", "speaking", 1.0), ("interim", "I want", 1.2), ("state", "listening", 2.0), ("state", "speaking", 2.5),
             ("interim", "I want a coffee", 2.8), ("state", "listening", 3.0), ("final", "I want a coffee with milk", 3.1)],
            [("u1", "I want", 1.0), ("u1", "I want a coffee", 1.0), ("u1", "I want a coffee with milk", 1.0)],
        ),
        (  # two STT segments in one stretch of speech
            [("state", "speaking", 1.0), ("final", "One.", 1.5), ("interim", "Two", 1.8), ("final", "Two.", 2.0)],
            [("u1", "One.", 1.0), ("u2", "Two", 1.8), ("u2", "Two.", 1.8)],
        ),
        (  # the session ends with an open interim
            [("state", "speaking", 1.0), ("interim", "I", 1.2), ("close", 2.0)],
            [("u1", "I", 1.0)],
        ),
        (  # one microphone, two people
            [("interim", "Yes", 1.0, {"speaker_id": "S1"}), ("interim", "No", 1.1, {"speaker_id": "S2"}),
             ("final", "Yes.", 1.2, {"speaker_id": "S1"}), ("final", "No.", 1.3, {"speaker_id": "S2"})],
            [("u1", "Yes", 1.0), ("u2", "No", 1.1), ("u1", "Yes.", 1.0), ("u2", "No.", 1.1)],
        ),
        (  # interleaved input items
            [("state", "speaking", 1.0), ("state", "listening", 2.0), ("interim", "My name", 2.1, A),
             ("state", "speaking", 2.5), ("interim", "and I live", 2.8, B), ("final", "My name is Ada,", 2.9, A),
             ("interim", "and I live in", 3.0, B), ("state", "listening", 3.5), ("final", "and I live in Oslo.", 3.6, B)],
            [("u1", "My name", 1.0), ("u2", "and I live", 2.5), ("u1", "My name is Ada,", 1.0),
             ("u2", "and I live in", 2.5), ("u2", "and I live in Oslo.", 2.5)],
        ),
        (  # both late, without interims
            [("state", "speaking", 1.0), ("state", "listening", 2.0), ("state", "speaking", 2.5), ("state", "listening", 3.5),
             ("final", "First.", 4.0, A), ("final", "Second.", 4.1, B)],
            [("u1", "First.", 1.0), ("u2", "Second.", 2.5)],
        ),
        (  # in the other order, and one completed twice
            [("state", "speaking", 1.0), ("interim", "F", 1.1, A), ("state", "listening", 2.0), ("state", "speaking", 2.5),
             ("final", "Second.", 2.6, B), ("final", "First", 4.0, A), ("final", "First of all", 4.1, A)],
            [("u1", "F", 1.0), ("u2", "Second.", 2.5), ("u1", "First", 1.0), ("u1", "First of all", 1.0)],
        ),
    ],
)  # fmt: skip
def test_transcripts_are_grouped_into_utterances(
    steps: list[tuple[Any, ...]], wanted: list[tuple[str, str, float | None]]
) -> None:
    assert utterances(spoken(steps)) == wanted


def test_an_unrecognised_noise_is_not_the_start_of_later_words() -> None:
    """A realtime model's items belong to the stretches of speech in order, except those without words."""
    speech, events = user()
    for start in (1.0, 3.0):
        speech.state("speaking", start)
        speech.state("listening", start + 0.5)
        if start == 1.0:
            speech.nothing_recognised()
    speech.transcribed("Hello.", True, 4.0, item_id="A")
    assert events[-1]["began"] == 3.0
    assert speech.item("Hello!", True, 4.1, item_id="A", began=2.9, transcript_confidence=0.5) == "u1"
    assert events[-1] == {
        "type": "user_turn_completed",
        "role": "user",
        "text": "Hello!",
        "utterance": "u1",
        "item_id": "A",
        "began": 2.9,
        "transcript_confidence": 0.5,
    }
