"""What agents upload, and how it is served, in the description of the API."""

from __future__ import annotations

from typing import Any

from .json_schema import COUNT, FLAG, SECONDS, TEXT, TIMESTAMP, array, or_null, record, ref
from .openapi_row import BODY_ERRORS, JSON, Row
from .recording_queries import PeaksQuery, SessionLogsQuery, WavQuery
from .session_queries import SessionQuery

_BINARY = {"type": "string", "format": "binary"}
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
        "/api/sessions/{id}/audio", "get", "recordings", "Get the recording of a session: OGG Opus; with Range and ETag", SessionQuery,
        {"audio/ogg": _BINARY}, (*_SESSION_ERRORS, "bad_recording"), ("200", "206", "304", "416"),
    ),
    Row(
        "/api/sessions/{id}/audio.wav", "get", "recordings", "Get one channel of the recording as WAV: mono, 24 kHz, 16 bit", WavQuery,
        {"audio/wav": _BINARY}, (*_SESSION_ERRORS, "recording_in_progress"),
    ),
    Row(
        "/api/sessions/{id}/audio/peaks", "get", "recordings", "Get the waveform of the recording", PeaksQuery,
        {JSON: ref("Peaks")}, (*_SESSION_ERRORS, "bad_recording", "recording_in_progress"),
    ),
    Row(
        "/api/sessions/{id}/audio/marks", "get", "recordings", "Get where each utterance is in the recording", SessionQuery,
        {JSON: ref("Marks")}, (*_SESSION_ERRORS, "bad_recording", "recording_in_progress"),
    ),
    Row("/api/alerts", "get", "operations", "List the rules in HUB_ALERTS, and what breaks them", None, {JSON: ref("Alerts")}),
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
    "Peaks": record(
        duration=SECONDS,
        channels=COUNT,
        per_second={"type": "number", "description": "peaks for each second"},
        peaks=array(array({"type": "number"}), "for each channel, from 0 to 1"),
    ),
    "Marks": record(
        started={**TIMESTAMP, "description": "when the first sample was taken"},
        duration=SECONDS,
        marks=array(
            record(
                "end",
                "utterance",
                role={"enum": ["user", "agent"]},
                utterance=or_null(TEXT),
                text=TEXT,
                began=TIMESTAMP,
                offset={
                    "type": "number",
                    "description": "seconds in the recording at which its event says that it begins",
                },
                heard={**or_null(SECONDS), "description": "where it is first heard; null: nothing is heard near it"},
                end={"type": "number", "description": "where it ends, as its events say"},
            )
        ),
    ),
    "Alerts": record(
        rules=array(TEXT, "as HUB_ALERTS has them"),
        raised=array(ref("Event"), "`alert_raised` events of alerts that are not cleared"),
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
COST = {
    **record(
        amount={"type": "number"},
        currency=TEXT,
        unpriced=array(TEXT, "models without a price, which are not part of the amount"),
    ),
    "description": "what its models cost; only with HUB_PRICES",
}
_binary = {"schema": _BINARY}
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
