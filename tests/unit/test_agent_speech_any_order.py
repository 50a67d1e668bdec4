"""event_hub.livekit.agent_speech: whatever LiveKit reports, in whatever order, the events are consistent (D08)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .test_agent_speech import Seen


class AnyOrder(RuleBasedStateMachine):
    """Whatever LiveKit reports in whatever order: no exception, and consistent events."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self.now = 1000.0

    @rule(text=st.sampled_from(["Hello ", "there. ", "It is sunny. "]))
    def text(self, text: str) -> None:
        self.seen.speech.text(text)

    @rule(
        text=st.sampled_from(["", "Hello ", "there. "]), speech=st.sampled_from([None, "a", "b"]), whole=st.booleans()
    )
    def draft(self, text: str, speech: str | None, whole: bool) -> None:
        draft = self.seen.speech.draft(speech)
        self.seen.speech.draft_text(draft, text)
        self.seen.speech.draft_ended(draft, whole)

    @rule(speech=st.sampled_from([None, "a", "b"]), raw=st.booleans())
    def next_speech(self, speech: str | None, raw: bool) -> None:
        self.seen.current, self.seen.speech.raw = speech, raw

    @rule(speech=st.sampled_from(["a", "b"]))
    def speech_done(self, speech: str) -> None:
        self.seen.speech.speech_done(speech, self.now)

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
            ended = {e["utterance"] for kind in ("transcript", "agent_text_unsaid") for e in self.seen.of(kind)}
            assert {event["utterance"] for event in self.seen.of("agent_text_delta")} <= ended

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
        ended = [e["utterance"] for kind in ("transcript", "agent_text_unsaid") for e in self.seen.of(kind)]
        assert len(ended) == len(set(ended))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60)
