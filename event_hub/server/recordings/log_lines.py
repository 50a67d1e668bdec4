"""Log records as they are kept. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from .otlp import LogRecord
from .spans import kept

_LONGEST_LINE = 8_192
"""Characters of a message."""


def line_of(record: LogRecord, content: bool) -> dict[str, Any]:
    """A log record as it is kept: without stack traces, exception texts and paths, unless content is kept."""
    body = record.body if isinstance(record.body, str) else msgspec.json.encode(record.body).decode()
    line: dict[str, Any] = {
        "at": record.at,
        "level": level_name(record.level),
        "logger": record.scope,
        "message": body if len(body) <= _LONGEST_LINE else body[: _LONGEST_LINE - 1] + "…",
    }
    if exception := record.attributes.get("exception.type"):
        line["exception"] = str(exception)[:128]
    if record.trace is not None:
        line["trace"] = record.trace
    if content and (rest := kept(record.attributes.items(), True)):
        line["attributes"] = rest
    return line


LEVELS = {"trace": 1, "debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
"""The lowest severity number of each level (https://opentelemetry.io/docs/specs/otel/logs/data-model/)."""


def level_name(number: int) -> str:
    """The level of a severity number; 0, which is unspecified, counts as info."""
    return next((name for name, lowest in reversed(LEVELS.items()) if number >= lowest), "info")
