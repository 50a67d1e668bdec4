"""Reads an event's fields without trusting them: a history may be older than today's checks. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]

LATEST = 1e12
"""Timestamps from here on are not epoch seconds; most likely they are milliseconds."""
LONGEST_LATENCY = 200.0
"""Seconds. A latency of this size or more comes from two clocks that disagree, or from a hole in the events."""
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Characters that a transcript must not contain: controls, marks that change the direction of text, half surrogates."""


def stamp(event: Event) -> float | None:
    """The event's timestamp in epoch seconds; None if it has none."""
    return epoch(event.get("timestamp"))


def epoch(value: Any) -> float | None:
    """A point in time, in epoch seconds; None if `value` is not one."""
    if type(value) not in (int, float):
        return None
    return float(value) if 0 <= value < LATEST else None


def name(event: Event, field: str) -> str | None:
    """A name, such as an utterance's; None if there is none."""
    value = event.get(field)
    return value if isinstance(value, str) and value else None


def text(event: Event, field: str) -> str:
    """A text; empty if there is none."""
    value = event.get(field)
    return value if isinstance(value, str) else ""


def seconds(value: Any) -> float | None:
    """A duration in seconds, 0 or more; None if `value` is not one."""
    if type(value) not in (int, float) or not value >= 0:
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) and result < LATEST else None


def latency_seconds(value: Any) -> float | None:
    """A latency that a clock can have measured; else None."""
    result = seconds(value)
    return result if result is not None and result < LONGEST_LATENCY else None


def between(begin: float | None, end: float | None) -> float | None:
    """The time from `begin` to `end`; None if either is unknown, or if it would be negative: two clocks disagree."""
    if begin is None or end is None or end < begin:
        return None
    return end - begin


def speaker(fields: Event, names: Mapping[str, str] | None = None) -> str:
    """Who speaks, for people: the name that `names` gives a `speaker_id` or a participant; else the participant, with the
    `speaker_id` that tells apart those who share a microphone; else the side of the conversation."""
    participant, voice = name(fields, "participant"), name(fields, "speaker_id")
    for known in (voice, participant):
        if known is not None and names and known in names:
            return names[known]
    if participant and voice:
        return f"{participant} ({voice})"
    return participant or voice or name(fields, "role") or "user"
