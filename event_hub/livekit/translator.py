"""One session's LiveKit events, translated into ours, or recorded for the publisher's thread to translate."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from livekit.agents import AgentSession
from livekit.agents.voice import SpeechHandle

from . import errors, metrics
from .agent_speech import Utterance
from .conversation import SETTLE, Conversation
from .guarded import Failed, Timer, handler
from .job_context import own_speech
from .text_tap import RecordSaid
from .tool_calls import ToolCalls
from .truncation import clipped

Emit = Callable[[dict[str, Any]], None]
_USAGE = 1.0
"""Seconds between two `usage_updated`."""
_RECENT = 100
"""Items of the history that are searched for a tool's output."""


class Translator:
    """Translates the events of `session` from one start to its end. `emit` receives our events, `record` what both sides of
    the conversation do, which `conversation` turns into events: in the publisher's thread. All else is for the loop.

    `instructions`: report the text of the agents' instructions, not only that they changed.
    """

    def __init__(
        self,
        session: weakref.ref[AgentSession[Any]],
        emit: Emit,
        record: Callable[..., None],
        record_said: RecordSaid,
        failed: Failed,
        instructions: bool,
    ) -> None:
        self._session = session
        self._emit, self._record, self._record_said = emit, record, record_said
        self._instructions = instructions
        self._tag, self._numbers = uuid.uuid4().hex[:6], itertools.count(1)
        self.conversation = Conversation(self._name, self._settle_soon, failed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tools = ToolCalls(self.emit_known, self._output_of)
        self._speeches: dict[str, SpeechHandle] = {}
        self._speech_done = handler(self._on_speech_done, failed)
        self._settling = Timer(self._settle, failed)
        self._usage_due = Timer(self._report_usage, failed)
        self._usage: Any = None
        self._usage_reported: list[dict[str, Any]] = []
        self._usage_at = float("-inf")
        self._configured = 0.0

    def emit_known(self, event: dict[str, Any]) -> None:
        """Emit the event without the fields that are None."""
        self._emit({name: value for name, value in event.items() if value is not None})

    def end(self, reason: str, error: Any = None) -> None:
        """The session has ended, for us."""
        self.config()
        self._record(Conversation.ended)
        self._settling.cancel()
        self._report_usage()
        self._usage_due.cancel()
        self.emit_known(
            {"type": "session_ended", "reason": reason, "error": None if error is None else errors.described(error)}
        )

    # -- LiveKit's events ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The session has started, on this loop."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # attached from another thread; the end of the session settles everything
            self._loop = None

    def outputs(self, audio: bool, segments: bool, raw: bool) -> None:
        """The session's outputs are known, or have changed."""
        self._record(Conversation.outputs, audio, segments, raw)

    # -- what a model writes (Drafts) ----------------------------------------------------------------------------------

    def draft(self, speech: str | None) -> Utterance:
        draft = Utterance(self._name(), speech)
        self._record(Conversation.drafted, draft)
        return draft

    def draft_text(self, draft: Utterance, delta: str) -> None:
        self._record(Conversation.draft_text, draft, delta)

    def draft_ended(self, draft: Utterance, complete: bool) -> None:
        self._record(Conversation.draft_ended, draft, complete)

    # -- LiveKit's other events ----------------------------------------------------------------------------------------

    def user_transcription_timeout(self, ev: Any) -> None:
        self._record(Conversation.nothing_recognised)
        self._emit(
            {
                "type": "user_transcription_timeout",
                "role": "user",
                "speech_duration": ev.speech_duration,
                "vad_speech_started_at": ev.vad_speech_started_at,
                "timestamp": ev.created_at,
            }
        )

    def conversation_item_added(self, ev: Any) -> None:
        item = ev.item
        if item.type == "agent_handoff":
            if item.old_agent_id is not None:
                self._emit({"type": "agent_handoff", "old_agent": item.old_agent_id, "new_agent": item.new_agent_id})
        elif item.type == "message" and item.role in ("assistant", "user"):
            text = item.text_content or ""
            found = metrics.latencies(item.metrics)
            if item.role == "assistant":
                self._record_said(Conversation.agent_item, text, bool(item.interrupted), item.created_at, found)
            else:
                self._user_item(item, text, ev.created_at, found)

    def _user_item(self, item: Any, text: str, at: float, latencies: dict[str, Any]) -> None:
        spoken = item.transcript_confidence is not None
        began = item.metrics.get("started_speaking_at") if spoken else item.created_at
        fields = {"item_id": item.id, "began": began, "transcript_confidence": item.transcript_confidence}
        self._record(Conversation.user_item, text, spoken, at, latencies, fields)

    def speech_created(self, ev: Any) -> None:
        speech = ev.speech_handle
        self._speeches[speech.id] = speech
        speech.add_done_callback(self._speech_done)
        self._emit(
            {
                "type": "speech_created",
                "role": "agent",
                "source": ev.source,
                "user_initiated": ev.user_initiated,
                "speech_id": speech.id,
            }
        )

    def tool_execution_updated(self, ev: Any) -> None:
        self._tools.execution_updated(ev.update, ev.created_at, own_speech())

    def function_tools_executed(self, ev: Any) -> None:
        self._tools.executed(ev.function_calls, ev.function_call_outputs)

    def metrics_collected(self, ev: Any) -> None:
        if found := metrics.request(ev.metrics):
            self._emit({"type": "metrics_collected", "metrics": found})

    def session_usage_updated(self, ev: Any) -> None:
        self._usage = ev.usage.model_usage
        wait = self._usage_at + _USAGE - time.monotonic()
        if wait <= 0:
            self._report_usage()
        elif not self._usage_due.running:
            self._usage_due.start(wait)

    def agent_false_interruption(self, ev: Any) -> None:
        self._emit({"type": "agent_false_interruption", "resumed": ev.resumed})

    def overlapping_speech(self, ev: Any) -> None:
        fields = metrics.measured(ev.model_dump(exclude={"type", "created_at", "speech_input", "probabilities"}))
        self._emit({"type": "overlapping_speech", "role": "user", "timestamp": ev.created_at, **fields})

    def error(self, ev: Any) -> None:
        self._emit(errors.agent_error(ev.error, ev.source))

    def sip_dtmf_received(self, ev: Any) -> None:
        participant = ev.participant.identity if ev.participant is not None else None
        event = {"type": "sip_dtmf_received", "role": "user", "digit": ev.digit, "code": ev.code}
        self.emit_known({**event, "participant": participant})

    def config(self) -> None:
        """Report changes of the agents' tools and instructions: LiveKit has no event for them, only items."""
        session = self._session()
        items = session.history.items if session is not None else []
        if not items or items[-1].created_at <= self._configured:
            return
        new = list(itertools.takewhile(lambda item: item.created_at > self._configured, reversed(items)))
        self._configured = items[-1].created_at
        for item in reversed(new):
            if item.type == "agent_config_update":
                self.emit_known(
                    {
                        "type": "agent_config_update",
                        "tools_added": None if item.tools_added is None else list(item.tools_added),
                        "tools_removed": None if item.tools_removed is None else list(item.tools_removed),
                        "instructions_changed": item.instructions is not None or None,
                        "instructions": clipped(item.instructions) if self._instructions else None,
                        "timestamp": item.created_at,
                    }
                )

    # -- internals -----------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        return f"{self._tag}.{next(self._numbers)}"

    def _on_speech_done(self, speech: SpeechHandle) -> None:
        self._speeches.pop(speech.id, None)
        self._record_said(Conversation.speech_done, speech.id)

    def _settle_soon(self) -> None:
        """Called in the publisher's thread."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._settling.start, SETTLE)
            except RuntimeError:  # the loop is closed, and so is the session
                pass

    def _settle(self) -> None:
        self._record(Conversation.settle)

    def _report_usage(self) -> None:
        models = metrics.usage(self._usage or [])
        if models and models != self._usage_reported:
            self._usage_reported, self._usage_at = models, time.monotonic()
            self._emit({"type": "usage_updated", "model_usage": models})

    def _output_of(self, call_id: str) -> Any:
        """The newest `FunctionCallOutput` for a call."""
        for item in self._recent_items():
            if item.type == "function_call_output" and item.call_id == call_id:
                return item
        return None

    def _recent_items(self) -> Iterator[Any]:
        session = self._session()
        for speech in self._speeches.values():
            yield from reversed(speech.chat_items)
        if session is not None:
            if session.current_speech is not None:
                yield from reversed(session.current_speech.chat_items)
            yield from itertools.islice(reversed(session.history.items), _RECENT)
