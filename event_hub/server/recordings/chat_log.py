"""The items of a chat history as they come in log records: protobuf's JSON, in LiveKit's own form. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

SCOPES = frozenset({"chat_history", "evaluations"})
"""The scopes of log records that are not log lines."""
_TIMES = ("started_speaking_at", "stopped_speaking_at")


def item_of(record: Any) -> dict[str, Any] | None:
    """The item as chat_history.json has it, of a record's attribute `chat.item`; None if it is none that tells of the
    conversation."""
    if not isinstance(record, dict) or len(record) != 1:
        return None
    ((kind, given),) = record.items()
    if not isinstance(given, dict) or kind == "agent_config_update":
        return None
    item = {**given, "type": kind}
    if (at := _epoch(given.get("created_at"))) is not None:
        item["created_at"] = at
    else:
        item.pop("created_at", None)
    if isinstance(role := given.get("role"), str):
        item["role"] = role.lower()
    content = given.get("content")
    if isinstance(content, list):
        item["content"] = [
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
    metrics = given.get("metrics")
    if isinstance(metrics, dict):
        item["metrics"] = {
            name: _epoch(value) if name in _TIMES else value for name, value in metrics.items() if value is not None
        }
    return item


def _epoch(value: Any) -> float | None:
    """An RFC 3339 time with nanoseconds, in epoch seconds."""
    if not isinstance(value, str):
        return None
    text = value.removesuffix("Z")
    whole, _, fraction = text.partition(".")
    try:
        seconds = datetime.fromisoformat(f"{whole}+00:00").timestamp()
        return seconds + float(f"0.{fraction}") if fraction else seconds
    except (ValueError, OverflowError):
        return None
