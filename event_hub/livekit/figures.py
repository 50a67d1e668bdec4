"""LiveKit's latencies, usage and errors in the words of our events. Pure: looks at what it is given and no further."""

from __future__ import annotations

import json
import math
from typing import Any

_MOST = 16_384
"""Bytes of a tool's arguments or output that are published: a hub takes 64 KiB an event."""
_MOST_TEXT = 48_000
"""Bytes of a text, as JSON."""
SURELY_SHORT = _MOST_TEXT // 6
"""Characters that have no more bytes than that, whatever they are."""
_TIMES = frozenset({"started_speaking_at", "stopped_speaking_at"})


def latencies(metrics: Any) -> dict[str, Any]:
    """The figures of a `ChatMessage.metrics` under LiveKit's names; empty where there is none.

    What is missing stays absent: LiveKit writes 0 where it had nothing to measure (a text session's playback), and less
    than 0 where two of its clocks disagree; no latency is either.
    """
    found: dict[str, Any] = {}
    for name, value in (metrics or {}).items():
        if type(value) in (int, float) and math.isfinite(value) and value > 0:
            found[name] = value
        elif name.endswith("_metadata") and isinstance(value, dict):
            found[name] = {key: text for key, text in value.items() if isinstance(text, str)}
    return found if any(type(value) is not dict for name, value in found.items() if name not in _TIMES) else {}


def usage(models: Any) -> list[dict[str, Any]]:
    """The figures of a `session.usage.model_usage`, an object a model, without what is nought or not known."""
    found = []
    for model in models:
        known = ((name, value) for name, value in model.model_dump().items() if value not in (0, None, "", {}, []))
        one = {name: round(value, 3) if type(value) is float else value for name, value in known}
        if any(type(value) in (int, float) for value in one.values()):
            found.append(one)
    return found


def arguments(text: Any) -> Any:
    """A tool call's arguments as an object, or as the model's own text where it is no JSON object, or a very long one."""
    short = clipped(text)
    if short is not text or not isinstance(text, str):
        return short
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def clipped(text: Any) -> str | None:
    """A tool's text, cut where it is too long for an event, and saying so."""
    if not isinstance(text, str):
        return None
    cut = _cut(text, _MOST)
    return text if cut is text else f"{cut}… ({len(text)} characters)"


def shorten(event: dict[str, Any], name: str) -> None:
    """Cut a field that is too long for an event; `truncated` has the characters that it had."""
    text = event[name]
    cut = _cut(text, _MOST_TEXT)
    if cut is not text:
        event[name], event["truncated"] = cut, len(text)


def _cut(text: str, most: int) -> str:
    """As much of the beginning of `text` as has `most` bytes as JSON; `text` itself where all of it has."""
    if len(text) * 6 <= most:
        return text
    data = json.dumps(text[: most + 1], ensure_ascii=True)[1:-1]  # six bytes at most for what UTF-8 needs two to four
    if len(text) <= most and len(data) <= most:
        return text
    share = text[:most]
    while len(json.dumps(share)) - 2 > most:
        share = share[: len(share) * most // len(json.dumps(share))]
    return share


_KINDS = {
    "llm_error": ("llm", "the LLM"),
    "stt_error": ("stt", "the speech recognition"),
    "tts_error": ("tts", "the speech synthesis"),
    "realtime_model_error": ("realtime", "the realtime model"),
}


def error(error: Any, plugin: Any = None) -> dict[str, Any]:
    """An `agent_error`. The exception's own text stays out: it may hold what was said, or a key. `plugin`: which failed."""
    kind = str(getattr(error, "type", "") or type(error).__name__)
    source, subject = _KINDS.get(kind, (kind.removesuffix("_error"), "the agent"))
    cause = getattr(error, "error", error)
    names = [getattr(plugin, name, None) for name in ("provider", "model")]
    known = " ".join(name for name in names if isinstance(name, str) and name not in ("", "unknown"))
    who = f"{subject} ({known})" if known else subject
    recoverable = getattr(error, "recoverable", False)
    event = {
        "type": "agent_error",
        "message": f"{who} {_what(cause)}",
        "source": source,
        "recoverable": recoverable is True,
    }
    status = getattr(cause, "status_code", None)
    if type(status) is int and status > 0:
        event["status_code"] = status
    return event


def _what(cause: Any) -> str:
    status = getattr(cause, "status_code", None)
    names = {one.__name__ for one in type(cause).__mro__}
    if "APITimeoutError" in names or isinstance(cause, TimeoutError):
        return "did not answer in time"
    if type(status) is int and status > 0:
        hints = {
            401: ": wrong key",
            403: ": not allowed",
            404: ": no such model or address",
            429: ": too many requests",
        }
        return f"answered with status {status}{hints.get(status, '')}"
    if "APIConnectionError" in names or isinstance(cause, ConnectionError):
        return "could not be reached"
    return f"has failed ({type(cause).__name__})"
