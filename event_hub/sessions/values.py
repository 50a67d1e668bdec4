"""What an event's fields hold, read without trust: a history may be older than the checks of today. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]

_LATEST = 1e12
"""Timestamps from here on are no epoch seconds, but most likely milliseconds."""


def stamp(event: Event) -> float | None:
    """The event's timestamp, epoch seconds; None where it is none."""
    value: Any = event.get("timestamp")
    if type(value) not in (int, float):
        return None
    return float(value) if 0 <= value < _LATEST else None


def name(event: Event, field: str) -> str | None:
    """A name, such as an utterance's; None where there is none."""
    value = event.get(field)
    return value if isinstance(value, str) and value else None


def text(event: Event, field: str) -> str:
    """Text; empty where there is none."""
    value = event.get(field)
    return value if isinstance(value, str) else ""


def seconds(value: Any) -> float | None:
    """A duration in seconds, 0 or more; None where it is none."""
    if type(value) not in (int, float) or not value >= 0:
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) and result < _LATEST else None


def between(begin: float | None, end: float | None) -> float | None:
    """The time from `begin` to `end`; None where either is unknown, or where it would be negative: two clocks disagree."""
    if begin is None or end is None or end < begin:
        return None
    return end - begin
