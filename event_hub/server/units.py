"""Parses durations and sizes in settings. Pure."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def seconds(text: Any) -> float:
    """`15`, `15s`, `1.5m`, `7d` → seconds; raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", str(text).strip())
    if not match:
        raise ValueError("is not a duration: write 15s, 5m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def size(text: Any) -> int:
    """`65536`, `64KiB`, `1GB` → bytes; raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b?)", str(text).strip().lower())
    if not match or match[2] not in _SIZES:
        raise ValueError("is not a size: write 64KiB, 8MiB or 1GB")
    return int(float(match[1]) * _SIZES[match[2]])
