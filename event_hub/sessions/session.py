"""One session: its state, what happened in it, and how long that took. Pure: its events in, plain values out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .fields import Event, name, seconds, stamp
from .items import Items
from .latency import Samples
from .turns import Turns
from .usage import Unassigned
from .utterance import AgentUtterance, UserUtterance, Utterance
from .utterances import Utterances
from .waits import Waits

TURNS = 5_000
"""Turns that are kept of one session: the newest."""
ROOM = "room:"
"""The id of a session without a name is this and its room."""
NOWHERE = "none"
"""The id of the session of all events that name neither a room nor a session."""
TAGS = 50
ANNOTATIONS = 1_000
"""Tags that a session can have, and annotations that are kept of it: the newest."""


class Session:
    """One session. Give each of its events to `take` once, in the order of their arrival.

    room, session: the names that its events give it, or None.
    whole: keep its turns and its conversation, for `document`. Without it there is only a `summary`; the session takes some
        14 KB while it is live, and 4 KB after its end.
    """

    __slots__ = (
        "_samples", "agent", "agent_speaking", "agent_state", "annotations", "began", "counts", "ended_at",
        "ended_by", "exits", "first", "first_name", "items", "job", "last", "mode", "nameless", "newest_utterance",
        "notes", "opened", "process", "reason", "recording", "room", "room_sid", "roomless", "session", "since",
        "spoke", "started_at", "tags", "told", "touched", "trace", "turns", "until", "updated_at", "user_speaking",
        "user_state", "utterances", "version", "waits",
    )  # fmt: skip

    def __init__(self, room: str | None, session: str | None, *, whole: bool = False, timed: bool = False) -> None:
        """`timed`: keep when each figure was measured, for `samples.points`."""
        self.room, self.session = room, session
        self.first = self.last = 0
        """Offsets of its first and its newest event."""
        self.touched = 0
        """The offset of the newest event that changed it: its own, or the end of its room."""
        self.since = 0
        self.until: int | None = None
        """Offsets between which it was the newest session of its room: events that name only the room belong to it."""
        self.nameless = self.roomless = False
        """Some of its events do not name the session, or do not name the room."""
        self.first_name = True
        """No other room had a session of this name before: events that name only the session belong to it."""
        self.agent: str | None = None
        self.version: str | None = None
        self.tags: dict[str, None] = {}
        self.notes = 0
        """How many annotations it has."""
        self.annotations: list[dict[str, Any]] | None = [] if whole else None
        self.newest_utterance: int | None = None
        """The number of the utterance that the newest event is about, if it is about one."""
        self.mode: str | None = None
        self.reason: str | None = None
        self.job: str | None = None
        """LiveKit's job, of which this is the session that is recorded."""
        self.room_sid: str | None = None
        self.told = False
        """Its events were made afterwards, from what its agent uploaded."""
        self.recording: dict[str, Any] | None = None
        self.trace: dict[str, Any] | None = None
        self.process: str | None = None
        """The id of the agent process that runs it, if a hub started that process."""
        self.exits: list[tuple[int, Event]] = []
        """The events that reported the end of that process, with their offsets."""
        self.began = False
        """Its first event is known."""
        self.opened = False
        """`session_started` has come: the session began then, even if its room had earlier events."""
        self.ended_by: int | None = None
        """The offset of the event that ended it; None while it is live."""
        self.spoke = False
        self.started_at: float | None = None
        self.updated_at: float | None = None
        self.ended_at: float | None = None
        self.agent_state: str | None = None
        self.user_state: str | None = None
        self.agent_speaking = self.user_speaking = False
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self._samples = Samples(timed=timed)
        self.waits = Waits()
        self.utterances = Utterances()
        self.turns = Turns(self.utterances, self._samples, self.waits, TURNS if whole else 0)
        self.items = Items(self.utterances) if whole else None

    @property
    def id(self) -> str:
        """The session's id in the API: its name, or one made of its room's."""
        return self.session or (f"{ROOM}{self.room}" if self.room is not None else NOWHERE)

    @property
    def ended(self) -> bool:
        return self.ended_by is not None

    @property
    def usage(self) -> list[Any]:
        """What its models were used for, by model, under LiveKit's names."""
        return self.turns.spending.totals()

    @property
    def samples(self) -> Samples:
        return self._samples

    def take(self, event: Event, offset: int) -> None:
        """Take one event of this session, at `offset` of the history."""
        if not self.first:
            self.first = offset
            self.began = event["type"] == "session_started"
        self.last = self.touched = offset
        self.nameless = self.nameless or name(event, "session") is None
        self.roomless = self.roomless or name(event, "room") is None
        at = stamp(event)
        if at is not None:
            if self.started_at is None or (at < self.started_at and not self.opened):
                self.started_at = at
            if self.updated_at is None or at > self.updated_at:
                self.updated_at = at
        self.counts["events"] += 1
        handler = _HANDLERS.get(event["type"])
        if handler is not None:
            handler(self, event)
        resolved = self.utterances.take(event)
        self.newest_utterance = resolved.utterance.number if resolved is not None else None
        if resolved is not None and resolved.closes and event["type"] == "transcript" and event.get("text"):
            self._said(resolved.utterance)
        self.turns.take(event, resolved)
        if self.items is not None:
            self.items.take(event, resolved)

    def settle(self) -> None:
        """The session is over: nothing is still going on."""
        self.agent_state = self.user_state = None
        self.agent_speaking = self.user_speaking = False
        settled = self.utterances.settle()
        self.turns.settle(settled)
        if self.items is not None:
            self.items.settle_utterances(settled)
            self.items.settle()

    def _reset(self) -> None:
        """From now on, the name of an utterance means a new one."""
        self.utterances.reset()
        self.turns.reset()
        if self.items is not None:
            self.items.reset()

    def summary(self) -> dict[str, Any]:
        """States, counts, durations and latencies. Whoever reads the history adds the ids of its events."""
        end = self.ended_at if self.ended and self.ended_at is not None else self.updated_at
        lasted = None if end is None or self.started_at is None or end < self.started_at else end - self.started_at
        return {
            "id": self.id,
            "room": self.room,
            "session": self.session,
            "agent": self.agent,
            "version": self.version,
            "tags": list(self.tags),
            "notes": self.notes,
            "mode": self.mode,
            "job": self.job,
            "room_sid": self.room_sid,
            "told": "afterwards" if self.told else None,
            "status": "ended" if self.ended else "live",
            "reason": self.reason if self.ended else None,
            "state": {
                "agent": self.agent_state,
                "user": self.user_state,
                "agent_speaking": self.agent_speaking,
                "user_speaking": self.user_speaking,
            },
            "started": self.started_at,
            "updated": self.updated_at,
            "ended": self.ended_at if self.ended else None,
            "duration": lasted,
            "counts": {"turns": self.turns.count, **self.counts, "interruptions": self.turns.interruptions},
            "speech": {"user": self.turns.user_seconds, "agent": self.turns.agent_seconds},
            "latency": self._samples.summary(),
            "waits": self.waits.newest(),
            "slowest": self.waits.slowest(),
            "usage": self.usage,
            "recording": self.recording,
            "trace": self.trace,
        }

    def document(self) -> dict[str, Any]:
        """The summary, with all `turns`, the `conversation`, and the usage that is `unassigned` to turns."""
        document = self.parts()
        unassigned = Unassigned(document["usage"])
        turns = list(document["turns"])
        for turn in turns:
            unassigned.take(turn)
        conversation = list(document["conversation"])
        return {**document, "turns": turns, "unassigned": {"usage": unassigned.usage()}, "conversation": conversation}

    def parts(self) -> dict[str, Any]:
        """The same without `unassigned`, and with `turns` and `conversation` as iterators, so that other work can be done in
        between. The session must not change until they are exhausted."""
        if self.items is None:
            raise ValueError("only a session with whole=True keeps its turns and its conversation")
        return {
            **self.summary(),
            "turns": self.turns.documents(),
            "conversation": self.items.documents(),
            "annotations": self.annotations,
            "forgotten": {"turns": self.turns.forgotten, "items": self.items.forgotten},
        }

    # -- what events do ------------------------------------------------------------------------------------------------

    def _said(self, utterance: Utterance) -> None:
        """An utterance has got its final transcript. Each utterance counts once."""
        if isinstance(utterance, UserUtterance):
            self.counts["user_transcripts"] += utterance.finals == 1
        elif isinstance(utterance, AgentUtterance):
            self.counts["agent_transcripts"] += utterance.finals == 1 and utterance.heard

    def _speech(self, event: Event) -> None:
        """Words or speech: a room that was finished is in use again."""
        self.spoke = True
        if self.session is None:
            self.ended_by = None
        if event["type"] == "user_speech_started":
            self.user_speaking = True

    def _user_finished(self, _: Event) -> None:
        self.user_speaking = False

    def _agent_started(self, _: Event) -> None:
        self.agent_speaking = True

    def _agent_finished(self, _: Event) -> None:
        self.agent_speaking = False

    def _agent_state(self, event: Event) -> None:
        self.agent_state = name(event, "new_state")

    def _user_state(self, event: Event) -> None:
        self.user_state = name(event, "new_state")

    def _count(self, event: Event) -> None:
        self.counts[_COUNTED[event["type"]]] += 1

    def _tool_finished(self, event: Event) -> None:
        self.counts["tool_errors"] += event.get("is_error") is True and event.get("correction") is not True

    def _dropped(self, event: Event) -> None:
        count = seconds(event.get("count"))
        self.counts["events_dropped"] += int(count or 0)

    def _usage(self, event: Event) -> None:
        self.turns.spending.report(event.get("model_usage"))

    def _recorded(self, event: Event) -> None:
        self.recording = {key: event[key] for key in ("duration", "channels", "started", "url") if key in event}

    def _traced(self, event: Event) -> None:
        self.trace = {key: event[key] for key in ("complete", "url") if key in event}

    def _annotated(self, event: Event) -> None:
        self.notes += 1
        tag = name(event, "tag")
        if tag is not None and event.get("removed") is True:
            self.tags.pop(tag, None)
        elif tag is not None and len(self.tags) < TAGS:
            self.tags[tag] = None
        if self.annotations is not None:
            fields = {key: event[key] for key in ("author", "text", "tag", "removed", "turn", "rating") if key in event}
            self.annotations.append({"at": stamp(event), **fields})
            if len(self.annotations) > ANNOTATIONS:
                del self.annotations[0]

    def _handoff(self, event: Event) -> None:
        self.counts["handoffs"] += 1
        self.agent = name(event, "new_agent") or self.agent

    def _started(self, event: Event) -> None:
        if self.ended or self.spoke:  # the same name again; else what came just before belongs to this beginning
            self.settle()
            self._reset()
        if not self.opened:
            self.opened, self.started_at = True, stamp(event) or self.started_at
        self.ended_by = self.ended_at = self.reason = None
        self.process = None
        self.agent = name(event, "agent") or self.agent
        self.version = name(event, "version") or self.version
        self.mode = name(event, "mode") or self.mode
        if event.get("primary") is not False:
            self.job = name(event, "job") or self.job
        self.room_sid = name(event, "room_sid") or self.room_sid
        self.told = event.get("told") is not None

    def _ended(self, event: Event) -> None:
        self.settle()
        self._reset()
        self.ended_by = self.ended_by or self.last
        self.ended_at = stamp(event)
        self.reason = name(event, "reason")

    def _room_finished(self, event: Event) -> None:
        self.room_finished(event, self.last)

    def room_finished(self, event: Event, offset: int) -> None:
        """LiveKit closed the room, with the event at `offset`: all of its sessions are over."""
        self._lost(event, offset, "room_finished")

    def _ready(self, event: Event) -> None:
        self.process = name(event, "agent_id") or self.process

    def process_exited(self, event: Event, offset: int) -> None:
        """The agent's process is gone, and with it everything that was going on. `offset`: of that event."""
        self.process = None
        self._lost(event, offset, "agent_process_exited")

    def _lost(self, event: Event, offset: int, reason: str) -> None:
        self.settle()
        if not self.ended:
            self.ended_by, self.ended_at, self.reason = offset, stamp(event), reason


COUNTS = (
    "events", "user_transcripts", "agent_transcripts", "tool_calls", "tool_errors", "false_interruptions", "handoffs",
    "errors", "events_dropped",
)  # fmt: skip
_COUNTED = {
    "tool_call_started": "tool_calls",
    "agent_error": "errors",
    "agent_false_interruption": "false_interruptions",
}
_HANDLERS: dict[str, Callable[[Session, Event], None]] = {
    "transcript": Session._speech,
    "agent_text_delta": Session._speech,
    "agent_text_complete": Session._speech,
    "agent_text_unsaid": Session._speech,
    "user_speech_started": Session._speech,
    "user_speech_finished": Session._user_finished,
    "agent_speech_started": Session._agent_started,
    "agent_speech_finished": Session._agent_finished,
    "agent_state_changed": Session._agent_state,
    "user_state_changed": Session._user_state,
    "tool_call_started": Session._count,
    "tool_call_finished": Session._tool_finished,
    "agent_error": Session._count,
    "agent_ready": Session._ready,
    "agent_false_interruption": Session._count,
    "events_dropped": Session._dropped,
    "usage_updated": Session._usage,
    "agent_handoff": Session._handoff,
    "recording_available": Session._recorded,
    "trace_available": Session._traced,
    "annotation": Session._annotated,
    "session_started": Session._started,
    "session_ended": Session._ended,
    "livekit_room_finished": Session._room_finished,
}
