"""One session: what is going on in it, what has, and how long it took. Pure: its events in, plain values out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .items import Items
from .latency import Samples
from .turns import Turns
from .values import Event, name, seconds, stamp, text

TURNS = 5_000
"""Turns of one session that are kept to be shown: the newest."""
ROOM = "room:"
"""How the id of a session begins that has no name but its room's."""
NOWHERE = "none"
"""The id of the session of all that names neither room nor session."""


class Session:
    """One session, as its events tell, in the order of their arrival; each is given to `take` once.

    room, session: what its events call it; None: they do not.
    whole: keep its turns and its conversation, for `document`; without, only `summary` is to be had, and it takes some
        14 KB while it goes on, 4 KB when it has ended.
    """

    __slots__ = (
        "_samples", "agent", "agent_speaking", "agent_state", "began", "counts", "ended", "ended_at", "exits",
        "first", "first_name", "items", "last", "mode", "nameless", "opened", "process", "reason", "room", "roomless",
        "session", "since", "spoke", "started_at", "touched", "turns", "until", "updated_at", "usage",
        "user_speaking", "user_state",
    )  # fmt: skip

    def __init__(self, room: str | None, session: str | None, *, whole: bool = False) -> None:
        self.room, self.session = room, session
        self.first = self.last = 0
        """Offsets of its first and newest event."""
        self.touched = 0
        """The offset of the newest event that changed it: its own, or the end of its room."""
        self.since = 0
        self.until: int | None = None
        """Offsets between which it was the newest session of its room: what names the room alone belongs to it."""
        self.nameless = self.roomless = False
        """Some of its events name no session; no room."""
        self.first_name = True
        """No other room had a session of this name before: what names this session and no room belongs to it."""
        self.agent: str | None = None
        self.mode: str | None = None
        self.reason: str | None = None
        self.process: str | None = None
        """The id of the agent process that runs it, where a hub has started that."""
        self.exits: list[tuple[int, Event]] = []
        """The events, with their offsets, that told of that process's end."""
        self.began = False
        """It was seen from its very beginning."""
        self.opened = False
        """`session_started` has come: the session began then, whatever else was told of its room before."""
        self.ended = False
        self.spoke = False
        self.started_at: float | None = None
        self.updated_at: float | None = None
        self.ended_at: float | None = None
        self.agent_state: str | None = None
        self.user_state: str | None = None
        self.agent_speaking = self.user_speaking = False
        self.usage: list[Any] = []
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self._samples = Samples()
        self.turns = Turns(self._samples, TURNS if whole else 0)
        self.items = Items() if whole else None

    @property
    def id(self) -> str:
        """How the API calls it: its name; without one, its room's."""
        return self.session or (f"{ROOM}{self.room}" if self.room is not None else NOWHERE)

    @property
    def samples(self) -> Samples:
        return self._samples

    def take(self, event: Event, offset: int) -> None:
        """One event of this session, at `offset` of the history."""
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
        self.turns.take(event)
        if self.items is not None:
            self.items.take(event)

    def settle(self) -> None:
        """Nothing of it is going on any more, as far as anybody knows."""
        self.agent_state = self.user_state = None
        self.agent_speaking = self.user_speaking = False
        if self.items is not None:
            self.items.settle()

    def summary(self) -> dict[str, Any]:
        """States, counts, durations and latencies; without the offsets, which the reader of the history knows as ids."""
        end = self.ended_at if self.ended and self.ended_at is not None else self.updated_at
        lasted = None if end is None or self.started_at is None or end < self.started_at else end - self.started_at
        return {
            "id": self.id,
            "room": self.room,
            "session": self.session,
            "agent": self.agent,
            "mode": self.mode,
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
            "usage": self.usage,
        }

    def document(self) -> dict[str, Any]:
        """All of it: the summary, with each turn in `turns`, and the conversation."""
        document = self.parts()
        return {**document, "turns": list(document["turns"]), "conversation": list(document["conversation"])}

    def parts(self) -> dict[str, Any]:
        """The same, with `turns` and `conversation` as iterators, for those who go on with other work in between; the
        session must stay as it is until they are through."""
        if self.items is None:
            raise ValueError("only a whole session has its turns and its conversation")
        return {
            **self.summary(),
            "turns": self.turns.documents(),
            "conversation": self.items.documents(),
            "forgotten": {"turns": self.turns.forgotten, "items": self.items.forgotten},
        }

    # -- what events do ------------------------------------------------------------------------------------------------

    def begun(self) -> None:
        """Somebody speaks: a room that had emptied is in use again."""
        self.spoke = True
        if self.session is None:
            self.ended = False

    def _transcript(self, event: Event) -> None:
        self.begun()
        if event.get("final") is False or not text(event, "text"):
            return
        self.counts["agent_transcripts" if self.turns.is_reply(event) else "user_transcripts"] += 1

    def _speech(self, event: Event) -> None:
        self.begun()
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
        self.counts["tool_errors"] += event.get("is_error") is True

    def _dropped(self, event: Event) -> None:
        count = seconds(event.get("count"))
        self.counts["events_dropped"] += int(count or 0)

    def _usage(self, event: Event) -> None:
        models = event.get("model_usage")
        self.usage = models if isinstance(models, list) else []

    def _handoff(self, event: Event) -> None:
        self.counts["handoffs"] += 1
        self.agent = name(event, "new_agent") or self.agent

    def _started(self, event: Event) -> None:
        if self.ended or self.spoke:  # the same name once more; else what came just before is of this beginning
            self.settle()
        if not self.opened:
            self.opened, self.started_at = True, stamp(event) or self.started_at
        self.ended, self.ended_at, self.reason = False, None, None
        self.process = None
        self.agent = name(event, "agent") or self.agent
        self.mode = name(event, "mode") or self.mode

    def _ended(self, event: Event) -> None:
        self.settle()
        self.ended, self.ended_at = True, stamp(event)
        self.reason = name(event, "reason")

    def room_finished(self, event: Event) -> None:
        """LiveKit has closed the room: whatever was going on in it is over, in each of its sessions."""
        self.settle()
        if not self.ended:
            self.ended, self.ended_at, self.reason = True, stamp(event), "room_finished"

    def _ready(self, event: Event) -> None:
        self.process = name(event, "agent_id") or self.process

    def process_exited(self, event: Event) -> None:
        """The agent's process is gone: whatever was going on is over, and nobody else says so."""
        self.settle()
        self.process = None
        if not self.ended:
            self.ended, self.ended_at, self.reason = True, stamp(event), "agent_process_exited"


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
    "transcript": Session._transcript,
    "agent_text_delta": Session._speech,
    "agent_text_complete": Session._speech,
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
    "session_started": Session._started,
    "session_ended": Session._ended,
    "livekit_room_finished": Session.room_finished,
}
