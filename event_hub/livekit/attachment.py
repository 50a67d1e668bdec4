"""`attach(session)`: everything that an AgentSession hears, says and does becomes events of ours."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
import weakref
from collections.abc import Callable
from typing import Any, Literal

from livekit.agents import AgentSession, get_job_context

from ..client import Publisher
from ..events import check
from . import figures, process
from .agent_speech import AgentSpeech
from .places import identity, mode, room_io_of
from .quietly import handler
from .taps import Taps, agent_of
from .user_speech import UserSpeech

logger = logging.getLogger("event_hub.livekit")

_LONG = ("delta", "text")
"""Fields that may be longer than a hub takes."""
_SETTLE = 0.5
"""Seconds after a reply in which its conversation item may still come; realtime models are the slowest with it."""


def attach(
    session: AgentSession[Any],
    *,
    publisher: Publisher | None = None,
    room: str | None = None,
    participant: str | None = None,
    session_id: str | None = None,
    text: Literal["transcription", "llm"] = "transcription",
) -> Attachment:
    """Report all that `session` hears, says and does to the hub at HUB_URL. Returns what `detach()` is called on.

    Call it at any time, best before `session.start`. The session works as it did: nothing is replaced, nothing waits
    for the hub, and nothing here raises into the voice loop. With the hub away, up to `Publisher`'s bounds are kept and
    sent when it is back.

    `publisher`: default the one that all sessions of this process share. `room`, `participant` (the user's identity)
    and `session_id`: default what the job and the room know, and a new id for each start. `text`: where the agent's
    streaming text is read: `transcription` as the session gives it out, `llm` raw, as the model writes it (also what is
    never said); events say which in `source`.

    A session that is attached already stays as it is: its attachment is returned. Raises TypeError for what is no
    AgentSession, ValueError for a room, participant, id or source of text that cannot be one.
    """
    if not isinstance(session, AgentSession):
        raise TypeError(f"attach takes an AgentSession, not {type(session).__name__}: attach(session)")
    if text not in ("transcription", "llm"):
        raise ValueError(f"text is 'transcription' or 'llm', not {text!r}")
    about = {"room": room, "participant": participant, "session": session_id}
    check({"type": "session_started", **{name: value for name, value in about.items() if value is not None}})
    last = _attachments.get(session)
    known = last() if last else None
    if known is not None:
        logger.warning("The session is attached already: its events go to %s once.", known.hub)
        return known
    attachment = Attachment(session, publisher, room, participant, session_id, text)
    _attachments[session] = weakref.ref(attachment)
    return attachment


_attachments: weakref.WeakKeyDictionary[AgentSession[Any], weakref.ref[Attachment]] = weakref.WeakKeyDictionary()
"""Sessions and what they are attached with; it is the session's handlers that keep that."""


class Attachment:
    """The tie between one AgentSession and the hub."""

    def __init__(
        self,
        session: AgentSession[Any],
        publisher: Publisher | None,
        room: str | None,
        participant: str | None,
        session_id: str | None,
        text: Literal["transcription", "llm"],
    ) -> None:
        self.publisher: Publisher | None = None
        """None: HUB_URL or HUB_KEY cannot be used, which the log says."""
        self._session = weakref.ref(session)
        self._room, self._fixed_id = room, session_id
        self._participant = participant
        self._failures: set[str] = set()
        self._taps = Taps(text, self.failed)
        self._timer: asyncio.TimerHandle | None = None
        self._attached = True
        self._usage: list[dict[str, Any]] = []
        self._ready = self._begun = self._over = False
        self._id = ""
        self._new_session()
        try:
            self.publisher = publisher or process.publisher()
        except ValueError as error:
            logger.error("The session is not reported to a hub: %s", error)
        methods: dict[str, Callable[[Any], None]] = {
            "agent_state_changed": self._on_agent_state,
            "user_state_changed": self._on_user_state,
            "user_input_transcribed": self._on_transcribed,
            "conversation_item_added": self._on_item,
            "speech_created": self._on_speech,
            "tool_execution_updated": self._on_tool,
            "session_usage_updated": self._on_usage,
            "agent_false_interruption": self._on_false_interruption,
            "error": self._on_error,
            "close": self._on_close,
        }
        self._handlers = {name: handler(method, self.failed) for name, method in methods.items()}
        if self.publisher is not None:
            for name, one in self._handlers.items():
                session.on(name, one)  # type: ignore[arg-type]  # a Literal
            if session.agent_state != "initializing":
                handler(self._begin, self.failed)(session)

    @property
    def session(self) -> str:
        """The id that the events carry: of this start of the session, or of the last one until the next."""
        return self._id

    @property
    def hub(self) -> str:
        """The hub's address."""
        return self.publisher.url if self.publisher else "nowhere"

    def detach(self) -> None:
        """Report nothing more, and leave the session as it was. A second call is harmless."""
        session = self._session()
        if not self._attached:
            return
        self._attached = False
        self._cancel_timer()
        if session is None:
            return
        _attachments.pop(session, None)
        if self.publisher is not None:
            for name, one in self._handlers.items():
                session.off(name, one)  # type: ignore[arg-type]
        self._taps.remove(session)

    def failed(self, where: str, error: Exception) -> None:
        """Something here has failed: it is logged, once for each kind."""
        kind = f"{where}: {type(error).__name__}"
        if kind not in self._failures:
            self._failures.add(kind)
            logger.warning("An event of the session could not be reported (%s).", kind, exc_info=error)

    # -- the session's events ------------------------------------------------------------------------------------------

    def _on_agent_state(self, ev: Any) -> None:
        self._look()
        self._publish(
            {
                "type": "agent_state_changed",
                "role": "agent",
                "old_state": ev.old_state,
                "new_state": ev.new_state,
                "timestamp": ev.created_at,
            }
        )
        if ev.new_state == "listening" and not self._ready:
            self._say_ready()
        if ev.new_state != "speaking":
            self._agent.rested(ev.created_at)
            self._settle_soon()

    def _on_user_state(self, ev: Any) -> None:
        self._look()
        self._publish(
            {
                "type": "user_state_changed",
                "role": "user",
                "old_state": ev.old_state,
                "new_state": ev.new_state,
                "timestamp": ev.created_at,
            }
        )
        self._user.state(ev.new_state, ev.created_at)

    def _on_transcribed(self, ev: Any) -> None:
        self._user.transcribed(
            ev.transcript,
            ev.is_final,
            ev.created_at,
            language=None if ev.language is None else str(ev.language),
            speaker_id=ev.speaker_id,
        )

    def _on_item(self, ev: Any) -> None:
        item = ev.item
        if item.type == "agent_handoff":
            self._look()
            if item.old_agent_id is not None:
                self._publish({"type": "agent_handoff", "old_agent": item.old_agent_id, "new_agent": item.new_agent_id})
        elif item.type == "message" and item.role in ("assistant", "user"):
            text = item.text_content or ""
            agent = item.role == "assistant"
            utterance = (
                self._agent.item(text, bool(item.interrupted), time.time())
                if agent
                else self._user.item(text, item.transcript_confidence is not None, ev.created_at)
            )
            if found := figures.latencies(item.metrics):
                role = "agent" if agent else "user"
                self._publish_known({"type": "turn_metrics", "role": role, "utterance": utterance, **found})

    def _on_speech(self, _: Any) -> None:
        self._look()

    def _on_tool(self, ev: Any) -> None:
        update = ev.update
        if update.type == "tool_call_started":
            call = update.function_call
            self._tools[call.call_id] = (call.name, ev.created_at)
            self._publish_known(
                {
                    "type": "tool_call_started",
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": figures.arguments(call.arguments),
                    "timestamp": ev.created_at,
                }
            )
        elif update.type == "tool_call_ended":
            name, began = self._tools.pop(update.call_id, (None, None))
            self._publish_known(
                {
                    "type": "tool_call_finished",
                    "call_id": update.call_id,
                    "name": name,
                    "status": update.status,
                    "is_error": update.status == "error",
                    # an error's text may hold anything, and the model never sees it
                    "output": figures.clipped(update.message) if update.status == "done" else None,
                    "duration": None if began is None else max(0.0, ev.created_at - began),
                    "timestamp": ev.created_at,
                }
            )
        elif update.type == "tool_call_updated":
            self._publish(
                {"type": "tool_call_updated", "call_id": update.call_id, "message": figures.clipped(update.message)}
            )

    def _on_usage(self, ev: Any) -> None:
        models = figures.usage(ev.usage.model_usage)
        if models and models != self._usage:
            self._usage = models
            self._publish({"type": "usage_updated", "model_usage": models})

    def _on_false_interruption(self, ev: Any) -> None:
        self._publish({"type": "agent_false_interruption", "resumed": ev.resumed})

    def _on_error(self, ev: Any) -> None:
        self._publish(figures.error(ev.error, ev.source))

    def _on_close(self, ev: Any) -> None:
        self._user.close(time.time())
        self._agent.settle(all=True, now=time.time())
        self._publish({"type": "session_ended", "reason": str(getattr(ev.reason, "value", ev.reason))})
        self._cancel_timer()
        self._begun, self._over = False, True  # it may be started again, perhaps on another loop
        if session := self._session():
            self._taps.remove(session)

    def _look(self) -> None:
        """Find the session's outputs: they come and change when it starts, and later as its owner likes."""
        session = self._session()
        if session is None or not self._attached:
            return
        if not self._begun:
            self._begin(session)
            return
        try:
            self._taps.look(session, self._agent)
            self._find_common(session)
        except Exception as error:  # an output of somebody else's; what has happened is told all the same
            self.failed("look", error)

    def _settle_soon(self) -> None:
        if self._agent.unsettled and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SETTLE, handler(self._settle, self.failed))

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer:
            timer.cancel()

    def _settle(self) -> None:
        self._timer = None
        self._agent.settle()

    # -- our events ----------------------------------------------------------------------------------------------------

    def _new_session(self) -> None:
        self._id = self._fixed_id or f"AS_{uuid.uuid4().hex[:12]}"
        self._agent = AgentSpeech(self._publish, self._name)
        self._user = UserSpeech(self._publish, self._name)
        self._tools: dict[str, tuple[str, float]] = {}
        self._usage = []
        self._ready = self._begun = self._over = False
        self._names = itertools.count(1)
        self._tag = uuid.uuid4().hex[:6]
        self._common: dict[str, Any] = {}

    def _name(self) -> str:
        return f"{self._tag}.{next(self._names)}"

    def _begin(self, session: AgentSession[Any]) -> None:
        if self._over:
            self._new_session()
        self._begun = True
        self._look()
        agent = agent_of(session)
        job = get_job_context(required=False)
        self._publish_known(
            {
                "type": "session_started",
                "mode": mode(session),
                "agent": agent.label if agent else None,
                "job": job.job.id if job else None,
            }
        )
        if session.agent_state not in ("initializing", "idle"):
            self._say_ready()

    def _where(self) -> str:
        room = self._common.get("room")
        return f"The agent is in room {room} and listening." if room else "The agent is listening."

    def _say_ready(self) -> None:
        self._ready = True
        self._publish_known({"type": "agent_ready", "message": self._where(), "agent_id": process.agent_id()})

    def _publish_known(self, event: dict[str, Any]) -> None:
        """Without the fields that are not known."""
        self._publish({name: value for name, value in event.items() if value is not None})

    def _publish(self, event: dict[str, Any]) -> None:
        publisher, common = self.publisher, self._common
        if publisher is None or not self._attached or not self._begun:
            return
        event["session"] = self._id
        room = common.get("room")
        if room is not None:
            event["room"] = room
        role = event.get("role")
        if role is not None:
            participant = common.get(role)
            if participant is not None:
                event["participant"] = participant
        for name in _LONG:
            text = event.get(name)
            if text is not None and len(text) > figures.SURELY_SHORT:
                figures.shorten(event, name)
        publisher.put(event)

    def _find_common(self, session: AgentSession[Any]) -> None:
        """Room and participants, as soon as they are known: the caller may come after the agent, and be another later."""
        common = self._common
        room_io = room_io_of(session)
        if "room" not in common or "agent" not in common:
            job = get_job_context(required=False)
            room = room_io.room if room_io else job.room if job else None
            name = self._room or (room.name if room is not None else None) or (job.job.room.name if job else None)
            if name:
                common["room"] = name
            if agent := identity(job, room):
                common["agent"] = agent
        linked = room_io.linked_participant if room_io else None
        if user := self._participant or (linked.identity if linked else None):
            common["user"] = user
