"""What the requests of one connection look like on the hub: a conversation of a user and an agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from event_hub.websocket_protocols.llm import ChatRequest, ToolCall

from ..reporting import ReportedSession
from .scripted import text_of

CALLS = 64
"""Tool calls that are remembered until their results come."""


class Reports:
    """Publishes what is new in each request: messages that were sent before are not published again.

    `begin` makes the session; it is called at the first request that is to be reported.
    """

    def __init__(self, begin: Callable[[], ReportedSession]) -> None:
        self._begin = begin
        self._session: ReportedSession | None = None
        self._calls: dict[str, str] = {}
        self._count = 0

    def request(self, request: ChatRequest) -> Report | None:
        """Publish the request; returns where its answer is reported. None if it is not to be published."""
        if not request.report:
            return None
        if self._session is None:
            self._session = self._begin()
        self._count += 1
        self._asked(self._session, request.messages)
        return Report(self._session, f"reply_{self._count}", self._calls)

    def ended(self, reason: str) -> None:
        """The client has left, or the server stops."""
        if self._session is not None:
            self._session.ended(reason)

    def _asked(self, session: ReportedSession, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            name = self._calls.pop(str(message.get("tool_call_id")), None) if message["role"] == "tool" else None
            if name is not None:
                session.tool_finished(str(message["tool_call_id"]), name, text_of(message), False)
        if messages[-1]["role"] == "user":
            session.user_said(text_of(messages[-1]), f"question_{self._count}", typed=True)


class Report:
    """Where one answer is published."""

    def __init__(self, session: ReportedSession, utterance: str, calls: dict[str, str]) -> None:
        self._session, self._utterance, self._calls = session, utterance, calls

    def delta(self, text: str) -> None:
        self._session.agent_delta(text, self._utterance)

    def called(self, call: ToolCall) -> None:
        if len(self._calls) >= CALLS:
            self._calls.pop(next(iter(self._calls)))
        self._calls[call.id] = call.name
        self._session.tool_started(call.id, call.name, _object(call.arguments))

    def complete(self, text: str, *, interrupted: bool) -> None:
        if text:
            self._session.agent_complete(text, self._utterance)
            self._session.agent_said(text, self._utterance, interrupted=interrupted)

    def failed(self, sentence: str, retryable: bool) -> None:
        self._session.error(sentence, "llm", retryable)


def _object(arguments: str) -> Any:
    """The arguments as an object; as text if the model wrote something else."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
