"""The events of a session whose agent reported none: made from its chat history, its report and its spans, after it has
ended. Pure.

Every one of them has `told: "afterwards"`, the time at which it happened, and an event_id made of the job and what it is of,
so that telling twice changes nothing. The figures are LiveKit's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from .jobs import Job
from .spans import METRICS, Span

TOLD = "afterwards"
_DEPTH = 16
"""Spans between a request and the turn of the agent that it belongs to."""
_LONGEST = 16_000
"""Characters of a text in an event."""
_NOT_NUMBERS = frozenset({"llm_metadata", "tts_metadata", "stt_metadata", "provider_request_ids"})


def session_of(job: Job) -> str:
    """The name of the session of a job whose agent reported none."""
    return job.job[:128]


def room_of(job: Job) -> str | None:
    """The name of its room, or else the room's sid."""
    report = job.report or {}
    return _text(job.room) or _text(report.get("room")) or _text(job.room_sid)


def events_of(job: Job, spans: Sequence[Span]) -> list[dict[str, Any]]:
    """The events that tell the session of `job`, in order of time; none if nothing of a session was uploaded."""
    report = job.report or {}
    found = {span.name: span for span in spans}
    items = [item for item in job.chat or () if isinstance(item, dict)]
    session_span = found.get("agent_session") or found.get("job_entrypoint")
    times = [at for item in items if (at := _seconds(item.get("created_at"))) is not None] + [
        span.start for span in spans if span.start
    ]
    if not times:
        times = [job.began]
    began = session_span.start if session_span else min(times)
    ended = (
        (session_span.end if session_span else None)
        or _seconds(report.get("timestamp"))
        or max([*times, *(span.end for span in spans)])
    )
    first_agent = next((item.get("new_agent_id") for item in items if item.get("type") == "agent_handoff"), None)
    label = (session_span.attributes.get("lk.agent_label") if session_span else None) or first_agent
    told = [
        _event(
            job,
            "session_started",
            "started",
            began,
            mode="room",
            agent=_text(label) or _text(job.agent_name),
            job=job.job,
            room_sid=job.room_sid,
            agent_name=_text(job.agent_name),
        )
    ]
    speeches = Speeches(spans)
    told += _of_items(job, items, {span.attributes.get("lk.function_tool.id"): span for span in spans}, speeches)
    if not items:
        told += _of_spans(job, spans, speeches)
    told += _of_requests(job, spans, speeches)
    usage = report.get("usage")
    if isinstance(usage, list) and usage:
        told.append(_event(job, "usage_updated", "usage", ended, model_usage=usage))
    reason = report.get("close_reason")
    told.append(
        _event(
            job,
            "session_ended",
            "ended",
            ended,
            reason=str(reason).removeprefix("CR_").lower()[:128] if reason else None if job.over else "lost",
        )
    )
    first, last = told[0], told[-1]
    between = sorted(told[1:-1], key=lambda event: float(event["timestamp"]))
    first["timestamp"] = min(first["timestamp"], *(event["timestamp"] for event in between), ended)
    last["timestamp"] = max(last["timestamp"], *(event["timestamp"] for event in between), began)
    return [first, *between, last]


def _of_items(
    job: Job, items: Iterable[dict[str, Any]], tools: Mapping[Any, Span], speeches: Speeches
) -> Iterable[dict[str, Any]]:
    agent: str | None = None
    called: dict[str, float] = {}
    for index, item in enumerate(items):
        kind, id = item.get("type"), str(item.get("id") or index)[:96]
        at = _seconds(item.get("created_at")) or job.began
        if kind == "agent_handoff":
            new = _text(item.get("new_agent_id"))
            if agent is not None and new is not None:
                yield _event(
                    job, "agent_handoff", id, at, old_agent=_text(item.get("old_agent_id")) or agent, new_agent=new
                )
            agent = new or agent
        elif kind == "message":
            yield from _message(job, item, id, at, speeches)
        elif kind == "function_call" and (call := _text(item.get("call_id"))) and (name := _text(item.get("name"))):
            called[call] = at
            yield _event(job, "tool_call_started", id, at, call_id=call, name=name, arguments=_arguments(item))
        elif kind == "function_call_output" and (call := _text(item.get("call_id"))):
            span = tools.get(call)
            duration = span.end - span.start if span else at - called[call] if call in called else None
            output = item.get("output")
            yield _event(
                job,
                "tool_call_finished",
                id,
                at,
                call_id=call,
                name=_text(item.get("name")),
                output=_shortened(output) if isinstance(output, str) else output,
                is_error=item.get("is_error") is True,
                duration=duration if duration is not None and duration >= 0 else None,
            )


def _message(job: Job, item: dict[str, Any], id: str, at: float, speeches: Speeches) -> Iterable[dict[str, Any]]:
    role = {"user": "user", "assistant": "agent"}.get(str(item.get("role")))
    if role is None:
        return
    content = item.get("content")
    text = "\n".join(part for part in content if isinstance(part, str)) if isinstance(content, list) else ""
    metrics = item.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    started, stopped = _seconds(metrics.get("started_speaking_at")), _seconds(metrics.get("stopped_speaking_at"))
    interrupted = item.get("interrupted") is True
    common: dict[str, Any] = {"role": role, "utterance": id}
    if role == "agent":
        common["speech_id"] = speeches.audible_at(started)
    if started is not None:
        yield _event(job, f"{role}_speech_started", f"{id}-began", started, **common)
    if started is not None and stopped is not None:
        cut = {"interrupted": interrupted} if role == "agent" else {}
        yield _event(job, f"{role}_speech_finished", f"{id}-finished", stopped, **common, **cut)
    said = max(at, stopped or at) if role == "agent" else at
    if text:
        yield _event(
            job,
            "transcript",
            id,
            said,
            **common,
            text=_shortened(text),
            final=True,
            **({"interrupted": interrupted} if role == "agent" else {}),
        )
    if metrics:
        figures = {name: value for name, value in metrics.items() if name in _NOT_NUMBERS or _is_number(value)}
        yield _event(job, "turn_metrics", f"{id}-metrics", said, **common, **figures)


def _of_spans(job: Job, spans: Iterable[Span], speeches: Speeches) -> Iterable[dict[str, Any]]:
    """Without a chat history: when each spoke, the latencies and the tools, without words."""
    for span in spans:
        get = span.attributes.get
        if span.name == "user_speaking":
            yield _event(job, "user_speech_started", f"{span.id}-began", span.start, role="user", utterance=span.id)
            yield _event(job, "user_speech_finished", f"{span.id}-finished", span.end, role="user", utterance=span.id)
        elif span.name == "user_turn":
            names = ("transcription_delay", "end_of_turn_delay")
            yield from _figures(job, span, "user", {name: get(f"lk.{name}") for name in names})
        elif span.name == "agent_speaking":
            began = {"role": "agent", "utterance": span.id, "speech_id": speeches.of(span)}
            yield _event(job, "agent_speech_started", f"{span.id}-began", span.start, **began)
            yield _event(job, "agent_speech_finished", f"{span.id}-finished", span.end, role="agent", utterance=span.id)
        elif span.name == "agent_turn":
            yield from _figures(job, span, "agent", {"e2e_latency": get("lk.e2e_latency")})
        elif span.name == "function_tool" and (call := _text(get("lk.function_tool.id"))):
            name = _text(get("lk.function_tool.name")) or "unknown"
            yield _event(job, "tool_call_started", f"{span.id}-began", span.start, call_id=call, name=name)
            yield _event(
                job,
                "tool_call_finished",
                f"{span.id}-finished",
                span.end,
                call_id=call,
                name=name,
                is_error=get("lk.function_tool.is_error") is True,
                duration=max(0.0, span.end - span.start),
            )


def _of_requests(job: Job, spans: Iterable[Span], speeches: Speeches) -> Iterable[dict[str, Any]]:
    """LiveKit's metrics of each request to a model."""
    for span in spans:
        for attribute in METRICS:
            metrics = _object(span.attributes.get(attribute))
            if metrics:
                speech = _text(metrics.get("speech_id")) or speeches.of(span)
                about = {**metrics, "speech_id": speech} if speech is not None else metrics
                yield _event(job, "metrics_collected", span.id, span.end, metrics=about)


class Speeches:
    """Which speech a span belongs to: that of the `agent_turn` around it."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = {span.id: span for span in spans}
        self._audible = {span.start: span for span in spans if span.name == "agent_speaking"}

    def of(self, span: Span) -> str | None:
        found: Span | None = span
        for _ in range(_DEPTH):
            if found is None:
                return None
            if speech := _text(found.attributes.get("lk.speech_id")):
                return speech
            found = self._spans.get(found.parent or "")
        return None

    def audible_at(self, started: float | None) -> str | None:
        """The speech that became audible at this time: LiveKit gives the item and the span the same."""
        span = self._audible.get(started) if started is not None else None
        return self.of(span) if span is not None else None


def _figures(job: Job, span: Span, role: str, figures: dict[str, Any]) -> Iterable[dict[str, Any]]:
    measured = {name: value for name, value in figures.items() if _is_number(value)}
    if measured:
        yield _event(job, "turn_metrics", f"{span.id}-metrics", span.end, role=role, utterance=span.id, **measured)


def _event(of: Job, type: str, what: str, at: float, **fields: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": type,
        "session": session_of(of),
        "room": room_of(of),
        "timestamp": at,
        "event_id": f"{of.job[:64]}-{type[:24]}-{what}"[:128],
        "told": TOLD,
        **fields,
    }
    return {name: value for name, value in event.items() if value is not None}


def _arguments(item: dict[str, Any]) -> Any:
    """The arguments as an object, or the model's own text if it is none."""
    text = item.get("arguments")
    if not isinstance(text, str):
        return text if isinstance(text, dict) else None
    value = _object(text)
    return value if value is not None and len(text) <= _LONGEST else _shortened(text)


def _object(text: Any) -> dict[str, Any] | None:
    """The object that `text` is the JSON of, if it is."""
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 128 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11


def _seconds(value: Any) -> float | None:
    return float(value) if _is_number(value) and value > 0 else None
