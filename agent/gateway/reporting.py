"""Reports a conversation that has no AgentSession to the hub. Never waits for the hub and never raises."""

from __future__ import annotations

import logging
from typing import Any

from event_hub.client import Publisher

logger = logging.getLogger("agent.gateway")

_HEARD = 50
"""Utterances of the user that are remembered until the agent replies."""


class SharedSession:
    """What several connections to one session have in common: a microphone and the replies, for example."""

    def __init__(self) -> None:
        self.active: set[ReportedSession] = set()
        """Those that have begun and not ended."""
        self.heard: list[str] = []
        """What the user has said since the agent's last reply."""


class ReportedSession:
    """One conversation as the hub shows it: a session with a user and an agent. Without a publisher nothing is reported.

    `shared`: with other parts of the same session. It begins with the first of them and ends with the last.
    """

    def __init__(
        self,
        publisher: Publisher | None,
        *,
        session: str,
        room: str,
        participant: str,
        mode: str,
        shared: SharedSession | None = None,
        job: str | None = None,
    ) -> None:
        """`job`: the name under which the hub gets its recording."""
        self._publisher = publisher
        self._mode, self._participant, self._job = mode, participant, job
        self._common = {"session": session[:256], "room": room}
        self._offsets: dict[str, int] = {}
        self._shared = shared or SharedSession()

    def started(self, agent: str | None = None) -> None:
        """The conversation begins. Every other method begins it too if this was not called."""
        active = self._shared.active
        if self in active:
            return
        active.add(self)
        if len(active) == 1:
            self._put({"type": "session_started", "mode": self._mode, "agent": agent, "job": self._job})

    def ended(self, reason: str) -> None:
        """The conversation is over; what is reported later begins it again."""
        active = self._shared.active
        if self not in active:
            return
        active.remove(self)
        self._offsets.clear()
        if not active:
            self._shared.heard.clear()
            self._put({"type": "session_ended", "reason": reason})

    def user_speech(self, started: bool, utterance: str | None = None) -> None:
        """The user begins or stops to speak."""
        self._event("user_speech_started" if started else "user_speech_finished", "user", utterance)

    def user_interim(self, text: str, utterance: str) -> None:
        """What was understood so far."""
        self._event("transcript", "user", utterance, text=text, final=False)

    def user_said(self, text: str, utterance: str, *, typed: bool = False) -> None:
        """What the user said, or wrote if `typed`. What was heard and is then sent as text is reported once."""
        heard = self._shared.heard
        if typed and heard and _words(text) in (_words(heard[-1]), _words(" ".join(heard))):
            heard.clear()
            return
        if typed:
            heard.clear()
        else:
            heard.append(text)
            del heard[:-_HEARD]
        self._event("transcript", "user", utterance, text=text, final=True, typed=typed or None)

    def agent_delta(self, delta: str, utterance: str) -> None:
        """A piece of the reply, as the LLM writes it."""
        offset = self._offsets.get(utterance, 0)
        if len(self._offsets) > 64:
            self._offsets.clear()
        self._offsets[utterance] = offset + len(delta)
        self._event("agent_text_delta", "agent", utterance, delta=delta, offset=offset)

    def agent_complete(self, text: str, utterance: str) -> None:
        """The whole reply, as the LLM wrote it."""
        self._offsets.pop(utterance, None)
        self._event("agent_text_complete", "agent", utterance, text=text)

    def agent_said(self, text: str, utterance: str, interrupted: bool = False) -> None:
        """What the client got of the reply."""
        self._event("transcript", "agent", utterance, text=text, final=True, interrupted=interrupted or None)

    def agent_speech(self, started: bool, utterance: str) -> None:
        """The client is sent speech, or has been sent all of it."""
        self._event("agent_speech_started" if started else "agent_speech_finished", "agent", utterance)

    def tool_started(self, call_id: str, name: str, arguments: Any) -> None:
        """The LLM calls a tool. `arguments`: an object."""
        self._event("tool_call_started", None, None, call_id=call_id, name=name, arguments=arguments)

    def tool_finished(self, call_id: str, name: str, output: Any, is_error: bool) -> None:
        """The tool has answered."""
        self._event("tool_call_finished", None, None, call_id=call_id, name=name, output=output, is_error=is_error)

    def error(self, message: str, source: str, recoverable: bool = True) -> None:
        """Something failed. `source`: stt, llm, tts or gateway."""
        self._event("agent_error", None, None, message=message, source=source, recoverable=recoverable)

    def custom(self, type: str, **fields: Any) -> None:
        """An event of the gateway's own."""
        self._event(type, None, None, **fields)

    def _event(self, type: str, role: str | None, utterance: str | None, **fields: Any) -> None:
        self.started()
        participant = self._participant if role == "user" else "gateway" if role == "agent" else None
        self._put({"type": type, "role": role, "participant": participant, "utterance": utterance, **fields})

    def _put(self, event: dict[str, Any]) -> None:
        if self._publisher is None:
            return
        try:
            known = {name: value for name, value in event.items() if value is not None}
            self._publisher.publish({**known, **self._common})
        except Exception as error:  # an event that the hub would refuse; the conversation goes on
            logger.warning("an event of the gateway could not be reported: %s", type(error).__name__)


def _words(text: str) -> list[str]:
    return text.casefold().split()
