"""event_hub.livekit.agent_speech: LiveKit's reports on a reply, in any order, become consistent events (D08)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from event_hub.events import check
from event_hub.livekit.agent_speech import AgentSpeech


class Seen:
    def __init__(self, *, audio: bool = True, segments: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.current: str | None = None
        """The id of the SpeechHandle that is being said."""
        names = itertools.count(1)
        self.speech = AgentSpeech(self._emit, lambda: f"u{next(names)}", lambda: self.current)
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


def test_after_an_interruption_the_item_has_what_was_heard() -> None:
    seen = Seen()
    seen.speech.text("Once upon a time there was a fox.")
    seen.speech.playback_started(1.0)
    seen.speech.playback_finished(0.7, True, "Once upon", 1.7)
    seen.speech.item("Once upon", True, 1.7)
    (said,) = seen.of("transcript")
    assert (said["text"], said["interrupted"]) == ("Once upon", True)
    assert seen.of("agent_speech_finished")[0]["interrupted"] is True


def test_a_false_interruption_that_is_resumed_does_not_finish_the_reply() -> None:
    seen = Seen()
    seen.speech.text("A long story.")
    seen.speech.playback_started(1.0)
    seen.speech.rested(1.5)  # speaking → listening: the user coughed, and the audio only pauses
    assert seen.kinds() == ["text_delta", "speech_started"]
    seen.speech.playback_finished(2.0, False, None, 3.5)
    seen.speech.item("A long story.", False, 3.5)
    assert seen.kinds()[2:] == ["speech_finished", "transcript"]


def test_several_segments_make_one_speech_pair() -> None:
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


def test_a_realtime_models_messages_are_separate_replies_whose_items_arrive_late() -> None:
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


def test_without_an_item_the_transcript_is_what_was_heard() -> None:
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
    seen.speech.playback_finished(0.0, True, "", 1.0)  # interrupted before the first sound
    seen.speech.rested(1.0)
    assert seen.kinds() == ["text_delta", "text_complete"]
    seen.speech.settle(all=True, now=2.0)
    assert seen.kinds() == ["text_delta", "text_complete", "text_unsaid"]
    assert seen.events[-1]["generated"] == "Never "


def test_a_text_session_has_no_speech_pair() -> None:
    seen = Seen(audio=False)
    seen.speech.text("Hi.")
    seen.speech.flush()
    seen.speech.item("Hi.", False, 1.0)
    assert seen.kinds() == ["text_delta", "text_complete", "transcript"]


def test_an_empty_flush_emits_nothing() -> None:
    seen = Seen()
    seen.speech.flush()
    assert seen.events == []


def test_an_item_without_earlier_events_becomes_a_transcript() -> None:
    seen = Seen()
    seen.speech.item("From before we were attached.", False, 1.0)
    assert seen.kinds() == ["transcript"]


def test_two_drafts_of_which_one_is_said() -> None:
    """T24: raw text; two replies are written at once, and one of them is given up."""
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


def test_an_unsaid_draft_is_not_mistaken_for_another_reply() -> None:
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


def test_two_replies_that_start_alike() -> None:
    """The first has no item; the second's item is not attributed to it, and the order is kept."""
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


def test_a_character_that_is_split_over_two_pieces_is_joined() -> None:
    seen = Seen()
    for piece in ("Sun ", "\ud83d", "\ude0e!"):
        seen.speech.text(piece)
    deltas = seen.of("agent_text_delta")
    assert [event["offset"] for event in deltas] == [0, 4]
    assert deltas[-1]["delta"].encode("utf-16", "surrogatepass").decode("utf-16") == "😎!"


@pytest.mark.parametrize(
    ("position", "started", "heard", "ends"),
    [
        (0.0, False, None, "agent_text_unsaid"),
        (0.0, False, "", "agent_text_unsaid"),
        (0.0, True, None, "agent_text_unsaid"),  # playback had started
        (0.0, True, "", "agent_text_unsaid"),
        (0.3, True, "", "agent_text_unsaid"),  # no word yet
        (0.3, True, "Never", "transcript"),
        (0.3, True, None, "transcript"),  # LiveKit does not know how much was heard, and keeps all of the text
    ],
)
def test_interrupted_and_without_an_item(position: float, started: bool, heard: str | None, ends: str) -> None:
    seen = Seen()
    seen.speech.text("Never mind.")
    seen.speech.flush()
    if started:
        seen.speech.playback_started(1.0)
    seen.speech.playback_finished(position, True, heard, 1.0 + position)
    seen.speech.rested(1.5)
    seen.speech.settle()
    seen.speech.settle(all=True, now=2.0)
    assert [event["type"] for event in seen.events if "agent_speech" not in event["type"]][2:] == [ends]
    assert len(seen.of("agent_speech_started")) == len(seen.of("agent_speech_finished")) == started


def test_a_committed_reply_was_said_even_at_position_0() -> None:
    """The item is the authority: LiveKit commits one once playback has started."""
    seen = Seen()
    seen.speech.text("Never mind.")
    seen.speech.playback_started(1.0)
    seen.speech.playback_finished(0.0, True, None, 1.0)
    seen.speech.item("Never mind.", True, 1.0, began=0.9)
    seen.speech.settle(all=True, now=2.0)
    assert "text_unsaid" not in seen.kinds()
    assert (seen.events[-1]["text"], seen.events[-1]["began"]) == ("Never mind.", 0.9)


def test_an_item_without_words_ends_the_utterance_as_unsaid() -> None:
    seen = Seen()
    seen.speech.text(" ")
    seen.speech.item(" ", False, 1.0)
    assert seen.kinds() == ["text_delta", "text_unsaid"]


def test_a_reply_right_after_an_unheard_one_is_another_utterance() -> None:
    """Interrupted before its first audio while the agent keeps thinking: only the next speech shows that it has ended."""
    seen = Seen()
    seen.current = "speech_1"
    seen.speech.text("Your balance is four hundred crowns.")
    seen.speech.playback_finished(0.0, True, "", 1.0)
    seen.current = "speech_2"
    seen.speech.text("All right.")
    seen.speech.playback_started(2.0)
    seen.speech.speech_done("speech_1", 2.1)
    seen.speech.playback_finished(0.5, False, "All right.", 2.5)
    assert seen.speech.item("All right.", False, 2.6) == "u2"
    seen.speech.speech_done("speech_2", 2.7)
    assert [(e["utterance"], e["generated"]) for e in seen.of("agent_text_unsaid")] == [
        ("u1", "Your balance is four hundred crowns.")
    ]
    assert seen.kinds().count("transcript") == 1


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("prefix", ["", "Well, "], ids=["as written", "changed by a transcription node"])
def test_queued_replies_whose_audio_starts_before_their_text(order: tuple[str, str], prefix: str) -> None:
    """Two identical drafts are written before their turn comes; the one with the higher priority is said first."""
    seen = Seen()
    seen.speech.raw = True
    drafts = {}
    for speech in ("a", "b"):
        drafts[speech] = seen.speech.draft(speech)
        seen.speech.draft_text(drafts[speech], "It is sunny.")
        seen.speech.draft_ended(drafts[speech], True)
    for at, speech in enumerate(order):
        seen.current = speech
        seen.speech.playback_started(at)
        seen.speech.text(f"{prefix}It is sunny.")
        seen.speech.flush()
        seen.speech.playback_finished(0.5, False, None, at + 0.5)
        assert seen.speech.item(f"{prefix}It is sunny.", False, at + 0.5) == drafts[speech].id
        seen.speech.speech_done(speech, at + 0.6)
    assert "text_unsaid" not in seen.kinds()
    started = [event["utterance"] for event in seen.of("agent_speech_started")]
    assert started == [drafts[speech].id for speech in order]


def test_a_draft_is_unsaid_when_its_speech_is_done_without_it() -> None:
    """A preemptive generation is replaced by another that starts alike."""
    seen = Seen()
    seen.speech.raw = True
    first, second = seen.speech.draft("a"), seen.speech.draft("b")
    for draft, whole in ((first, False), (second, True)):
        seen.speech.draft_text(draft, "It is ")
        seen.speech.draft_ended(draft, whole)
    assert "text_unsaid" not in seen.kinds(), "its text may still be said"
    seen.speech.speech_done("a", 1.0)
    assert [e["utterance"] for e in seen.of("agent_text_unsaid")] == [first.id]
    seen.current = "b"
    seen.speech.text("It is ")
    assert seen.speech.item("It is", True, 2.0) == second.id
    seen.current = "c"
    seen.speech.text("Something that no model wrote.")  # say()
    assert seen.speech.item("Something that no model wrote.", False, 3.0) not in (first.id, second.id)
