"""event_hub.livekit.tool_calls: a call ends with what the model got, whichever of LiveKit's reports has it."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.agents.llm import FunctionCall, FunctionCallOutput
from livekit.agents.voice.events import ToolCallEnded, ToolCallStarted, ToolCallUpdated

from event_hub.events import check
from event_hub.livekit.tool_calls import ToolCalls

CALL = FunctionCall(call_id="c", name="look", arguments='{"where":"Oslo"}', created_at=10.0)


class Session:
    """A session's items, and the resulting events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.items: dict[str, FunctionCallOutput] = {}
        self.calls = ToolCalls(self._emit, self.items.get)

    def _emit(self, event: dict[str, Any]) -> None:
        known = {name: value for name, value in event.items() if value is not None}
        check(known)
        self.events.append(known)

    def output(self, text: str, *, call_id: str = "c", **fields: Any) -> FunctionCallOutput:
        fields = {"is_error": False, "created_at": 11.0, **fields}
        item = self.items[call_id] = FunctionCallOutput(call_id=call_id, name="look", output=text, **fields)
        return item

    def started(self) -> None:
        self.calls.execution_updated(ToolCallStarted(function_call=CALL), 10.0)

    def ended(self, message: str | None, status: Any = "done", id: str = "c") -> None:
        self.calls.execution_updated(ToolCallEnded(id=id, call_id="c", message=message, status=status), 12.5)

    @property
    def finished(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == "tool_call_finished"]


def fields(event: dict[str, Any]) -> tuple[Any, ...]:
    return (event.get("output"), event["is_error"], event["status"], event.get("reply_required"))


def test_the_models_output_is_reported_at_once_and_only_once() -> None:
    session = Session()
    session.started()
    output = session.output("over to B")
    session.ended("(<Agent object at 0x7f>, 'over to B')")
    assert fields(session.finished[0]) == ("over to B", False, "done", True)
    assert (session.finished[0]["duration"], session.finished[0]["timestamp"]) == (2.5, 12.5)
    session.calls.executed([CALL], [output])
    assert [event["type"] for event in session.events] == ["tool_call_started", "tool_call_finished"]


@pytest.mark.parametrize("status", ["done", "error"])
def test_exception_texts_are_withheld_and_livekits_own_texts_are_not(status: str) -> None:
    session = Session()
    session.started()
    session.output("the tool returned an invalid output", is_error=True)
    session.ended("<object object at 0x7f>", status)
    words = "the tool returned an invalid output" if status == "done" else None
    assert fields(session.finished[0]) == (words, True, "error", True)


def test_a_call_of_an_unknown_function_starts_and_finishes() -> None:
    session = Session()
    session.calls.executed([CALL], [session.output("Unknown function: look", is_error=True)])
    assert [(event["type"], event["timestamp"]) for event in session.events] == [
        ("tool_call_started", 10.0), ("tool_call_finished", 11.0),
    ]  # fmt: skip
    assert session.events[0]["arguments"] == {"where": "Oslo"}
    assert fields(session.events[1]) == ("Unknown function: look", True, "error", True)


@pytest.mark.parametrize("late", [True, False], ids=["after its end", "before its end"])
def test_the_first_update_does_not_replace_the_result(late: bool) -> None:
    session = Session()
    session.started()
    session.calls.execution_updated(ToolCallUpdated(id="c", call_id="c", message="looking", silent=True), 10.5)
    first = session.output("The tool `look` has updated, message: looking", reply_required=False)
    if not late:
        session.calls.executed([CALL], [first])
    session.output("found it", call_id="c_final")
    session.ended("found it", id="c_final")
    if late:
        session.calls.executed([CALL], [first])
    assert [fields(event) for event in session.finished] == [("found it", False, "done", True)]
    updated = session.events[1]
    assert (updated["type"], updated["message"], updated["silent"]) == ("tool_call_updated", "looking", True)


def test_a_handoff_that_an_interruption_cancelled_is_corrected() -> None:
    session = Session()
    session.started()
    output = session.output("over to B")
    session.ended("...")
    output.output, output.is_error = "the agent handoff was interrupted and did not happen", True
    output.reply_required = False
    session.calls.executed([CALL], [output])
    assert [fields(event) for event in session.finished] == [
        ("over to B", False, "done", True),
        ("the agent handoff was interrupted and did not happen", True, "error", False),
    ]
    assert [event.get("correction") for event in session.finished] == [None, True]


def test_a_cancelled_reply_is_corrected_without_the_exception_text() -> None:
    session = Session()
    session.started()
    output = session.output("the password is hunter2", is_error=True)
    session.ended("the password is hunter2", "error")
    output.reply_required = False
    session.calls.executed([CALL], [output])
    assert [fields(event) for event in session.finished] == [(None, True, "error", True), (None, True, "error", False)]


def test_a_cancelled_call_has_no_output() -> None:
    session = Session()
    session.started()
    output = session.output("")
    session.ended(None, "cancelled")
    session.calls.executed([CALL], [output])
    assert [fields(event) for event in session.finished] == [(None, False, "cancelled", None)]


def test_without_an_output_item_the_functions_return_value_is_reported() -> None:
    session = Session()
    session.started()
    session.ended("sunny")
    assert fields(session.finished[0]) == ("sunny", False, "done", None)


def test_the_oldest_calls_are_forgotten() -> None:
    session = Session()
    for number in range(1000):
        call = CALL.model_copy(update={"call_id": f"c{number}"})
        session.calls.execution_updated(ToolCallStarted(function_call=call), 10.0)
    assert len(session.calls._calls) < 500
