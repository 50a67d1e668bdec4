"""Tool calls: LiveKit's tool events in, ours out, with what the model was given. Pure.

LiveKit reports a tool's end twice. `tool_execution_updated` comes at once and has what the Python function returned;
`function_tools_executed` comes after the audio of that step and has what the model was given, including for calls to
functions that do not exist. For a tool that calls `ctx.update`, the latter has only the first update.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .truncation import arguments, clipped

Emit = Callable[[dict[str, Any]], object]

_REMEMBERED = 256


@dataclass(eq=False)
class _Call:
    name: str
    began: float | None = None
    updated: bool = False
    """The tool called `ctx.update`, so its final output comes later than its first."""
    finished: dict[str, Any] | None = None
    """The event that reported its end."""


class ToolCalls:
    """Turns what LiveKit reports about tool calls into events for `emit`, which leaves out fields that are None.

    `output_of` finds the `FunctionCallOutput` with this call id among the session's items, or None.
    """

    def __init__(self, emit: Emit, output_of: Callable[[str], Any]) -> None:
        self._emit = emit
        self._output_of = output_of
        self._calls: OrderedDict[str, _Call] = OrderedDict()

    def execution_updated(self, update: Any, at: float, speech: str | None = None) -> None:
        """A `tool_execution_updated` event; `speech`: the id of the SpeechHandle that it is part of, if known."""
        if update.type == "tool_call_started":
            self._started(update.function_call, at, speech)
        elif update.type == "tool_call_updated":
            self._call(update.call_id).updated = True
            self._emit(
                {
                    "type": "tool_call_updated",
                    "call_id": update.call_id,
                    "message": clipped(update.message),
                    "silent": update.silent or None,
                }
            )
        elif update.type == "tool_call_ended":
            self._ended(update, at)

    def executed(self, calls: Iterable[Any], outputs: Iterable[Any]) -> None:
        """A `function_tools_executed` event: report calls of unknown functions, and outputs that LiveKit changed."""
        for function_call, output in zip(calls, outputs, strict=False):
            call = self._calls.get(function_call.call_id)
            if call is None:
                self._started(function_call, function_call.created_at)
                self._finished(function_call.call_id, self._fields(output, raised=False))
                continue
            before = call.finished
            if before is None or call.updated or before["status"] == "cancelled":
                continue
            if (output.is_error, output.reply_required) != (before["is_error"], before.get("reply_required")):
                raised = before["is_error"]  # then its words stay out here, too
                changed = {**self._fields(output, raised), "duration": before["duration"], "correction": True}
                self._finished(function_call.call_id, changed)

    def _started(self, function_call: Any, at: float, speech: str | None = None) -> None:
        call = self._call(function_call.call_id)
        call.name, call.began = function_call.name, at
        self._emit(
            {
                "type": "tool_call_started",
                "call_id": function_call.call_id,
                "name": function_call.name,
                "arguments": arguments(function_call.arguments),
                "speech_id": speech,
                "timestamp": at,
            }
        )

    def _ended(self, update: Any, at: float) -> None:
        call = self._call(update.call_id)
        output = None if update.status == "cancelled" else self._output_of(update.id)
        if output is None:
            fields: dict[str, Any] = {
                "output": clipped(update.message) if update.status == "done" else None,
                "is_error": update.status == "error",
                "status": update.status,
                "timestamp": at,
            }
        else:
            fields = {**self._fields(output, raised=update.status == "error"), "timestamp": at}
        fields["duration"] = None if call.began is None else max(0.0, at - call.began)
        self._finished(update.call_id, fields)

    def _finished(self, call_id: str, fields: dict[str, Any]) -> None:
        call = self._call(call_id)
        event = {"type": "tool_call_finished", "call_id": call_id, "name": call.name or None, **fields}
        call.finished = event
        self._emit(event)

    @staticmethod
    def _fields(output: Any, raised: bool) -> dict[str, Any]:
        """`raised`: the output quotes an exception of the tool, which is never published."""
        return {
            "output": None if raised else clipped(output.output),
            "is_error": output.is_error,
            "status": "error" if output.is_error else "done",
            "reply_required": output.reply_required,
            "timestamp": output.created_at,
        }

    def _call(self, call_id: str) -> _Call:
        call = self._calls.get(call_id)
        if call is None:
            call = self._calls[call_id] = _Call("")
            if len(self._calls) > _REMEMBERED:
                self._calls.popitem(last=False)
        return call
