"""What is shown is what happened: heard or not, in which order, whose words, in how many turns (D04)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from event_hub.sessions import captions
from event_hub.sessions.fields import LONGEST_LATENCY
from event_hub.sessions.transcripts import entries, markdown
from event_hub.sessions.turn import STRETCHES
from event_hub.sessions.turns import LISTED, UTTERANCES

from .streams import Event, Talk, spoken


def views(talk: Talk) -> dict[str, str]:
    """What each view shows as said, of a conversation."""
    document = talk.session().document()
    said = captions.cues(spoken(talk.events))
    assert said == captions.cues(talk.events)
    return {
        "conversation": " | ".join(
            one["text"] for one in document["conversation"] if one["kind"] == "said" and one["text"]
        ),
        "turns": " | ".join(
            words
            for turn in document["turns"]
            for words in (turn.get("user", {}).get("text", ""), turn.get("agent", {}).get("text", ""))
            if words
        ),
        "json": " | ".join(entry["text"] for entry in entries(document)),
        "md": "".join(markdown(document)),
        "txt": captions.txt(said),
        "srt": captions.srt(said),
        "vtt": captions.vtt(said),
    }


def order(text: str, *words: str) -> bool:
    """All of these are in the text once, in this order."""
    places = [text.find(word) for word in words]
    return min(places) >= 0 and places == sorted(places) and all(text.count(word) == 1 for word in words)


# -- heard or not ------------------------------------------------------------------------------------------------------


def voice() -> Talk:
    """A conversation in which the agent is heard: a greeting, and a question."""
    talk = Talk()("session_started").said_aloud("Hello.", "a0")
    return talk("user_speech_started").user("Balance?", utterance="u1")("user_speech_finished")


NEVER_HEARD: dict[str, list[Event]] = {
    "an event says so": [{"type": "agent_text_unsaid", "generated": "Four hundred."}],
    "an event says so, without the words": [{"type": "agent_text_unsaid"}],
    "interrupted at position 0": [
        {"type": "agent_speech_started"},
        {"type": "agent_speech_finished", "interrupted": True, "position": 0},
    ],
    "interrupted at position 0, and the whole text is in the history": [
        {"type": "agent_speech_started"},
        {"type": "agent_speech_finished", "interrupted": True, "position": 0.0},
        {"type": "transcript", "text": "Four hundred.", "interrupted": True},
    ],
    "its speech ended and had not begun": [{"type": "agent_speech_finished", "interrupted": True}],
    "an event says so after its speech": [
        {"type": "agent_speech_started"},
        {"type": "agent_speech_finished", "interrupted": True},
        {"type": "agent_text_unsaid", "generated": "Four hundred."},
    ],
}


@pytest.mark.parametrize("how", NEVER_HEARD)
def test_what_was_never_heard_is_nowhere_shown_as_said(how: str) -> None:
    talk = voice()("agent_text_delta", delta="Four ", offset=0, utterance="a1")
    talk("agent_text_complete", text="Four hundred.", utterance="a1")
    for event in NEVER_HEARD[how]:
        talk(**{"role": "agent", "utterance": "a1", **event})
    talk("turn_metrics", role="agent", utterance="a1", e2e_latency=0.783)
    talk("user_speech_started").user("Never mind.", utterance="u2")("user_speech_finished")
    for view, text in views(talk).items():
        assert "Four" not in text, view
        assert order(text, "Hello.", "Balance?", "Never mind."), view
    document = talk.session().document()
    assert document["counts"]["interruptions"] == 0
    assert document["latency"] == {}
    assert not any("total" in turn.get("latency", {}) for turn in document["turns"])
    (unsaid,) = [item for item in document["conversation"] if item["kind"] == "unsaid"]
    assert (unsaid["generated"], unsaid["utterance"]) == ("Four hundred.", "a1")
    assert {"text", "final", "generating", "speaking"}.isdisjoint(unsaid)


def test_what_is_left_when_the_session_ends_was_not_said() -> None:
    talk = voice()("agent_text_delta", delta="Four hundred.", offset=0, utterance="a1")
    (pending,) = [one for one in talk.session().document()["conversation"] if one.get("utterance") == "a1"]
    assert (pending["text"], pending["generated"], pending["generating"]) == ("", "Four hundred.", True)
    talk("session_ended")
    assert "Four" not in "".join(views(talk).values())
    assert [one["kind"] for one in talk.session().document()["conversation"] if one.get("utterance") == "a1"] == [
        "unsaid"
    ]


def test_the_wait_is_that_for_the_answer_that_was_heard() -> None:
    """The reply before it was interrupted at once: it ended no wait."""
    talk = voice()  # the question ends at 1000.5
    talk("agent_speech_started", utterance="a1", timestamp=1001.0)
    talk("agent_speech_finished", utterance="a1", interrupted=True, position=0, timestamp=1001.0)
    assert talk.session().summary()["latency"] == {}
    talk("agent_speech_started", utterance="a2", timestamp=1002.0)
    waited = talk.session().summary()["latency"]["response_time"]
    (_, turn) = talk.session().document()["turns"]
    assert waited["count"] == 1
    assert waited["max"] == turn["latency"]["total"] == 1002.0 - turn["user"]["stopped"]


def test_text_that_is_to_be_read_is_shown_without_a_transcript() -> None:
    """A text session has no speech, and some send deltas and the whole text only."""
    talk = Talk().user("Hi", typed=True, utterance="u1")
    talk("agent_text_delta", delta="Hel", offset=0, utterance="a1")(
        "agent_text_complete", text="Hello.", utterance="a1"
    )
    talk.user("Bye", typed=True, utterance="u2")("agent_text_complete", text="See you.", utterance="a2")(
        "session_ended"
    )
    found = views(talk)
    for view in ("conversation", "turns", "md"):
        assert order(found[view], "Hi", "Hello.", "Bye", "See you."), view


def test_an_interruption_that_was_heard_counts() -> None:
    talk = voice()("agent_speech_started", utterance="a1")
    talk("agent_speech_finished", utterance="a1", interrupted=True, position=0.8)
    talk.agent("Four", utterance="a1", interrupted=True)
    assert talk.session().summary()["counts"]["interruptions"] == 1
    assert order(views(talk)["json"], "Hello.", "Balance?", "Four")


# -- order -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("began", [None, 1001.3])
@pytest.mark.parametrize("interrupts", [False, True])
@pytest.mark.parametrize("interims", [0, 2])
def test_a_question_stands_before_its_answer_however_late_it_is_recognized(
    began: float | None, interrupts: bool, interims: int
) -> None:
    talk = Talk()("session_started").said_aloud("Hello.", "a0")
    talk("user_speech_started", timestamp=1001.0)("user_speech_finished", timestamp=1002.0)
    talk("agent_text_delta", delta="It is sunny.", offset=0, utterance="a1", timestamp=1002.4)
    talk("agent_speech_started", utterance="a1", timestamp=1002.5)
    if interrupts and not interims:  # an interim while the user speaks is about what the user is saying
        talk("user_speech_started", timestamp=1002.9)
    for number in range(interims):
        talk.user("What", final=False, utterance="u1", timestamp=1002.6 + number / 10)
    fields = {} if began is None else {"began": began}
    talk.user("What is the weather?", utterance="u1", timestamp=1003.0, **fields)
    talk("agent_speech_finished", utterance="a1", position=1.5, timestamp=1004.0)
    talk.agent("It is sunny.", utterance="a1", timestamp=1004.0)
    for view, text in views(talk).items():
        assert order(text, "Hello.", "What is the weather?", "It is sunny."), view
    turn = talk.session().document()["turns"][1]
    assert turn["user"]["text"] == "What is the weather?"
    assert turn["latency"]["total"] == 0.5
    asked, answered = captions.cues(talk.events)[1:]
    assert asked.end <= answered.start


def test_replies_stand_where_they_were_heard() -> None:
    """A draft is written long before; the user has said something meanwhile."""
    talk = voice()("agent_text_delta", delta="One.", offset=0, utterance="a1", source="llm")
    talk("agent_text_delta", delta="Two.", offset=0, utterance="a2", source="llm")
    talk.said_aloud("One.", "a1").user("Really?", utterance="u2").said_aloud("Two.", "a2")
    for view, text in views(talk).items():
        assert order(text, "Balance?", "One.", "Really?", "Two."), view


# -- which words belong together ---------------------------------------------------------------------------------------


def closed(talk: Talk) -> bool:
    """Nothing is open, in no view."""
    document = talk.session().document()
    return all(
        one["final"] for one in document["conversation"] if one["kind"] == "said" and one["role"] == "user"
    ) and all(turn["user"]["final"] for turn in document["turns"] if "user" in turn)


@pytest.mark.parametrize("named", [True, False])
def test_a_recognizer_that_is_ahead_of_the_vad(named: bool) -> None:
    first, second = ({"utterance": "u1"}, {"utterance": "u2"}) if named else ({}, {})
    talk = Talk().user("hello", final=False, **first)("user_speech_started")
    talk.user("hello there", final=False, **second)("user_speech_finished").user("Hello there.", **second)
    assert talk.turns() == [("Hello there.", None)]
    for view, text in views(talk).items():
        assert text.lower().count("hello") == 1, view
    assert closed(talk)


@pytest.mark.parametrize("named", [True, False])
def test_a_final_that_comes_when_the_user_speaks_again(named: bool) -> None:
    names = [{"utterance": f"u{number}"} if named else {} for number in range(3)]
    talk = Talk()("user_speech_started").user("What is", final=False, **names[0])("user_speech_finished")
    talk("user_speech_started").user("What is it?", **names[1]).user("I ask", final=False, **names[2])
    talk("user_speech_finished").user("I ask.", **names[2])
    assert talk.turns() == [("What is it? I ask.", None)]
    for view, text in views(talk).items():
        assert order(text, "What is it?", "I ask."), view
    assert closed(talk)


def test_items_that_interleave_are_apart() -> None:
    talk = Talk()("user_speech_started").user("My name", final=False, utterance="A")("user_speech_finished")
    talk("user_speech_started").user("and I live", final=False, utterance="B").user("My name is Ada,", utterance="A")
    talk.user("and I live in", final=False, utterance="B")("user_speech_finished").user(
        "and I live in Oslo.", utterance="B"
    )
    for view, text in views(talk).items():
        assert order(text, "My name is Ada,", "and I live in Oslo."), view
    assert closed(talk)


@pytest.mark.parametrize("times", [2, 3, 7])
def test_of_repeated_finals_the_last_counts(times: int) -> None:
    words = "Can you tell me the weather in Oslo".split()
    talk = Talk()("user_speech_started")("user_speech_finished")
    for number in range(times):
        talk.user(" ".join(words[: 2 + number]), utterance="item_1")
    talk.user("Can", final=False, utterance="item_1")
    whole = " ".join(words[: 1 + times])
    assert talk.turns() == [(whole, None)]
    for view, text in views(talk).items():
        assert text.count("Can you") == text.count(whole) == 1, view
    assert talk.session().summary()["counts"]["user_transcripts"] == 1


def test_nothing_stays_open_when_the_session_ends() -> None:
    talk = (
        Talk()("session_started").user("Well I", final=False, utterance="u1").user("Hm", final=False, participant="bob")
    )
    assert not closed(talk)
    talk("session_ended")
    assert closed(talk)
    said = [one for one in talk.session().document()["conversation"] if one["kind"] == "said"]
    assert [(one["text"], one["unconfirmed"]) for one in said] == [("Well I", True), ("Hm", True)]
    assert entries(talk.session().document()) == []


# -- turns -------------------------------------------------------------------------------------------------------------


REACTIONS: dict[str, list[Event]] = {
    "a silent tool": [
        {"type": "tool_call_started", "call_id": "c", "name": "f"},
        {"type": "tool_call_finished", "call_id": "c"},
    ],
    "an empty reply": [{"type": "agent_text_complete", "text": ""}],
    "an error": [{"type": "agent_error", "message": "no", "source": "llm"}],
    "nothing": [
        {"type": "agent_state_changed", "old_state": "listening", "new_state": "thinking"},
        {"type": "agent_state_changed", "old_state": "thinking", "new_state": "listening"},
    ],
    "a commit": [{"type": "turn_metrics", "role": "user", "end_of_turn_delay": 0.1}],
}


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("how", REACTIONS)
def test_a_message_begins_a_turn_whatever_becomes_of_the_one_before(how: str, typed: bool) -> None:
    talk = Talk()
    for number in range(4):
        talk.user(f"question {number}", utterance=f"u{number}", typed=typed or None)
        for event in REACTIONS[how]:
            talk(**event)
    assert [user for user, _ in talk.turns()] == [f"question {number}" for number in range(4)]


def test_an_error_belongs_to_the_message_that_it_answered() -> None:
    """LiveKit has the typed message in the conversation only after the model has failed."""
    talk = Talk().user("one", typed=True, timestamp=1000.0).agent("1", timestamp=1001.0)
    talk("agent_error", message="no", source="llm", timestamp=1003.0).user("two", typed=True, timestamp=1002.0)
    assert [turn.get("errors") for turn in talk.session().document()["turns"]] == [None, 1]


def test_typed_messages_are_turns_even_without_any_reaction() -> None:
    assert len(Talk().user("one", typed=True).user("two", typed=True).turns()) == 2


def test_what_is_said_in_several_pieces_is_one_message() -> None:
    """Recognizers make finals in the middle of speech, and errors of theirs are no reaction."""
    talk = Talk()("user_speech_started").user("One", utterance="u1").user("two", utterance="u2")
    talk("agent_error", message="again", source="stt", recoverable=True)("user_speech_finished")
    talk("user_speech_started").user("three.", utterance="u3")("user_speech_finished")
    assert talk.turns() == [("One two three.", None)]


def test_a_draft_that_is_given_up_is_no_answer() -> None:
    """The model writes ahead while the user is still speaking; the words that follow are of the same message."""
    talk = Talk().said_aloud("Hello.", "a0")("user_speech_started").user("One", utterance="u1")
    talk("agent_text_delta", delta="Yes.", offset=0, utterance="a1", source="llm").user("two.", utterance="u2")
    talk("user_speech_finished")("agent_text_unsaid", utterance="a1", generated="Yes.").said_aloud("No.", "a2")
    assert talk.turns() == [(None, "Hello."), ("One two.", "No.")]


def test_the_total_is_that_of_the_speech_that_was_answered() -> None:
    """A cough after the question, or speech while the answer plays, is not what was answered."""
    talk = Talk()("user_speech_started", timestamp=1000.0).user("Well?", utterance="u1", timestamp=1001.2)
    talk("user_speech_finished", timestamp=1001.0)
    talk("user_speech_started", timestamp=1001.5)("user_speech_finished", timestamp=1001.7)
    talk("agent_speech_started", utterance="a1", timestamp=1002.0)
    talk("user_speech_started", timestamp=1002.5)("user_speech_finished", timestamp=1003.0)
    talk("agent_speech_finished", utterance="a1", timestamp=1004.0).agent("Yes.", utterance="a1", timestamp=1004.0)
    (turn,) = talk.session().document()["turns"]
    assert (turn["user"]["started"], turn["user"]["stopped"]) == (1000.0, 1001.0)
    assert turn["latency"]["total"] == 1.0
    assert talk.session().summary()["latency"]["response_time"]["max"] == 1.0


def test_late_words_of_an_earlier_speech_go_to_its_turn() -> None:
    """The user interrupts the answer; only then the words of the question are known."""
    talk = Talk()("user_speech_started", timestamp=1000.0)("user_speech_finished", timestamp=1001.0)
    talk("agent_speech_started", utterance="a1", timestamp=1001.5)("user_speech_started", timestamp=1002.0)
    talk.user("What is it?", utterance="u1", timestamp=1002.2)
    talk("agent_speech_finished", utterance="a1", interrupted=True, position=0.7, timestamp=1002.2)
    talk.agent("It", utterance="a1", interrupted=True, timestamp=1002.3)("user_speech_finished", timestamp=1002.5)
    talk.user("Stop.", utterance="u2", timestamp=1002.8)
    first, second = talk.session().document()["turns"]
    assert (first["user"]["text"], first["user"]["stopped"], first["latency"]["total"]) == ("What is it?", 1001.0, 0.5)
    assert (second["user"]["text"], second["user"]["started"]) == ("Stop.", 1002.0)


def test_a_text_session_has_totals() -> None:
    for kind, fields in (
        ("agent_text_delta", {"delta": "Hello", "offset": 0}),
        ("agent_text_complete", {"text": "Hello"}),
        ("transcript", {"text": "Hello"}),
    ):
        talk = Talk().user("Hi", typed=True, utterance="u1", timestamp=1000.0)
        talk(kind, role="agent", utterance="a1", timestamp=1000.25, **fields)
        talk("agent_text_complete", text="Hello you", utterance="a1", timestamp=1003.0)
        (turn,) = talk.session().document()["turns"]
        assert turn["latency"] == {"total": 0.25, "measured": "events", "parts": [], "unaccounted": 0.25}, kind
        assert talk.session().summary()["latency"]["response_time"]["max"] == 0.25


def test_an_answer_to_a_typed_message_is_waited_for_until_it_is_heard() -> None:
    talk = Talk().user("Hi", typed=True, timestamp=1000.0)(
        "agent_text_delta", delta="Hello", utterance="a", timestamp=1000.2
    )
    talk("agent_speech_started", utterance="a", timestamp=1001.0)
    (turn,) = talk.session().document()["turns"]
    assert turn["latency"]["total"] == 1.0
    assert talk.session().summary()["latency"]["response_time"]["count"] == 1


@pytest.mark.parametrize("steps", [12, LISTED, LISTED + 1, 2 * LISTED + 30])
def test_a_turn_says_what_it_leaves_out(steps: int) -> None:
    talk = Talk().user("go", utterance="u")
    for number in range(steps):
        talk("tool_call_started", call_id=f"c{number}", name=f"tool{number}")
        talk("tool_call_finished", call_id=f"c{number}", duration=0.1).agent(f"Step {number}.", utterance=f"a{number}")
    (turn,) = talk.session().document()["turns"]
    gone = max(0, steps - LISTED)
    assert len(turn["tools"]) == min(steps, LISTED)
    assert turn.get("left_out") == ({"tools": gone, "replies": gone} if gone else None)
    kept = [0, *range(1 + gone, steps)]
    hole = ["…"] if gone else []
    assert turn["agent"]["text"] == " ".join([f"Step {kept[0]}.", *hole, *(f"Step {n}." for n in kept[1:])])
    assert talk.session().summary()["counts"]["tool_calls"] == steps


def test_a_turn_of_many_utterances_says_so() -> None:
    talk = Talk()
    for number in range(UTTERANCES + 5):
        talk("user_speech_started").user(f"w{number}", utterance=f"u{number}")("user_speech_finished")
    (turn,) = talk.session().document()["turns"]
    assert turn["left_out"] == {"utterances": 5}
    assert len(talk.session().turns._now.stretches) <= STRETCHES


# -- speakers, clocks --------------------------------------------------------------------------------------------------


def test_two_people_at_one_microphone_have_names() -> None:
    talk = (
        Talk()
        .user("Hi.", speaker_id="S1")
        .user("Ho.", speaker_id="S2")
        .user("Ha.", participant="caller", speaker_id="S2")
    )
    document = talk.session().document()
    assert [one["speaker_id"] for one in document["conversation"]] == ["S1", "S2", "S2"]
    assert captions.txt(captions.cues(talk.events)).count("S1: Hi.") == 1
    assert "**caller (S2):** Ha." in "".join(markdown(document))
    names = {"S1": "Ada", "S2": "Bo"}
    assert [line[11:] for line in captions.txt(captions.cues(spoken(talk.events), names)).splitlines()] == [
        "Ada: Hi.", "Bo: Ho.", "Bo: Ha.",
    ]  # fmt: skip
    assert [one["speaker"] for one in entries(document, names)] == ["Ada", "Bo", "Bo"]
    assert "**Bo:** Ha." in "".join(markdown(document, names))


@pytest.mark.parametrize("seconds", [LONGEST_LATENCY, 200.0, 3600, 1e9])
def test_a_latency_that_no_clock_measured_is_none(seconds: float) -> None:
    talk = voice()("agent_speech_started", utterance="a1", timestamp=1001.0 + seconds)
    talk("turn_metrics", role="agent", utterance="a1", e2e_latency=seconds, llm_node_ttft=seconds)
    document = talk.session().document()
    assert document["latency"] == {}
    assert not any(turn.get("latency") for turn in document["turns"])


def test_documents_are_plain_values() -> None:
    talk: Any = voice()("agent_text_unsaid", utterance="a9", generated="x")
    assert json.loads(json.dumps(talk.session().document()))["conversation"][-1]["kind"] == "unsaid"
