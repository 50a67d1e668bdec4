"""The two sides of a session's conversation, followed in the publisher's thread, not on the loop that carries the voice.

The loop only records what LiveKit reports: a method of `Conversation`, the time, and its arguments, none of which changes
afterwards. The publisher's thread applies the records in order. Pure: it reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .agent_speech import AgentSpeech, Utterance
from .guarded import Failed
from .user_speech import UserSpeech

Method = Callable[..., None]
Record = tuple[Any, ...]
"""A method of `Conversation`, the time, the SpeechHandle that is being said (or None), and further arguments."""

SETTLE = 0.5
"""Seconds after a reply in which its conversation item may still arrive; realtime models are the slowest."""


class Conversation:
    """Turns records into events. `name` makes utterance ids; `unsettled` is called when a reply waits for its item: record
    `settle` after `SETTLE` seconds, in case nothing else is recorded. `failed` receives errors."""

    def __init__(self, name: Callable[[], str], unsettled: Callable[[], object], failed: Failed) -> None:
        self._events: list[dict[str, Any]] = []
        self._speech: str | None = None
        self._unsettled, self._failed = unsettled, failed
        self._settle_at: float | None = None
        self._agent = AgentSpeech(self._emit, name, lambda: self._speech)
        self._user = UserSpeech(self._emit, name)

    def apply(self, record: Record) -> list[dict[str, Any]]:
        """The events that a record results in; perhaps none."""
        method, at, speech, *arguments = record
        self._speech = None if speech is None else speech.id
        try:
            if self._settle_at is not None and at >= self._settle_at:
                self._settle_at = None
                self._agent.settle()
            method(self, at, *arguments)
        except Exception as error:
            self._failed(method.__name__, error)
        events, self._events = self._events, []
        for event in events:
            if "timestamp" not in event:
                event["timestamp"] = at
        return events

    # -- the agent -----------------------------------------------------------------------------------------------------

    def outputs(self, _at: float, audio: bool, segments: bool, raw: bool) -> None:
        """The session's outputs have changed."""
        self._agent.audio, self._agent.segments, self._agent.raw = audio, segments, raw

    def text(self, _at: float, text: str) -> None:
        self._agent.text(str(text))

    def flush(self, _at: float) -> None:
        self._agent.flush()

    def drafted(self, _at: float, draft: Utterance) -> None:
        self._agent.drafted(draft)

    def draft_text(self, _at: float, draft: Utterance, delta: str) -> None:
        self._agent.draft_text(draft, delta)

    def draft_ended(self, _at: float, draft: Utterance, complete: bool) -> None:
        self._agent.draft_ended(draft, complete)

    def playback_started(self, _at: float, started: float) -> None:
        self._agent.playback_started(started)

    def playback_finished(self, at: float, position: float, interrupted: bool, heard: str | None) -> None:
        self._agent.playback_finished(position, interrupted, heard, at)

    def agent_state(self, at: float, fields: dict[str, Any]) -> None:
        new, since = self._state("agent", fields)
        if new == "speaking":
            self._settle_at = None  # a realtime model's items arrive together, after all of its messages
            return
        self._agent.rested(since)
        if self._agent.unsettled:
            self._settle_at = at + SETTLE
            self._unsettled()

    def agent_item(self, at: float, text: str, interrupted: bool, began: float, latencies: Any) -> None:
        utterance = self._agent.item(text, interrupted, at, began)
        self._latencies("agent", utterance, latencies)

    def speech_done(self, at: float, speech: str) -> None:
        self._agent.speech_done(speech, at)

    def settle(self, _at: float) -> None:
        """Time has passed: `apply` settles what is due."""

    # -- the user ------------------------------------------------------------------------------------------------------

    def user_state(self, _at: float, fields: dict[str, Any]) -> None:
        new, at = self._state("user", fields)
        self._user.state(new, at)

    def user_transcribed(self, _at: float, fields: dict[str, Any]) -> None:
        self._user.transcribed(
            fields["transcript"],
            fields["is_final"],
            fields["created_at"],
            item_id=fields["item_id"],
            speaker_id=fields["speaker_id"],
            language=str(fields["language"] or "") or None,
        )

    def nothing_recognised(self, _at: float) -> None:
        self._user.nothing_recognised()

    def user_item(self, _at: float, text: str, spoken: bool, at: float, latencies: Any, fields: Any) -> None:
        utterance = self._user.item(text, spoken, at, **fields)
        self._latencies("user", utterance, latencies)

    # -- both ----------------------------------------------------------------------------------------------------------

    def ended(self, at: float) -> None:
        self._user.close(at)
        self._agent.settle(all=True, now=at)
        self._settle_at = None

    def _emit(self, event: dict[str, Any]) -> None:
        self._events.append(event)

    def _state(self, role: str, fields: dict[str, Any]) -> tuple[str, float]:
        """Report a change of state. Returns the new state, and since when."""
        new, at = fields["new_state"], fields["created_at"]
        self._emit(
            {
                "type": f"{role}_state_changed",
                "role": role,
                "old_state": fields["old_state"],
                "new_state": new,
                "timestamp": at,
            }
        )
        return new, at

    def _latencies(self, role: str, utterance: str | None, latencies: dict[str, Any]) -> None:
        if latencies:
            event = {"type": "turn_metrics", "role": role, **latencies}
            if utterance is not None:
                event["utterance"] = utterance
            self._emit(event)
