"""Compares what LiveKit holds about a session with what the hub has of it, field by field.

A `Record` listens to an AgentSession independently of `attach`, and keeps its history. Each function in `FIELDS` takes a
record and what the hub has (`Seen`) and returns LiveKit's value and the hub's. `differences` returns the fields in which
the two differ.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession

from event_hub.livekit import Attachment

from ..hubs import HubProcess

Event = dict[str, Any]
Pair = tuple[Any, Any]


@dataclass
class Record:
    """One start of a session, as LiveKit reports it. Make it before `session.start`."""

    session: AgentSession[Any]
    attachment: Attachment
    states: list[tuple[str, str]] = field(default_factory=list)
    speeches: list[tuple[str, bool]] = field(default_factory=list)
    speech_times: list[float] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    """Final transcripts, before the agent's own code could change them."""
    metrics: list[Any] = field(default_factory=list)
    raised: set[str] = field(default_factory=set)
    """Ids of calls whose tools raised an exception: its text is not published."""
    timeouts: int = 0
    closed: Any = None
    usage: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        handlers: dict[str, Callable[[Any], object]] = {
            "agent_state_changed": lambda ev: self.states.append(("agent", ev.new_state)),
            "user_state_changed": lambda ev: self.states.append(("user", ev.new_state)),
            "speech_created": self._speech,
            "user_input_transcribed": lambda ev: self.finals.append(ev.transcript) if ev.is_final else None,
            "metrics_collected": lambda ev: self.metrics.append(ev.metrics),
            "tool_execution_updated": self._tool,
            "user_transcription_timeout": lambda _: setattr(self, "timeouts", self.timeouts + 1),
            "session_usage_updated": lambda ev: setattr(self, "usage", ev.usage.model_usage),
            "close": self._close,
        }
        for name, handler in handlers.items():
            rtc.EventEmitter[str].on(self.session, name, handler)  # type: ignore[arg-type]  # `on` warns that it is deprecated

    def _speech(self, ev: Any) -> None:
        self.speeches.append((ev.source, ev.user_initiated))
        self.speech_times.append(ev.created_at)

    def _tool(self, ev: Any) -> None:
        if ev.update.type == "tool_call_ended" and ev.update.status == "error":
            self.raised.add(ev.update.call_id)

    def _close(self, ev: Any) -> None:
        self.closed, self.items = ev, list(self.session.history.items)

    def messages(self, *roles: str) -> list[Any]:
        """The messages of these roles; of an item that was completed several times, only the newest."""
        newest = {item.id: item for item in self.items if item.type == "message" and (item.text_content or "").strip()}
        return [item for item in self.items if newest.get(item.id) is item and item.role in roles]


@dataclass
class Seen:
    """What the hub has of a session: its events, and its document from `/api/sessions`."""

    events: list[Event]
    document: dict[str, Any]

    @classmethod
    def of(cls, hub: HubProcess, session: str) -> Seen:
        page = hub.get(f"/api/events?session={session}&limit=1000")
        assert not page["more"]
        return cls([entry["event"] for entry in page["events"]], hub.get(f"/api/sessions/{session}"))

    def of_type(self, *types: str) -> list[Event]:
        return [event for event in self.events if event["type"] in types]


def _said(seen: Seen, role: str) -> list[Event]:
    """The newest final transcript of each utterance, in the order in which the utterances began."""
    newest = {e["utterance"]: e for e in seen.of_type("transcript") if e["role"] == role and e["final"]}
    return sorted((e for e in newest.values() if e["text"]), key=lambda e: e["began"])


def agent_messages(record: Record, seen: Seen) -> Pair:
    messages = record.messages("assistant")
    ours = _said(seen, "agent")
    return (
        [(message.text_content.strip(), message.interrupted) for message in messages],
        [(event["text"], event["interrupted"]) for event in ours],
    )


def user_messages(record: Record, seen: Seen) -> Pair:
    """What the model got, including the changes of the agent's own code."""
    messages = record.messages("user")
    completed: dict[str, Event] = {e["item_id"]: e for e in seen.of_type("user_turn_completed")}
    typed = [e for e in seen.of_type("transcript") if e.get("typed")]
    ours = sorted([*completed.values(), *typed], key=lambda e: e.get("began", e["timestamp"]))
    return (
        [(message.text_content, message.transcript_confidence) for message in messages],
        [(event["text"], event.get("transcript_confidence")) for event in ours],
    )


def order(record: Record, seen: Seen) -> Pair:
    """The question comes before the answer, even if its transcript arrived later."""
    theirs = [item.role for item in sorted(record.messages("user", "assistant"), key=lambda item: item.created_at)]
    last = {e["utterance"]: e for e in seen.of_type("user_turn_completed")}
    users = [e for e in _said(seen, "user") if e["utterance"] in last or e.get("typed")]
    ours = sorted([*users, *_said(seen, "agent")], key=lambda event: event["began"])
    return theirs, [{"agent": "assistant"}.get(event["role"], event["role"]) for event in ours]


def nothing_open(_: Record, seen: Seen) -> Pair:
    """Each written utterance ends exactly once, as said or unsaid."""
    written = {event["utterance"] for event in seen.of_type("agent_text_delta")}
    ends = [e["utterance"] for e in seen.of_type("transcript", "agent_text_unsaid") if e["role"] == "agent"]
    assert seen.events[-1]["type"] == "session_ended"
    return dict.fromkeys(written, 1), {utterance: ends.count(utterance) for utterance in written}


def tools(record: Record, seen: Seen) -> Pair:
    outputs = {item.call_id: item for item in record.items if item.type == "function_call_output"}
    theirs = {}
    for call in (item for item in record.items if item.type == "function_call"):
        if call.call_id.partition("_update_")[1] or call.call_id.endswith("_final"):
            continue  # made by `ctx.update`
        output = outputs.get(f"{call.call_id}_final") or outputs[call.call_id]
        text = None if call.call_id in record.raised else output.output
        theirs[call.call_id] = (call.name, json.loads(call.arguments), text, output.is_error, output.reply_required)
    started = {event["call_id"]: event for event in seen.of_type("tool_call_started")}
    ours = {
        e["call_id"]: (
            e["name"],
            started[e["call_id"]]["arguments"],
            e.get("output"),
            e["is_error"],
            e["reply_required"],
        )
        for e in seen.of_type("tool_call_finished")
    }
    return theirs, ours


def states(record: Record, seen: Seen) -> Pair:
    changes = seen.of_type("agent_state_changed", "user_state_changed")
    return record.states, [(event["role"], event["new_state"]) for event in changes]


def _measured(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if isinstance(value, int | float) and value > 0}


def latencies(record: Record, seen: Seen) -> Pair:
    theirs = []
    for message in (item for item in record.items if item.type == "message" and item.role in ("assistant", "user")):
        figures = _measured(message.metrics)
        ids = message.metrics.get("provider_request_ids")
        if ids or figures.keys() - {"started_speaking_at", "stopped_speaking_at"}:
            theirs.append({**figures, **({"provider_request_ids": ids} if ids else {})})
    ours = []
    for event in seen.of_type("turn_metrics"):
        ids = {key: event[key] for key in ("provider_request_ids",) if key in event}
        ours.append({**_measured({k: v for k, v in event.items() if k != "timestamp"}), **ids})
    return sorted(theirs, key=repr), sorted(ours, key=repr)


def requests(record: Record, seen: Seen) -> Pair:
    def key(metrics: Event) -> tuple[Any, ...]:
        ttft = metrics.get("ttft")
        measured = ttft if ttft is not None and ttft > 0 and math.isfinite(ttft) else None
        return (metrics["type"], metrics.get("request_id") or None, metrics.get("cancelled"), measured)

    theirs = [key(metrics.model_dump()) for metrics in record.metrics if metrics.type != "vad_metrics"]
    ours = [key(event["metrics"]) for event in seen.of_type("metrics_collected")]
    rounded = [(*figures[:3], None if figures[3] is None else round(figures[3], 6)) for figures in theirs]
    return rounded, ours


def usage(record: Record, seen: Seen) -> Pair:
    def figures(models: Iterable[Event]) -> dict[Any, Any]:
        found = {(m["type"], m.get("model")): {k: round(v, 3) for k, v in _measured(m).items()} for m in models}
        return {name: values for name, values in found.items() if values}

    updates = seen.of_type("usage_updated")
    theirs = figures(model.model_dump() for model in record.usage)
    return theirs, figures(updates[-1]["model_usage"]) if updates else {}


def handoffs(record: Record, seen: Seen) -> Pair:
    changes = [item for item in record.items if item.type == "agent_handoff" and item.old_agent_id is not None]
    return (
        [(item.old_agent_id, item.new_agent_id) for item in changes],
        [(event["old_agent"], event["new_agent"]) for event in seen.of_type("agent_handoff")],
    )


def config(record: Record, seen: Seen) -> Pair:
    updates = [item for item in record.items if item.type == "agent_config_update"]
    return (
        [(item.tools_added, item.tools_removed, item.instructions is not None) for item in updates],
        [
            (e.get("tools_added"), e.get("tools_removed"), e.get("instructions_changed", False))
            for e in seen.of_type("agent_config_update")
        ],
    )


def speeches(record: Record, seen: Seen) -> Pair:
    return record.speeches, [(e["source"], e["user_initiated"]) for e in seen.of_type("speech_created")]


def unrecognised(record: Record, seen: Seen) -> Pair:
    return record.timeouts, len(seen.of_type("user_transcription_timeout"))


def end(record: Record, seen: Seen) -> Pair:
    error = record.closed.error
    (ended,) = seen.of_type("session_ended")
    return (
        (record.closed.reason.value, error.type if error else None),
        (ended["reason"], ended.get("error", {}).get("type")),
    )


def hub_status(record: Record, seen: Seen) -> Pair:
    return ("ended", record.closed.reason.value), (seen.document["status"], seen.document["reason"])


def hub_tools(record: Record, seen: Seen) -> Pair:
    theirs, _ = tools(record, seen)
    ours = [item for item in seen.document["conversation"] if item["kind"] == "tool"]
    return (
        sorted((name, output, is_error) for name, _, output, is_error, _ in theirs.values()),
        sorted((item["name"], item.get("output"), item["is_error"]) for item in ours),
    )


def _committed(seen: Seen) -> dict[str, str]:
    """The user's utterances that were added to the conversation, each with the utterance that ended its turn."""
    waiting: dict[str, str] = {}
    found: dict[str, str] = {}
    for event in seen.of_type("transcript", "user_turn_completed"):
        if event["role"] == "user" and event["type"] == "transcript" and event["final"]:
            waiting[event["utterance"]] = event["text"]
            if event.get("typed"):
                found[event["utterance"]] = event["utterance"]
        elif event["type"] == "user_turn_completed":
            mine = [u for u, text in waiting.items() if text in event["text"] or u == event["utterance"]]
            found.update(dict.fromkeys(mine, event["utterance"]))
            waiting.clear()
    return found


def hub_conversation(record: Record, seen: Seen) -> Pair:
    """The conversation as the page, transcripts and command line show it: only what was said, in the order it was said."""
    theirs = [
        ("agent" if item.role == "assistant" else "user", item.text_content.strip())
        for item in sorted(record.messages("user", "assistant"), key=lambda item: item.created_at)
    ]
    ours: list[tuple[str, str]] = []
    committed, last = _committed(seen), None
    for item in seen.document["conversation"]:
        turn = committed.get(item.get("utterance"))
        if item["kind"] != "said" or (item["role"] == "user" and turn is None):
            continue
        if item["role"] == "user" and turn == last:
            ours[-1] = ("user", f"{ours[-1][1]} {item['text']}")
        else:
            ours.append((item["role"], item["text"]))
        last = turn
    heard = " ".join(record.finals)
    for at, (role, text) in enumerate(theirs[: len(ours)]):
        if role == "user" and record.finals and text not in heard and ours[at][1] in heard:
            theirs[at] = ours[at]  # the agent's code changed the words for the model; the user said these
    return theirs, ours


def hub_turns(record: Record, seen: Seen) -> Pair:
    """Each user message begins a turn, except spoken ones between which the agent did nothing."""
    turns = 0
    before: Any = None
    for item in sorted(record.items, key=lambda item: item.created_at):
        if item.type == "message" and item.role == "user" and (item.text_content or "").strip():
            spoken = before is not None and None not in (before.transcript_confidence, item.transcript_confidence)
            answered = before is not None and any(before.created_at < t < item.created_at for t in record.speech_times)
            turns += item.id != getattr(before, "id", None) and not (spoken and not answered)
            before = item
        elif item.type in ("message", "function_call") and getattr(item, "role", "") != "system":
            before = None
    return turns, len([turn for turn in seen.document["turns"] if turn.get("user")])


def hub_usage(record: Record, seen: Seen) -> Pair:
    """Tokens and characters of all requests: the usage of the turns and what belongs to none are the whole."""
    theirs = hub_sums(metrics.model_dump() for metrics in record.metrics)
    turns = [used for turn in seen.document["turns"] for used in turn.get("usage", ())]
    return theirs, hub_sums([*turns, *seen.document["unassigned"]["usage"]])


def hub_sums(parts: Iterable[Event]) -> list[int]:
    names = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"), ("characters_count",)
    found = [[part[name] for name in of if part.get(name)] for part in parts for of in names]
    return [sum(map(sum, found[kind :: len(names)])) for kind in range(len(names))]


FIELDS: dict[str, Callable[[Record, Seen], Pair]] = {
    function.__name__: function
    for function in (
        agent_messages, user_messages, order, nothing_open, tools, states, latencies, requests, usage, handoffs, config,
        speeches, unrecognised, end, hub_status, hub_tools, hub_conversation, hub_turns, hub_usage,
    )
}  # fmt: skip


def differences(record: Record, seen: Seen) -> dict[str, Pair]:
    """The fields in which LiveKit and the hub differ, with both values."""
    pairs = {name: compare(record, seen) for name, compare in FIELDS.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def replaced(record: Record, **changes: Any) -> Record:
    """The record with other values, to test the comparison itself."""
    other = object.__new__(Record)
    vars(other).update({**{f.name: getattr(record, f.name) for f in dataclasses.fields(record)}, **changes})
    return other
