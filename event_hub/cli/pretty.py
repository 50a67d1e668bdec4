"""An event as one line that a person reads. Pure: no clock, no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from .options import count
from .plain import plain

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
_TOOLS = 1000
"""Tool calls whose arguments are remembered until they finish."""

Event = Mapping[str, Any]


class Line(NamedTuple):
    """One event for people, free of control characters. `style` is user, agent, tool, state, error, gap, dim or none;
    `cut`: what does not fit the terminal may be cut off, for it is not prose."""

    time: str
    room: str
    type: str
    text: str
    style: str = ""
    cut: bool = False


class Describer:
    """Events to lines. Remembers how tools were called, to say it again with what they answered."""

    def __init__(self) -> None:
        self._calls: dict[tuple[Any, Any], str] = {}

    def line(self, event: Event) -> Line:
        """The line of `event`. Never raises, whatever the event holds."""
        kind = event.get("type")
        kind = kind if isinstance(kind, str) else "?"
        cut = False
        try:
            text, style = self._known(kind, event)
        except _Unknown:
            text, style, cut = _own_fields(event), "", True
        except (AttributeError, TypeError, ValueError, RecursionError, OverflowError):
            text, style = "(cannot be shown; --json has it)", "error"
        return Line(
            clock(event.get("timestamp")), plain(_text(event.get("room"))), plain(kind), plain(text), style, cut
        )

    def _known(self, kind: str, event: Event) -> tuple[str, str]:
        if kind == "tool_call_started":
            call = f"{_text(event.get('name'))}({_arguments(event.get('arguments'))})"
            while len(self._calls) >= _TOOLS:
                del self._calls[next(iter(self._calls))]
            self._calls[event.get("session"), event.get("call_id")] = call
            return call, "tool"
        if kind == "tool_call_updated":
            call = self._calls.get((event.get("session"), event.get("call_id")), _text(event.get("call_id")))
            return f"{call}: {_text(event.get('message'))}", "tool"
        if kind == "tool_call_finished":
            call = self._calls.pop((event.get("session"), event.get("call_id")), "")
            return _finished(event, call or _text(event.get("name")) or _text(event.get("call_id")))
        if kind in _SENTENCES:
            return _SENTENCES[kind](event)
        if kind.startswith("livekit_"):
            track = event.get("track")
            what = _text(track.get("source") or track.get("type")) if isinstance(track, Mapping) else ""
            return " ".join(filter(None, (_text(event.get("participant")), what))), "state"
        raise _Unknown


class _Unknown(Exception):
    """A type that is not known."""


def clock(timestamp: Any) -> str:
    """Epoch seconds as local `HH:MM:SS.mmm`."""
    moment = _local(timestamp)
    if moment is None:
        return "--:--:--.---"
    milliseconds = min(999, int((timestamp % 1) * 1000))
    return f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}.{milliseconds:03}"


def day(timestamp: Any) -> str | None:
    """The local date of epoch seconds, None where they are none."""
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
    """What a gap means: `gap: 120 events missing (retention)`."""
    missed, reason = event.get("missed"), _text(event.get("reason"))
    number = count(missed) if type(missed) is int else "events"
    return f"gap: {number} missing ({reason or 'no reason given'})"


def who(event: Event, role: str = "") -> str:
    """Who speaks: `user caller_1`, `agent`."""
    return " ".join(filter(None, (_text(event.get("role")) or role, _text(event.get("participant"))))) or "somebody"


def duration(seconds: Any) -> str:
    """`210 ms`, `2.4 s`."""
    if type(seconds) not in (int, float) or not math.isfinite(seconds):
        return ""
    return f"{round(seconds * 1000)} ms" if seconds < 0.9995 else f"{seconds:,.1f} s"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _arguments(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={msgspec.json.encode(one).decode()}" for key, one in value.items())
    return _text(value)


def _own_fields(event: Event) -> str:
    own = {key: value for key, value in event.items() if key not in ENVELOPE}
    try:
        fields = msgspec.json.encode(own).decode() if own else ""
    except (ValueError, TypeError, RecursionError):
        fields = "(cannot be shown; --json has it)"
    speaker = who(event)
    return " ".join(filter(None, ("" if speaker == "somebody" else speaker, fields)))


def _finished(event: Event, call: str) -> tuple[str, str]:
    failed = bool(event.get("is_error"))
    took = duration(event.get("duration"))
    text = f"{call} → {'failed: ' if failed else ''}{_text(event.get('output'))}".rstrip()
    return f"{text}, {took}" if took else text, "error" if failed else "tool"


def _transcript(event: Event) -> tuple[str, str]:
    text = f"{who(event)}: {_text(event.get('text'))}"
    if event.get("final") is False:
        return f"{text} …", "dim"
    if event.get("interrupted"):
        text += " — cut off"
    return text, "agent" if event.get("role") == "agent" else "user"


def _speech(event: Event, role: str, does: str) -> tuple[str, str]:
    heard = duration(event.get("position"))
    after = f" after {heard}" if heard else ""
    return f"{who(event, role)} {does}{after}{', cut off' if event.get('interrupted') else ''}", "state"


def _state(event: Event) -> tuple[str, str]:
    return f"{_text(event.get('old_state')) or '…'} → {_text(event.get('new_state'))}", "state"


def _metrics(event: Event) -> tuple[str, str]:
    figures: list[tuple[str, Any]] = [(label, event.get(name)) for name, label in LATENCIES.items()]
    parts = [f"{label} {round(value * 1000):,} ms" for label, value in figures if type(value) in (int, float)]
    return " · ".join(parts), "state"


def _usage(event: Event) -> tuple[str, str]:
    models = event.get("model_usage")
    parts = []
    for one in models if isinstance(models, list) else []:
        name = "/".join(filter(None, (_text(one.get("provider")), _text(one.get("model")))))
        figures = (f"{_text(value)} {key}" for key, value in one.items() if type(value) in (int, float) and value)
        parts.append(f"{name}: {', '.join(figures)}")
    return " · ".join(parts), "state"


def _error(event: Event) -> tuple[str, str]:
    source = _text(event.get("source"))
    goes_on = {True: " (the session goes on)", False: " (the session cannot go on)"}.get(event.get("recoverable"), "")  # type: ignore[arg-type]
    return f"{source}: {_text(event.get('message'))}{goes_on}".removeprefix(": "), "error"


def _dropped(number: Any) -> str:
    return count(number) if type(number) is int else "events"


def _exited(event: Event) -> tuple[str, str]:
    code, reason = event.get("code"), _text(event.get("reason"))
    ended = (
        "" if code is None else f"exit code {code}" if type(code) is int and code >= 0 else f"signal {_text(code)[1:]}"
    )
    return f"{_text(event.get('agent'))}: {', '.join(filter(None, (ended, reason)))}", "error" if code else "state"


_SENTENCES: dict[str, Callable[[Event], tuple[str, str]]] = {
    "transcript": _transcript,
    "agent_text_delta": lambda e: (f"{who(e, 'agent')}: {_text(e.get('delta'))}", "agent"),
    "agent_text_complete": lambda e: (f"{who(e, 'agent')}: {_text(e.get('text'))}", "agent"),
    "agent_speech_started": lambda e: _speech(e, "agent", "starts to speak"),
    "agent_speech_finished": lambda e: _speech(e, "agent", "stops speaking"),
    "user_speech_started": lambda e: _speech(e, "user", "starts to speak"),
    "user_speech_finished": lambda e: _speech(e, "user", "stops speaking"),
    "agent_state_changed": _state,
    "user_state_changed": _state,
    "turn_metrics": _metrics,
    "usage_updated": _usage,
    "agent_handoff": lambda e: (f"{_text(e.get('old_agent')) or '…'} → {_text(e.get('new_agent'))}", "state"),
    "agent_false_interruption": lambda e: (
        "no interruption after all: " + ("the agent goes on" if e.get("resumed") else "the agent stays silent"),
        "state",
    ),
    "agent_error": _error,
    "agent_process_started": lambda e: (f"{_text(e.get('agent'))}, pid {_text(e.get('pid'))}", "state"),
    "agent_process_exited": _exited,
    "agent_ready": lambda e: (_text(e.get("message")), "state"),
    "session_started": lambda e: (
        ", ".join(filter(None, (_text(e.get("session")), _text(e.get("agent")), _text(e.get("mode"))))),
        "state",
    ),
    "session_ended": lambda e: (", ".join(filter(None, (_text(e.get("session")), _text(e.get("reason"))))), "state"),
    "events_dropped": lambda e: (
        f"the publisher has dropped {_dropped(e.get('count'))} ({_text(e.get('reason'))})",
        "gap",
    ),
    "stream_gap": lambda e: (gap_text(e), "gap"),
}
