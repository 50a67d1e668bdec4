"""What happened in a run, in the wire format of the chat's `result`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from event_hub.websocket_protocols.chat import ChatMessage, FunctionCall, FunctionCallOutput, ResultEvent


def result_events(events: Iterable[Any]) -> tuple[ResultEvent, ...]:
    """The events of a RunResult: tool calls, their outputs and messages. Handovers are left out."""
    found: list[ResultEvent] = []
    for event in events:
        item = event.item
        if event.type == "function_call":
            found.append(FunctionCall(name=item.name, arguments=item.arguments))
        elif event.type == "function_call_output":
            found.append(FunctionCallOutput(output=item.output))
        elif event.type == "message":
            found.append(ChatMessage(role=item.role, content=item.text_content or ""))
    return tuple(found)
