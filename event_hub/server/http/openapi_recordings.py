"""What agents upload, and how it is served, in the description of the API."""

from __future__ import annotations

from typing import Any

from .json_schema import COUNT, FLAG, SECONDS, TEXT, TIMESTAMP, array, or_null, record, ref
from .openapi_row import BODY_ERRORS, JSON, Row
from .queries import SessionQuery
from .recording_queries import SessionLogsQuery

_PROTOBUF = "application/x-protobuf"
_OTLP_ERRORS = (*BODY_ERRORS, "bad_signature", "recording_disabled", "recordings_unavailable", "draining")
_SESSION_ERRORS = (
    "no_recording", "unknown_session", "ambiguous_session", "bad_parameter", "history_unavailable", "recordings_unavailable",
)  # fmt: skip
_SIGNALS = {"traces": "spans", "logs": "log records", "metrics": "metrics (checked, and not kept)"}


def _otlp(path: str, what: str) -> Row:
    summary = f"Receive {what} from an OTLP/HTTP exporter"
    return Row(path, "post", "recordings", summary, None, {_PROTOBUF: TEXT, JSON: {"type": "object"}}, _OTLP_ERRORS)


ROWS: tuple[Row, ...] = (
    Row(
        "/api/sessions/{id}/trace", "get", "recordings", "Get the spans of a session, earliest first", SessionQuery,
        {JSON: ref("Trace")}, _SESSION_ERRORS,
    ),
    Row(
        "/api/sessions/{id}/logs", "get", "recordings", "Get the log lines of a session's agent, oldest first",
        SessionLogsQuery, {JSON: ref("SessionLogs")}, _SESSION_ERRORS,
    ),
    Row(
        "/observability/recordings/v0", "post", "recordings", "Receive the recording of a LiveKit job",
        None, {"text/html": TEXT}, (*_OTLP_ERRORS, "bad_recording", "bad_field"),
    ),
    *(_otlp(f"/observability/{signal}/otlp/v0", f"{what} of LiveKit's agents") for signal, what in _SIGNALS.items()),
    *(_otlp(f"/v1/{signal}", what) for signal, what in _SIGNALS.items()),
)  # fmt: skip

_span = record(
    "parent", "scope", "error", "attributes", "events",
    trace=TEXT, id=TEXT, name=TEXT, start=TIMESTAMP, end=TIMESTAMP,
    parent={**TEXT, "description": "the id of the span that it is part of, which may be missing"},
    scope=TEXT,
    error={**FLAG, "description": "it failed"},
    attributes={"type": "object", "description": "figures and ids; content only with HUB_TRACE_CONTENT=1"},
    events=array({"type": "object"}),
)  # fmt: skip
_line = record(
    "exception", "trace", "attributes",
    at=TIMESTAMP, level=TEXT, logger=TEXT, message=TEXT, exception=TEXT, trace=TEXT, attributes={"type": "object"},
)  # fmt: skip
SCHEMAS: dict[str, dict[str, Any]] = {
    "Trace": record(
        job={**TEXT, "description": "LiveKit's job"},
        room_sid=or_null(TEXT),
        complete={**FLAG, "description": "the job has ended: nothing more is expected"},
        report={**or_null({"type": "object"}), "description": "LiveKit's report of the session, if a recording came"},
        spans=array(_span),
    ),
    "SessionLogs": record(
        job=TEXT,
        logs=array(_line),
        more={**FLAG, "description": "whether there are more lines: pass `next` as `after`"},
        next={**COUNT, "description": "the place of the last line that is listed"},
    ),
}
RECORDING = or_null(
    {
        **record(
            "started",
            duration=SECONDS,
            channels={**COUNT, "description": "2: the user is channel 0, the agent channel 1"},
            started={**TIMESTAMP, "description": "when its first sample was taken"},
            url=TEXT,
        ),
        "description": "the recording, once it was uploaded",
    }
)
TRACE = or_null({**record(complete=FLAG, url=TEXT), "description": "the spans, once some were uploaded"})
_binary = {"schema": {"type": "string", "format": "binary"}}
BODIES: dict[str, dict[str, Any]] = {
    "/observability/recordings/v0": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": record(
                    "chat_history",
                    "audio",
                    header={"type": "string", "format": "binary", "description": "livekit.MetricsRecordingHeader"},
                    chat_history={"type": "string", "format": "binary", "description": "JSON"},
                    audio={"type": "string", "format": "binary", "description": "OGG Opus"},
                )
            }
        },
    },
    **{
        path: {"required": True, "content": {_PROTOBUF: _binary, JSON: {"schema": {"type": "object"}}}}
        for signal in _SIGNALS
        for path in (f"/observability/{signal}/otlp/v0", f"/v1/{signal}")
    },
}
