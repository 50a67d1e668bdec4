"""LiveKit's latencies, usage and request metrics as fields of our events. Pure.

What was not measured is left out: LiveKit writes 0 or -1 where it had nothing to measure, such as the playback latency of
a text session, and a negative latency if two clocks disagree.
"""

from __future__ import annotations

import math
from typing import Any

_TIMES = frozenset({"started_speaking_at", "stopped_speaking_at"})
_IGNORED = frozenset({"vad_metrics"})
"""The VAD reports once a second for as long as the session lasts."""


def latencies(metrics: Any) -> dict[str, Any]:
    """The latencies of a `ChatMessage.metrics`, under LiveKit's names; empty if there is none."""
    found: dict[str, Any] = {}
    for name, value in (metrics or {}).items():
        if type(value) in (int, float) and math.isfinite(value) and value > 0:
            found[name] = value
        elif name.endswith("_metadata") and isinstance(value, dict):
            found[name] = {key: text for key, text in value.items() if isinstance(text, str)}
        elif name == "provider_request_ids" and isinstance(value, list):
            found[name] = [text for text in value if isinstance(text, str)]
    measured = (name for name, value in found.items() if type(value) in (int, float) and name not in _TIMES)
    return found if found.get("provider_request_ids") or any(measured) else {}


def usage(models: Any) -> list[dict[str, Any]]:
    """The usage of each model in a `session.usage.model_usage`, without zeros and empty fields."""
    found = []
    for model in models:
        known = ((name, value) for name, value in model.model_dump().items() if value not in (0, None, "", {}, []))
        fields = {name: round(value, 3) if type(value) is float else value for name, value in known}
        if any(type(value) in (int, float) for value in fields.values()):
            found.append(fields)
    return found


def request(metrics: Any) -> dict[str, Any] | None:
    """The metrics of one request to a model, under LiveKit's names; None for metrics that are not about a request."""
    if metrics.type in _IGNORED:
        return None
    return measured(metrics.model_dump())


def measured(fields: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, bool) or (isinstance(value, str) and value):
            found[name] = value
        elif isinstance(value, float):
            if math.isfinite(value) and value > 0:
                found[name] = round(value, 6)
        elif isinstance(value, int):
            if value > 0:
                found[name] = value
        elif isinstance(value, dict) and (inner := measured(value)):
            found[name] = inner
    return found
