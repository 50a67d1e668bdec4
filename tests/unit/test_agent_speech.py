"""event_hub.livekit's pure parts: what LiveKit tells of a reply, in whatever order it can, becomes sensible events (D08)."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from event_hub.events import check
from event_hub.livekit.agent_speech import AgentSpeech
from event_hub.livekit.user_speech import UserSpeech


class Seen:
    def __init__(self, *, audio: bool = True, segments: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        names = itertools.count(1)
        self.speech = AgentSpeech(self._emit, lambda: f"u{next(names)}")
        self.speech.audio, self.speech.segments = audio, segments

    def _emit(self, event: dict[str, Any]) -> None:
        check(event)
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [event["type"].removeprefix("agent_") for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


def test_a_spoken_reply() -> None:
    seen = Seen()
    speech = seen.speech
    speech.text("It is ")
    speech.playback_started(10.0)
    speech.text("sunny.")
    speech.flush()
    speech.playback_finished(1.5, False, "It is sunny.", 11.5)
    assert speech.item("It is sunny.", False, 11.6) == "u1"
    speech.rested(11.7)
    speech.settle()
    assert seen.kinds() == [
        "text_delta", "speech_started", "text_delta", "text_complete", "speech_finished", "transcript",
    ]  # fmt: skip
    assert [event["offset"] for event in seen.of("agent_text_delta")] == [0, 6]
    assert {event["utterance"] for event in seen.events} == {"u1"}
    finished = seen.of("agent_speech_finished")[0]
    assert (finished["position"], finished["interrupted"], finished["timestamp"]) == (1.5, False, 11.5)


def test_cut_off_by_the_user_the_item_says_what_was_heard() -> None:
    seen = Seen()
    seen.speech.text("Once upon a time there was a fox.")
    seen.speech.playback_started(1.0)
    seen.speech.playback_finished(0.7, True, "Once upon", 1.7)
    seen.speech.item("Once upon", True, 1.7)
    (said,) = seen.of("transcript")
    assert (said["text"], said["interrupted"]) == ("Once upon", True)
    assert seen.of("agent_speech_finished")[0]["interrupted"] is True


def test_a_false_interruption_that_is_resumed_is_no_finish() -> None:
    seen = Seen()
    seen.speech.text("A long story.")
    seen.speech.playback_started(1.0)
    seen.speech.rested(1.5)  # speaking → listening: somebody coughed, the audio only pauses
    assert seen.kinds() == ["text_delta", "speech_started"]
    seen.speech.playback_finished(2.0, False, None, 3.5)
    seen.speech.item("A long story.", False, 3.5)
    assert seen.kinds()[2:] == ["speech_finished", "transcript"]


def test_several_segments_are_one_pair() -> None:
    seen = Seen()
    for text in ("First. ", "Second."):
        seen.speech.text(text)
        seen.speech.flush()
        seen.speech.playback_started(1.0)
        seen.speech.playback_finished(0.5, False, text, 1.5)
    seen.speech.item("First. Second.", False, 2.0)
    assert seen.kinds().count("speech_started") == seen.kinds().count("speech_finished") == 1
    assert seen.of("agent_speech_finished")[0]["position"] == 1.0
    assert [event["text"] for event in seen.of("agent_text_complete")] == ["First. ", "First. Second."]


def test_a_realtime_models_messages_are_replies_of_their_own_and_their_items_come_late() -> None:
    seen = Seen(segments=True)
    for text in ("First.", "Second."):
        seen.speech.text(text)
        seen.speech.playback_started(1.0)
        seen.speech.playback_finished(0.5, False, text, 1.5)
    seen.speech.rested(1.6)
    assert seen.speech.item("First.", False, 1.7) == "u1"
    assert seen.speech.item("Second.", False, 1.7) == "u2"
    seen.speech.settle()
    assert [event["text"] for event in seen.of("transcript")] == ["First.", "Second."]


def test_without_an_item_what_was_heard_is_what_was_said() -> None:
    seen = Seen()
    seen.speech.text("Not for the history.")
    seen.speech.playback_started(1.0)
    seen.speech.playback_finished(0.5, False, None, 1.5)
    seen.speech.rested(1.5)
    assert "transcript" not in seen.kinds() and seen.speech.unsettled
    seen.speech.settle()
    assert seen.of("transcript")[0]["text"] == "Not for the history."


def test_text_that_was_never_heard_was_not_said() -> None:
    seen = Seen()
    seen.speech.text("Never ")
    seen.speech.flush()
    seen.speech.playback_finished(0.0, True, "", 1.0)  # cut off before the first sound
    seen.speech.rested(1.0)
    seen.speech.settle(all=True, now=2.0)
    assert seen.kinds() == ["text_delta", "text_complete"]


def test_a_text_session_is_not_audible() -> None:
    seen = Seen(audio=False)
    seen.speech.text("Hi.")
    seen.speech.flush()
    seen.speech.item("Hi.", False, 1.0)
    assert seen.kinds() == ["text_delta", "text_complete", "transcript"]


def test_an_empty_flush_says_nothing() -> None:
    seen = Seen()
    seen.speech.flush()
    assert seen.events == []


def test_an_item_without_anything_before_it_is_said_all_the_same() -> None:
    seen = Seen()
    seen.speech.item("From before we were attached.", False, 1.0)
    assert seen.kinds() == ["transcript"]


def test_drafts_of_the_model_of_which_only_one_is_said() -> None:
    """T24: the raw text, where several replies are written at once and one of them is given up."""
    seen = Seen()
    seen.speech.raw = True
    first, second = seen.speech.draft(), seen.speech.draft()
    seen.speech.draft_text(first, "Let me ")
    seen.speech.draft_text(second, "It is ")
    seen.speech.draft_text(first, "look.")
    seen.speech.draft_text(second, "sunny.")
    seen.speech.draft_ended(first, False)
    seen.speech.draft_ended(second, True)
    seen.speech.text("IT IS ")  # as a transcription node has it
    seen.speech.playback_started(1.0)
    seen.speech.text("SUNNY.")
    seen.speech.flush()
    seen.speech.playback_finished(1.0, False, None, 2.0)
    assert seen.speech.item("It is sunny.", False, 2.0) == second.id
    assert {event["source"] for event in seen.of("agent_text_delta")} == {"llm"}
    assert [(e["utterance"], e["offset"]) for e in seen.of("agent_text_delta")] == [
        (first.id, 0), (second.id, 0), (first.id, 7), (second.id, 6),
    ]  # fmt: skip
    assert seen.of("agent_speech_started")[0]["utterance"] == second.id


def test_a_draft_that_nobody_says_is_no_speech_and_takes_no_other_replys() -> None:
    seen = Seen()
    seen.speech.raw = True
    for _ in range(20):
        unsaid = seen.speech.draft()
        seen.speech.draft_text(unsaid, "Answer to one.")
        seen.speech.draft_ended(unsaid, True)
    said = seen.speech.draft()
    seen.speech.draft_text(said, "Answer to two.")
    seen.speech.text("Something that no model wrote.")  # say()
    seen.speech.playback_started(1.0)
    seen.speech.playback_finished(1.0, False, None, 2.0)
    between = seen.speech.item("Something that no model wrote.", False, 2.0)
    seen.speech.text("Answer to two.")
    seen.speech.playback_started(3.0)
    seen.speech.playback_finished(1.0, False, None, 4.0)
    assert between not in (unsaid.id, said.id)
    assert seen.speech.item("Answer to two.", False, 4.0) == said.id
    seen.speech.settle(all=True, now=5.0)
    assert [event["text"] for event in seen.of("transcript")] == ["Something that no model wrote.", "Answer to two."]


def test_two_replies_that_begin_alike() -> None:
    """The first has no item: the second's is not taken for it, and the order stays."""
    seen = Seen()
    for text, has_item in (("Hold on, please. I look. It takes longer.", False), ("Hold on, please. I look.", True)):
        seen.speech.text(text)
        seen.speech.playback_started(1.0)
        seen.speech.playback_finished(1.0, False, None, 2.0)
        if has_item:
            seen.speech.item(text, False, 2.0)
        seen.speech.rested(2.0)
    seen.speech.settle()
    assert [(e["utterance"], e["text"]) for e in seen.of("transcript")] == [
        ("u1", "Hold on, please. I look. It takes longer."),
        ("u2", "Hold on, please. I look."),
    ]


def test_a_character_that_is_split_over_two_pieces_is_one() -> None:
    seen = Seen()
    for piece in ("Sun ", "\ud83d", "\ude0e!"):
        seen.speech.text(piece)
    deltas = seen.of("agent_text_delta")
    assert [event["offset"] for event in deltas] == [0, 4]
    assert deltas[-1]["delta"].encode("utf-16", "surrogatepass").decode("utf-16") == "😎!"


class AnyOrder(RuleBasedStateMachine):
    """Whatever LiveKit does in whatever order: no exception, and events that go together."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self.now = 1000.0

    @rule(text=st.sampled_from(["Hello ", "there. ", "It is sunny. "]))
    def text(self, text: str) -> None:
        self.seen.speech.text(text)

    @rule()
    def flush(self) -> None:
        self.seen.speech.flush()

    @rule()
    def started(self) -> None:
        self.now += 1
        self.seen.speech.playback_started(self.now)

    @rule(position=st.floats(0, 10), interrupted=st.booleans(), heard=st.none() | st.just("Hello"))
    def finished(self, position: float, interrupted: bool, heard: str | None) -> None:
        self.now += 1
        self.seen.speech.playback_finished(position, interrupted, heard, self.now)

    @rule(text=st.sampled_from(["Hello there. ", "It is sunny. ", ""]), interrupted=st.booleans())
    def item(self, text: str, interrupted: bool) -> None:
        self.seen.speech.item(text, interrupted, self.now)

    @rule()
    def rested(self) -> None:
        self.seen.speech.rested(self.now)

    @rule(segments=st.booleans(), audio=st.booleans())
    def outputs(self, segments: bool, audio: bool) -> None:
        self.seen.speech.segments, self.seen.speech.audio = segments, audio

    @rule(all=st.booleans())
    def settle(self, all: bool) -> None:
        self.seen.speech.settle(all=all, now=self.now)
        if all:
            assert len(self.seen.of("agent_speech_started")) == len(self.seen.of("agent_speech_finished"))

    @invariant()
    def belongs_together(self) -> None:
        offsets: dict[str, int] = {}
        state: dict[str, str] = {}
        for event in self.seen.events:
            kind, utterance = event["type"], event["utterance"]
            if kind == "agent_text_delta":
                assert event["offset"] == offsets.get(utterance, 0)
                offsets[utterance] = event["offset"] + len(event["delta"])
            elif kind == "agent_speech_started":
                assert utterance not in state
                state[utterance] = "started"
            elif kind == "agent_speech_finished":
                assert state[utterance] == "started"
                state[utterance] = "finished"
        said = [event["utterance"] for event in self.seen.of("transcript")]
        assert len(said) == len(set(said))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60)


# -- the user ----------------------------------------------------------------------------------------------------------


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


def test_away_is_no_speech_and_nothing_recognised_is_no_transcript() -> None:
    speech, events = user()
    speech.state("away", 1.0)
    speech.state("listening", 2.0)
    speech.transcribed("  ", True, 2.0)
    assert events == []


def test_what_was_said_is_not_told_twice_and_what_was_typed_is_told_once() -> None:
    speech, events = user()
    speech.transcribed("What is it?", True, 1.0)
    speech.transcribed("I mean now.", True, 1.5)
    assert speech.item("typed in between", False, 1.7) == "u3"
    assert (events[-1]["text"], events[-1]["typed"], events[-1]["final"]) == ("typed in between", True, True)
    assert speech.item("[redacted]", True, 2.0) == "u2", "the agent's own code may change what was said"
    assert len(events) == 3
    speech.transcribed("Yes", True, 3.0)
    speech.item("Yes", False, 4.0)
    assert [event.get("typed") for event in events[3:]] == [None, True]


def test_a_second_stretch_of_speech_is_another_utterance() -> None:
    speech, events = user()
    speech.state("speaking", 1.0)
    speech.transcribed("Hm", False, 1.1)
    speech.state("listening", 1.5)
    speech.state("speaking", 2.0)
    speech.transcribed("What", False, 2.1)
    speech.state("listening", 3.0)
    speech.transcribed("What is it?", True, 3.1)
    assert [e["utterance"] for e in events if e["type"] == "transcript"] == ["u1", "u2", "u2"]


def test_the_end_of_the_session_ends_what_the_user_says() -> None:
    speech, events = user()
    speech.close(1.0)
    speech.state("speaking", 2.0)
    speech.close(3.0)
    assert [event["type"] for event in events] == ["user_speech_started", "user_speech_finished"]


@given(st.lists(st.tuples(st.text(max_size=8), st.booleans())), st.text(max_size=20), st.booleans())
def test_any_text_of_the_users_is_taken(heard: list[tuple[str, bool]], item: str, spoken: bool) -> None:
    speech, events = user()
    for text, final in heard:
        speech.transcribed(text, final, 1.0)
    speech.item(item, spoken, 2.0)
    assert all(event["text"].strip() for event in events)
