"""`attach(session)`: report what an AgentSession hears, says and does to a hub."""

from __future__ import annotations

import logging
import os
import time
import uuid
import weakref
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeAlias

from livekit import rtc
from livekit.agents import AgentSession, get_job_context

from ..client import Publisher
from ..client.redacting import Redacting
from ..events import check
from . import process, truncation
from .conversation import Conversation, Method, Record
from .guarded import handler
from .job_context import about_job, current_speech, deliver_before_the_end, identity, mode, room_io_of
from .job_publisher import publisher_for
from .recording_upload import upload_at_the_end
from .taps import Taps, agent_of
from .translator import Translator

logger = logging.getLogger("event_hub.livekit")

_About: TypeAlias = tuple[Conversation, dict[str, str]]
"""One start of the session, and the fields of all of its events."""

_AGENT_LOOK, _USER_LOOK = frozenset({"initializing", "idle", "listening", "speaking"}), frozenset({"speaking"})
"""New states in which outputs and participants may have changed. Before a reply, `speech_created` looks."""
_LONG = ("delta", "text", "generated")
"""Fields that may be longer than a hub accepts."""


def attach(
    session: AgentSession[Any],
    *,
    publisher: Publisher | None = None,
    room: str | None = None,
    participant: str | None = None,
    session_id: str | None = None,
    version: str | None = None,
    text: Literal["transcription", "llm"] = "transcription",
    instructions: bool = False,
    redact: str | None = None,
) -> Attachment:
    """Report everything that `session` hears, says and does to the hub at HUB_URL. Returns an object with `detach()`.

    Call it at any time, preferably before `session.start`. The session works as before: nothing is replaced, nothing
    waits for the hub, and nothing here raises into the voice loop. While the hub is unreachable, events are queued (see
    `Publisher` for the limits) and sent later.

    `publisher`: by default, one shared by all sessions of the process or, without HUB_KEY, of the job: it publishes with
    the job's LiveKit token. `room`, `participant` (the user's identity) and `session_id`: by default, taken from the job
    and the room, and a new id for each start. `version`: of the agent, such as a commit: sessions can be compared by it; by
    default, AGENT_VERSION. `text`: where the agent's streaming text is read: `transcription`, as the
    session outputs it, or `llm`, raw, as the model writes it, including text that is never said; the events say which in
    `source`. `instructions`: report the text of the agents' instructions too, not only that they changed. `redact`: what
    to replace before anything leaves this process, such as `"email,phone:DE|US,card"`: by default, what the publisher
    replaces (AGENT_REDACT).

    If the session is attached already, returns that attachment. Raises TypeError if `session` is not an AgentSession,
    ValueError if a room, participant, id, version, text source or `redact` is invalid.
    """
    if not isinstance(session, AgentSession):
        raise TypeError(f"attach takes an AgentSession, not {type(session).__name__}: attach(session)")
    if text not in ("transcription", "llm"):
        raise ValueError(f"text is 'transcription' or 'llm', not {text!r}")
    about = {"room": room, "participant": participant, "session": session_id, "version": version}
    check({"type": "session_started", **{name: value for name, value in about.items() if value is not None}})
    last = _attachments.get(session)
    known = last() if last else None
    if known is not None:
        logger.warning("The session is attached already: its events go to %s once.", known.hub)
        return known
    redacting = Redacting(redact) if redact else None
    attachment = Attachment(session, publisher, room, participant, session_id, version, text, instructions, redacting)
    _attachments[session] = weakref.ref(attachment)
    return attachment


_attachments: weakref.WeakKeyDictionary[AgentSession[Any], weakref.ref[Attachment]] = weakref.WeakKeyDictionary()
"""Sessions and their attachments, which the sessions' handlers keep alive."""


class Attachment:
    """The connection between one AgentSession and the hub."""

    def __init__(
        self,
        session: AgentSession[Any],
        publisher: Publisher | None,
        room: str | None,
        participant: str | None,
        session_id: str | None,
        version: str | None,
        text: Literal["transcription", "llm"],
        instructions: bool,
        redacting: Redacting | None,
    ) -> None:
        self.publisher: Publisher | None = None
        """None if HUB_URL or HUB_KEY is invalid; the log says so."""
        self._session = weakref.ref(session)
        self._room, self._fixed_id = room, session_id
        self._participant = participant
        self._version = version or os.environ.get("AGENT_VERSION", "")[:256] or None
        self._instructions = instructions
        self._redacting = redacting
        self._failures: set[str] = set()
        self._taps = Taps(text, self._record_said, self.failed)
        self._attached = True
        self._dtmf: rtc.Room | None = None
        self._new_session()
        try:
            self.publisher = publisher or publisher_for(get_job_context(required=False), room)
        except ValueError as error:
            logger.error("The session is not reported to a hub: %s", error)
        methods: dict[str, Callable[[Any], None]] = {
            "user_transcription_timeout": lambda ev: self._translator.user_transcription_timeout(ev),
            "conversation_item_added": self._on_conversation_item_added,
            "speech_created": self._on_speech_created,
            "tool_execution_updated": lambda ev: self._translator.tool_execution_updated(ev),
            "function_tools_executed": lambda ev: self._translator.function_tools_executed(ev),
            "metrics_collected": lambda ev: self._translator.metrics_collected(ev),
            "session_usage_updated": lambda ev: self._translator.session_usage_updated(ev),
            "agent_false_interruption": lambda ev: self._translator.agent_false_interruption(ev),
            "overlapping_speech": lambda ev: self._translator.overlapping_speech(ev),
            "error": lambda ev: self._translator.error(ev),
            "close": self._on_close,
        }
        self._handlers = {
            "agent_state_changed": self._recorder("agent_state_changed", Conversation.agent_state, _AGENT_LOOK),
            "user_state_changed": self._recorder("user_state_changed", Conversation.user_state, _USER_LOOK),
            "user_input_transcribed": self._recorder("user_input_transcribed", Conversation.user_transcribed),
            **{name: handler(method, self.failed, name) for name, method in methods.items()},
        }
        self._dtmf_handler = handler(
            lambda ev: self._translator.sip_dtmf_received(ev), self.failed, "sip_dtmf_received"
        )
        if self.publisher is not None:
            self.publisher.start()  # here rather than at the first event: starting a thread takes milliseconds
            for name, handle in self._handlers.items():
                # `session.on("metrics_collected")` warns that usage and latencies have better sources. They do; the metrics
                # of single requests have no other.
                rtc.EventEmitter[str].on(session, name, handle)  # type: ignore[arg-type]
            if job := get_job_context(required=False):
                upload_at_the_end(job, session, self.publisher)
                deliver_before_the_end(job, self.publisher, shared=publisher is None)
            if session.agent_state != "initializing":
                handler(self._begin, self.failed)(session)

    @property
    def session(self) -> str:
        """The session id in the events: of the current start of the session, or of the last one."""
        return self._id

    @property
    def hub(self) -> str:
        """The hub's address."""
        return self.publisher.url if self.publisher else "nowhere"

    def detach(self) -> None:
        """End the session on the hub and report nothing more; the AgentSession goes on as before `attach`. A second call
        does nothing."""
        if not self._attached:
            return
        if self._begun:
            handler(self._translator.end, self.failed, "detach")("detached")
        self._attached = False
        self._listen_to_dtmf(None)
        session = self._session()
        if session is None:
            return
        _attachments.pop(session, None)
        if self.publisher is not None:
            for name, handle in self._handlers.items():
                session.off(name, handle)  # type: ignore[arg-type]  # a Literal
        self._taps.remove(session)

    def failed(self, where: str, error: Exception) -> None:
        """Log a failure in this module or its helpers, once for each kind."""
        kind = f"{where}: {type(error).__name__}"
        if kind not in self._failures:
            self._failures.add(kind)
            logger.warning("An event of the session could not be reported (%s).", kind, exc_info=error)

    # -- the session's events ------------------------------------------------------------------------------------------

    def _recorder(self, name: str, method: Method, look: Collection[str] = ()) -> Callable[..., None]:
        """A handler for a frequent event, with no further calls than necessary: it records the event's fields, after a
        `_refresh` if the new state is one of `look`."""

        def record(ev: Any) -> None:
            fields = ev.__dict__.copy()
            if look and (not self._begun or fields["new_state"] in look):
                self._refresh()
            publisher = self.publisher
            if publisher is not None and self._begun and self._attached:
                publisher.put_later((method, time.time(), None, fields), self, self._about)
                if not self._ready and fields.get("new_state") == "listening" and name == "agent_state_changed":
                    self._report_ready()

        return handler(record, self.failed, name)

    def _on_conversation_item_added(self, ev: Any) -> None:
        if ev.item.type == "agent_handoff":
            self._refresh()
        self._translator.conversation_item_added(ev)

    def _on_speech_created(self, ev: Any) -> None:
        self._refresh()
        self._translator.speech_created(ev)

    def _on_close(self, ev: Any) -> None:
        self._translator.end(str(getattr(ev.reason, "value", ev.reason)), ev.error)
        self._begun, self._over = False, True  # it may be started again, perhaps on another loop
        self._listen_to_dtmf(None)
        if session := self._session():
            self._taps.remove(session)

    def _refresh(self) -> None:
        """Check what LiveKit has no events for."""
        session = self._session()
        if session is None or not self._attached:
            return
        if self._begun:
            self._refresh_taps(session)
        else:
            self._begin(session)
        self._translator.config()

    def _refresh_taps(self, session: AgentSession[Any]) -> None:
        """Find the session's outputs, room and participants: they appear when it starts, and may be replaced later."""
        try:
            self._taps.refresh(session, self._translator)
            self._find_common(session)
        except Exception as error:  # an output that is not LiveKit's own; the event itself is reported all the same
            self.failed("refresh_taps", error)

    # -- our events ----------------------------------------------------------------------------------------------------

    def _new_session(self) -> None:
        self._id = self._fixed_id or f"AS_{uuid.uuid4().hex[:12]}"
        self._translator = Translator(
            self._session, self._publish, self._record, self._record_said, self.failed, self._instructions
        )
        self._ready = self._begun = self._over = False
        self._about: _About = (self._translator.conversation, {"session": self._id})
        """Replaced, never changed: events that wait for the publisher's thread refer to it."""

    def _begin(self, session: AgentSession[Any]) -> None:
        if self._over:
            self._new_session()
        self._begun = True
        self._translator.begin()
        self._refresh_taps(session)
        agent = agent_of(session)
        job = get_job_context(required=False)
        self._translator.emit_known(
            {
                "type": "session_started",
                "mode": mode(session),
                "agent": agent.label if agent else None,
                "version": self._version,
                **(about_job(job, session) if job else {}),
            }
        )
        if session.agent_state not in ("initializing", "idle"):
            self._report_ready()

    def _report_ready(self) -> None:
        self._ready = True
        room = self._about[1].get("room")
        message = f"The agent is in room {room} and listening." if room else "The agent is listening."
        self._translator.emit_known({"type": "agent_ready", "message": message, "agent_id": process.agent_id()})

    def _publish(self, event: dict[str, Any]) -> None:
        publisher = self.publisher
        if publisher is not None and self._attached and self._begun:
            if "timestamp" not in event:
                event["timestamp"] = time.time()
            publisher.put_later(event, self, self._about)

    def _record(self, method: Method, *arguments: Any) -> None:
        publisher = self.publisher
        if publisher is not None and self._begun and self._attached:
            publisher.put_later((method, time.time(), None, *arguments), self, self._about)

    def _record_said(self, method: Method, *arguments: Any) -> None:
        """Record something about the speech that is being said."""
        publisher = self.publisher
        if publisher is not None and self._begun and self._attached:
            publisher.put_later((method, time.time(), current_speech(self._session()), *arguments), self, self._about)

    def complete(self, what: dict[str, Any] | Record, about: _About) -> list[dict[str, Any]]:
        """The events to publish for an event, or a record. The publisher calls this in its own thread. `about`: what was
        known at the time."""
        conversation, common = about
        events = [what] if isinstance(what, dict) else conversation.apply(what)
        for event in events:
            self._add_common(event, common)
        if self._redacting is not None:
            events = [redacted for event in events for redacted in self._redacting.apply(event)]
        for event in events:  # shortened last: that may cut a number in half
            for name in _LONG:
                text = event.get(name)
                if text is not None and len(text) > truncation.SURELY_SHORT:
                    truncation.shorten(event, name)
        return events

    @staticmethod
    def _add_common(event: dict[str, Any], common: dict[str, str]) -> None:
        event["session"] = common["session"]
        room = common.get("room")
        if room is not None:
            event["room"] = room
        role = event.get("role")
        if role is not None and "participant" not in event:
            participant = common.get(role)
            if participant is not None:
                event["participant"] = participant

    def _find_common(self, session: AgentSession[Any]) -> None:
        """Room and participants, once they are known: the caller may join after the agent, and may change."""
        conversation, known = self._about
        common = {}
        room_io = room_io_of(session)
        if "room" not in known or "agent" not in known:
            job = get_job_context(required=False)
            room = room_io.room if room_io else job.room if job else None
            name = self._room or (room.name if room is not None else None) or (job.job.room.name if job else None)
            if name:
                common["room"] = name
            if agent := identity(job, room):
                common["agent"] = agent
        if room_io is not None:
            self._listen_to_dtmf(room_io.room)
        linked = room_io.linked_participant if room_io else None
        if user := self._participant or (linked.identity if linked else None):
            common["user"] = user
        if any(known.get(name) != value for name, value in common.items()):
            self._about = (conversation, {**known, **common})

    def _listen_to_dtmf(self, room: rtc.Room | None) -> None:
        if room is self._dtmf:
            return
        if self._dtmf is not None:
            self._dtmf.off("sip_dtmf_received", self._dtmf_handler)
        if room is not None:
            room.on("sip_dtmf_received", self._dtmf_handler)
        self._dtmf = room
