"""Describe an event in one readable line. Pure: no clock, no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from .options import plural
from .terminal_text import escape

ENVELOPE = frozenset({"type", "timestamp", "event_id", "room", "session", "participant", "role", "utterance"})
LATENCIES = {
    "e2e_latency": "end to end",
    "transcription_delay": "transcription",
    "end_of_turn_delay": "end of turn",
    "on_user_turn_completed_delay": "callback",
    "llm_node_ttft": "LLM",
    "tts_node_ttfb": "TTS",
    "playback_latency": "playback",
}
_REQUEST_TIMES = ("ttft", "ttfb", "duration", "end_of_utterance_delay")
"""Durations of a request that are worth a line, under LiveKit's names."""
_MAX_CALLS = 1000
"""Tool calls whose arguments are remembered until they finish."""
_UNPRINTABLE = "(cannot be displayed; use --json)"

Event = Mapping[str, Any]


class Description(NamedTuple):
    """One event as text without control characters. `style` is user, agent, tool, state, error, gap, dim or empty. `cut`:
    whether text that does not fit the terminal may be cut, because it is not prose."""

    time: str
    room: str
    type: str
    text: str
    style: str = ""
    cut: bool = False


class Describer:
    """Describes events. Remembers the arguments of tool calls, to show them again with the result."""

    def __init__(self) -> None:
        self._calls: dict[tuple[Any, Any], str] = {}

    def describe(self, event: Event) -> Description:
        """Describe `event`. Never raises, whatever the event contains."""
        kind = event.get("type")
        kind = kind if isinstance(kind, str) else "?"
        cut = False
        try:
            text, style = self._known_type(kind, event)
        except _UnknownType:
            text, style, cut = _own_fields(event), "", True
        except (AttributeError, TypeError, ValueError, RecursionError, OverflowError):
            text, style = _UNPRINTABLE, "error"
        return Description(
            clock(event.get("timestamp")), escape(_text(event.get("room"))), escape(kind), escape(text), style, cut
        )

    def _known_type(self, kind: str, event: Event) -> tuple[str, str]:
        """The text and style of an event of a known type."""
        if kind == "tool_call_started":
            call = f"{_text(event.get('name'))}({_arguments(event.get('arguments'))})"
            while len(self._calls) >= _MAX_CALLS:
                del self._calls[next(iter(self._calls))]
            self._calls[event.get("session"), event.get("call_id")] = call
            return call, "tool"
        if kind == "tool_call_updated":
            call = self._calls.get((event.get("session"), event.get("call_id")), _text(event.get("call_id")))
            return f"{call}: {_text(event.get('message'))}", "tool"
        if kind == "tool_call_finished":
            call = self._calls.pop((event.get("session"), event.get("call_id")), "")
            return _tool_result(event, call or _text(event.get("name")) or _text(event.get("call_id")))
        if kind in _BY_TYPE:
            return _BY_TYPE[kind](event)
        if kind.startswith("livekit_"):
            track = event.get("track")
            source = _text(track.get("source") or track.get("type")) if isinstance(track, Mapping) else ""
            return " ".join(filter(None, (_text(event.get("participant")), source))), "state"
        raise _UnknownType


class _UnknownType(Exception):
    """The event's type has no description of its own."""


def clock(timestamp: Any) -> str:
    """Epoch seconds as local `HH:MM:SS.mmm`."""
    moment = _local(timestamp)
    if moment is None:
        return "--:--:--.---"
    milliseconds = min(999, int((timestamp % 1) * 1000))
    return f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}.{milliseconds:03}"


def day(timestamp: Any) -> str | None:
    """Epoch seconds as a local date, or None if they are invalid."""
    moment = _local(timestamp)
    return f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}" if moment else None


def _local(timestamp: Any) -> time.struct_time | None:
    if type(timestamp) not in (int, float) or not math.isfinite(timestamp):
        return None
    try:
        return time.localtime(timestamp)
    except (OverflowError, ValueError, OSError):
        return None


def gap_text(event: Event) -> str:
    """A gap in words: `gap: 120 events missing (retention)`."""
    missed, reason = event.get("missed"), _text(event.get("reason"))
    return f"gap: {_count_or_events(missed)} missing ({reason or 'no reason given'})"


def speaker(event: Event, role: str = "") -> str:
    """The speaker, such as `user caller_1` or `agent`; empty if unknown. `role`: the default role."""
    return " ".join(filter(None, (_text(event.get("role")) or role, _text(event.get("participant")))))


def duration(seconds: Any) -> str:
    """`210 ms`, `2.4 s`."""
    if type(seconds) not in (int, float) or not math.isfinite(seconds):
        return ""
    return f"{round(seconds * 1000)} ms" if seconds < 0.9995 else f"{seconds:,.1f} s"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _count_or_events(number: Any) -> str:
    return plural(number) if type(number) is int else "events"


def _arguments(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={msgspec.json.encode(argument).decode()}" for name, argument in value.items())
    return _text(value)


def _own_fields(event: Event) -> str:
    own = {name: value for name, value in event.items() if name not in ENVELOPE}
    try:
        fields = msgspec.json.encode(own).decode() if own else ""
    except (ValueError, TypeError, RecursionError):
        fields = _UNPRINTABLE
    return " ".join(filter(None, (speaker(event), fields)))


def _tool_result(event: Event, call: str) -> tuple[str, str]:
    failed = bool(event.get("is_error"))
    elapsed = duration(event.get("duration"))
    text = f"{call} → {'failed: ' if failed else ''}{_text(event.get('output'))}".rstrip()
    return f"{text}, {elapsed}" if elapsed else text, "error" if failed else "tool"


def _transcript(event: Event) -> tuple[str, str]:
    text = f"{speaker(event) or 'unknown speaker'}: {_text(event.get('text'))}"
    if event.get("final") is False:
        return f"{text} …", "dim"
    if event.get("interrupted"):
        text += " — cut off"
    return text, "agent" if event.get("role") == "agent" else "user"


def _speech(event: Event, role: str, verb: str) -> tuple[str, str]:
    position = duration(event.get("position"))
    after = f" after {position}" if position else ""
    return f"{speaker(event, role)} {verb}{after}{', cut off' if event.get('interrupted') else ''}", "state"


def _state(event: Event) -> tuple[str, str]:
    return f"{_text(event.get('old_state')) or '…'} → {_text(event.get('new_state'))}", "state"


def _metrics(event: Event) -> tuple[str, str]:
    figures: list[tuple[str, Any]] = [(label, event.get(name)) for name, label in LATENCIES.items()]
    shown = [f"{label} {round(value * 1000):,} ms" for label, value in figures if type(value) in (int, float)]
    return " · ".join(shown), "state"


def _request_metrics(event: Event) -> tuple[str, str]:
    metrics = event.get("metrics")
    if not isinstance(metrics, Mapping):
        return "", "dim"
    timed = [(name, duration(metrics.get(name))) for name in _REQUEST_TIMES]
    figures = [f"{name} {time}" for name, time in timed if time]
    cancelled = ["cancelled"] if metrics.get("cancelled") is True else []
    return " · ".join([_text(metrics.get("type")), *figures, *cancelled]), "dim"


def _overlap(event: Event) -> tuple[str, str]:
    verdict = "an interruption" if event.get("is_interruption") else "not an interruption"
    return f"user speaks over the agent: {verdict}", "state"


def _config(event: Event) -> tuple[str, str]:
    changes = [
        (label, ", ".join(map(_text, names)))
        for label, names in (("tools added", event.get("tools_added")), ("tools removed", event.get("tools_removed")))
        if isinstance(names, list) and names
    ]
    shown = [f"{label}: {names}" for label, names in changes]
    if event.get("instructions_changed") is True or event.get("instructions") is not None:
        shown.append("new instructions")
    return "; ".join(shown), "state"


def _usage(event: Event) -> tuple[str, str]:
    models = event.get("model_usage")
    shown = []
    for usage in models if isinstance(models, list) else []:
        name = "/".join(filter(None, (_text(usage.get("provider")), _text(usage.get("model")))))
        figures = (f"{_text(value)} {key}" for key, value in usage.items() if type(value) in (int, float) and value)
        shown.append(f"{name}: {', '.join(figures)}")
    return " · ".join(shown), "state"


def _error(event: Event) -> tuple[str, str]:
    source = _text(event.get("source"))
    recoverable = event.get("recoverable")
    outcome = ""
    if isinstance(recoverable, bool):
        outcome = " (the session continues)" if recoverable else " (the session cannot continue)"
    return f"{source}: {_text(event.get('message'))}{outcome}".removeprefix(": "), "error"


def _alert(event: Event) -> str:
    """What an alert is about, and what was found."""
    value = event.get("value")
    found = _text(value) if isinstance(value, str) else "" if value is None else duration(value)
    return ", ".join(filter(None, (_text(event.get("agent") or event.get("about")), found)))


def _annotation(event: Event) -> str:
    """A note: its words, its tag, its thumb."""
    tag = _text(event.get("tag"))
    parts = [_text(event.get("text")), f"tag {tag}" if tag else "", _text(event.get("rating"))]
    return f"note: {', '.join(filter(None, parts))}"


def _process_exit(event: Event) -> tuple[str, str]:
    code, reason = event.get("code"), _text(event.get("reason"))
    ended = (
        "" if code is None else f"exit code {code}" if type(code) is int and code >= 0 else f"signal {_text(code)[1:]}"
    )
    return f"{_text(event.get('agent'))}: {', '.join(filter(None, (ended, reason)))}", "error" if code else "state"


_BY_TYPE: dict[str, Callable[[Event], tuple[str, str]]] = {
    "transcript": _transcript,
    "agent_text_delta": lambda e: (f"{speaker(e, 'agent')}: {_text(e.get('delta'))}", "agent"),
    "agent_text_complete": lambda e: (f"{speaker(e, 'agent')}: {_text(e.get('text'))}", "agent"),
    "agent_text_unsaid": lambda e: (f"{speaker(e, 'agent')} did not say: {_text(e.get('generated'))}", "dim"),
    "agent_speech_started": lambda e: _speech(e, "agent", "starts speaking"),
    "agent_speech_finished": lambda e: _speech(e, "agent", "stops speaking"),
    "user_speech_started": lambda e: _speech(e, "user", "starts speaking"),
    "user_speech_finished": lambda e: _speech(e, "user", "stops speaking"),
    "agent_state_changed": _state,
    "user_state_changed": _state,
    "turn_metrics": _metrics,
    "usage_updated": _usage,
    "metrics_collected": _request_metrics,
    "agent_config_update": _config,
    "user_turn_completed": lambda e: (f"{speaker(e, 'user')}: {_text(e.get('text'))}", "user"),
    "user_transcription_timeout": lambda e: (
        f"{speaker(e, 'user')} was heard, but nothing was recognized in {duration(e.get('speech_duration')) or 'it'}",
        "state",
    ),
    "overlapping_speech": _overlap,
    "speech_created": lambda e: (
        _text(e.get("source")) + (" (by the agent's code)" if e.get("user_initiated") is True else ""),
        "state",
    ),
    "sip_dtmf_received": lambda e: (f"{speaker(e, 'user')} pressed {_text(e.get('digit'))}", "user"),
    "agent_handoff": lambda e: (f"{_text(e.get('old_agent')) or '…'} → {_text(e.get('new_agent'))}", "state"),
    "agent_false_interruption": lambda e: (
        "false interruption: " + ("the agent resumes" if e.get("resumed") else "the agent stays silent"),
        "state",
    ),
    "agent_error": _error,
    "agent_process_started": lambda e: (f"{_text(e.get('agent'))}, pid {_text(e.get('pid'))}", "state"),
    "agent_process_exited": _process_exit,
    "agent_ready": lambda e: (_text(e.get("message")), "state"),
    "session_started": lambda e: (
        ", ".join(filter(None, (_text(e.get("session")), _text(e.get("agent")), _text(e.get("mode"))))),
        "state",
    ),
    "session_ended": lambda e: (", ".join(filter(None, (_text(e.get("session")), _text(e.get("reason"))))), "state"),
    "recording_available": lambda e: (f"recording: {duration(e.get('duration'))}", "state"),
    "trace_available": lambda e: ("trace: " + ("complete" if e.get("complete") else "the first spans"), "state"),
    "alert_raised": lambda e: (f"alert: {_text(e.get('rule'))} ({_alert(e)})", "error"),
    "alert_cleared": lambda e: (f"alert over: {_text(e.get('rule'))} ({_alert(e)})", "state"),
    "annotation": lambda e: (_annotation(e), "state"),
    "events_dropped": lambda e: (
        f"the publisher dropped {_count_or_events(e.get('count'))} ({_text(e.get('reason'))})",
        "gap",
    ),
    "stream_gap": lambda e: (gap_text(e), "gap"),
}
