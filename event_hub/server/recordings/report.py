"""The header of an uploaded recording: LiveKit's `MetricsRecordingHeader`, and the session report in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ..errors import RequestError
from .otlp import JobIds

_KEPT = frozenset(
    (
        "job_id", "room_id", "room", "audio_recording_started_at", "timestamp", "usage", "sdk_version", "agent_name",
        "tags", "duration_ms", "user_turns", "errors", "close_reason",
    )
)  # fmt: skip
"""Of the session summary. `audio_recording_path` is a path of the agent's machine, and `options` may contain anything."""


class Header(NamedTuple):
    """`started`: when the first sample of the recording was taken, in epoch seconds. `redacted`: the agent asked LiveKit to
    redact, which is left to the receiver for words and sound."""

    ids: JobIds
    room: str | None
    report: dict[str, Any]
    started: float | None
    redacted: bool


def parse(data: bytes) -> Header:
    """The header; raises `RequestError` if it is none, or names no job."""
    from google.protobuf.message import DecodeError
    from livekit.protocol import metrics

    try:
        header = metrics.MetricsRecordingHeader.FromString(data)
    except DecodeError as error:
        raise RequestError("bad_body", f"the part header is not a MetricsRecordingHeader: {error}") from None
    report = _summary(header.session_summary)
    job = header.job_id or report.get("job_id")
    if not isinstance(job, str) or not 0 < len(job) <= 128 or not job.isprintable():
        raise RequestError("bad_field", "the part header names no job", field="job_id")
    room, agent = report.get("room"), report.get("agent_name")
    ids = JobIds(job, header.room_id[:128] or None, agent[:128] if isinstance(agent, str) and agent else None)
    exact = report.get("audio_recording_started_at")
    started = header.start_time.seconds + header.start_time.nanos / 1e9
    if isinstance(exact, int | float) and abs(exact - started) < 1:
        started = float(exact)  # the header's own is cut to milliseconds
    return Header(
        ids,
        room[:128] if isinstance(room, str) and room else None,
        report,
        started if started > 0 else None,
        header.redaction_enabled,
    )


def _summary(text: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text) if text else {}
    except (ValueError, RecursionError):
        value = {}
    return {name: item for name, item in value.items() if name in _KEPT} if isinstance(value, dict) else {}


def chat_items(data: bytes) -> list[Any]:
    """The items of chat_history.json; raises `RequestError`."""
    try:
        value = msgspec.json.decode(data)
        items = value["items"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise RequestError("bad_json", "the part chat_history is not LiveKit's chat history in JSON") from None
    if not isinstance(items, list):
        raise RequestError("bad_json", "the part chat_history has no list of items")
    return [item for item in items if isinstance(item, dict) and item.get("type") != "agent_config_update"]
