"""The OpenAPI schemas of `/api/sessions…` and `/api/rooms`."""

from __future__ import annotations

from typing import Any

from ...sessions.latency import FIGURES, PARTS
from ...sessions.session import COUNTS
from ..session_index.series import SHOWN
from .json_schema import COUNT, CURSOR, FLAG, SECONDS, TEXT, TIMESTAMP, array, or_null, record, ref
from .openapi_recordings import COST, RECORDING, TRACE
from .openapi_row import JSON, Row
from .session_queries import (
    ProblemsQuery,
    RoomsQuery,
    SeriesQuery,
    SessionQuery,
    SessionsQuery,
    SpeakersQuery,
    TranscriptQuery,
)

_statistics = record(count=COUNT, **dict.fromkeys(("min", "median", "p95", "max", "mean"), SECONDS))
_figures = record("all", **dict.fromkeys(FIGURES, _statistics))
_counts = record(**dict.fromkeys(("turns", *COUNTS, "interruptions"), COUNT))
_speech = record(user=SECONDS, agent=SECONDS)
_places = {
    "first": {**CURSOR, "description": "its first event"},
    "last": {**CURSOR, "description": "its newest event"},
    "partial": {**FLAG, "description": "whether its beginning may be missing from the history"},
}
_summary: dict[str, Any] = {
    "id": {**TEXT, "description": "its name; if it has none, `room:` and its room; if it has neither, `none`"},
    "room": or_null(TEXT),
    "session": or_null(TEXT),
    "agent": or_null(TEXT),
    "version": {**or_null(TEXT), "description": "the agent's version, as `attach(session, version=…)` names it"},
    "tags": array(TEXT, "from `annotation` events"),
    "notes": {**COUNT, "description": "number of annotations"},
    "mode": or_null(TEXT),
    "job": {**or_null(TEXT), "description": "LiveKit's job"},
    "room_sid": {**or_null(TEXT), "description": "LiveKit's id of the room"},
    "told": {"enum": ["afterwards", None], "description": "`afterwards`: made from what its agent uploaded"},
    "status": {"enum": ["live", "ended"]},
    "reason": {**or_null(TEXT), "description": "why it ended"},
    "state": {
        **record(agent=or_null(TEXT), user=or_null(TEXT), agent_speaking=FLAG, user_speaking=FLAG),
        "description": "the current state: LiveKit's states, and who is audible",
    },
    "started": or_null(TIMESTAMP),
    "updated": or_null(TIMESTAMP),
    "ended": or_null(TIMESTAMP),
    "duration": or_null(SECONDS),
    "counts": _counts,
    "speech": {**_speech, "description": "how long each side was audible"},
    "latency": {**_figures, "description": "statistics of each figure that was measured"},
    "waits": array(SECONDS, "how long the user waited in each of the newest 40 turns of which that is known"),
    "slowest": {
        **or_null(record(turn=COUNT, seconds=SECONDS, at=or_null(TIMESTAMP))),
        "description": "the turn with the longest wait",
    },
    "usage": array({"type": "object"}, "per model, with LiveKit's field names"),
    "recording": RECORDING,
    "trace": TRACE,
    "cost": COST,
}
_matches = array(
    record(turn=or_null(COUNT), at=or_null(TIMESTAMP), role={"enum": ["user", "agent", "note"]}, text=TEXT),
    "with `q`: up to three utterances with the words, each between the characters U+E000 and U+E001",
)
_percentiles = record("all", **dict.fromkeys(SHOWN, record(count=COUNT, median=SECONDS, p95=SECONDS)))
_point: dict[str, Any] = {
    "sessions": COUNT, "turns": COUNT, "errors": COUNT, "tool_errors": COUNT, "interruptions": COUNT,
    "input_tokens": COUNT, "output_tokens": COUNT, "latency": _percentiles, "cost": COST,
}  # fmt: skip
_example = record(id=TEXT, room=or_null(TEXT), turn=or_null(COUNT), at=or_null(TIMESTAMP), message=or_null(TEXT))
_said = record(
    "all", text=TEXT, participant=TEXT, speaker_id=TEXT, started=TIMESTAMP, stopped=TIMESTAMP, typed=FLAG, final=FLAG,
    interrupted=FLAG,
)  # fmt: skip
_entry = record(
    "at", "ended", "role", "participant", "speaker_id", "speaker", "interrupted", "typed", "utterance", "session",
    text=TEXT, at=TIMESTAMP, ended=TIMESTAMP, role=TEXT, participant=TEXT, speaker_id=TEXT,
    speaker={**TEXT, "description": "the name given by `speakers`"},
    interrupted=FLAG, typed=FLAG, utterance=TEXT, session=or_null(TEXT),
)  # fmt: skip
_latency = record(
    "total", "measured", "unaccounted", "overlap",
    total={**SECONDS, "description": "from the end of the user's speech until the agent was heard"},
    measured={"enum": ["e2e_latency", "events"]},
    parts=array(record(name={"enum": list(PARTS)}, seconds=SECONDS)),
    unaccounted={**SECONDS, "description": "the rest of the total that no part explains"},
    overlap={**SECONDS, "description": "by how much the parts exceed the total because they overlapped"},
)  # fmt: skip
_usage = array({"type": "object"}, "per model, with LiveKit's field names")
_item = {
    **record("all", kind={"enum": ["said", "unsaid", "tool", "event"]}, at=TIMESTAMP),
    "description": "`said`: text, role, participant, speaker_id, final, and for a reply generating, speaking, interrupted, "
    "generated; `unsaid`: a reply that was written and never heard, with generated; "
    "`tool`: name, arguments, status, output, duration; `event`: the event itself",
}

TRANSCRIPTS: dict[str, Any] = dict.fromkeys(("text/plain", "text/markdown", "application/x-subrip", "text/vtt"), TEXT)
"""The media types of a transcript beside JSON."""
SCHEMAS: dict[str, dict[str, Any]] = {
    "SessionSummary": record("cost", "matches", **_summary, **_places, matches=_matches),
    "SessionsPage": record(
        sessions=array(ref("SessionSummary")),
        more={**FLAG, "description": "whether there are more sessions: pass `next` as `before`"},
        next={**or_null(TEXT), "description": "where the next page begins"},
        searched={
            **FLAG,
            "description": "with `q`: whether all utterances were searched; false: only the newest 20,000 with these words",
        },
        forgotten={**COUNT, "description": "0: all sessions of the history are known"},
        cursor={**CURSOR, "description": "the last event that is included"},
    ),
    "Series": record(
        since=TIMESTAMP,
        until=TIMESTAMP,
        step={**SECONDS, "description": "between two points"},
        by={"enum": ["agent", "version", "room"]},
        groups=array(
            record(
                name=or_null(TEXT),
                points=array(record("cost", at=TIMESTAMP, **_point), "a time without events has no point"),
                total=record("cost", **_point),
            ),
            "those with the most sessions, 20 at most; percentiles are at most 7 % above what was measured",
        ),
        more={**FLAG, "description": "whether there are more groups"},
        cursor={**CURSOR, "description": "the last event that is included"},
    ),
    "Problems": record(
        errors=array(
            record(
                source=TEXT, message=TEXT, count=COUNT, sessions=COUNT, first=TIMESTAMP, last=TIMESTAMP,
                recoverable=or_null(FLAG), examples=array(_example),
            ),
            "grouped by source and message, without numbers and ids; the most frequent first",
        ),
        tools=array(
            record(name=TEXT, calls=COUNT, errors=COUNT, median=or_null(SECONDS), p95=or_null(SECONDS), examples=array(_example)),
            "those that fail most first",
        ),
        more={**FLAG, "description": "whether there are more groups of errors"},
        cursor={**CURSOR, "description": "the last event that is included"},
    ),
    "RoomsPage": record(
        rooms=array(
            record(
                "cost",
                room=or_null(TEXT), sessions=COUNT, live=COUNT, updated=or_null(TIMESTAMP), duration=SECONDS,
                counts=_counts, speech=_speech, latency=_figures, cost=COST,
            )
        ),
        more=FLAG,
        cursor=CURSOR,
    ),
    "Session": record(
        "cost",
        cursor={**CURSOR, "description": "the last event that is included; a stream that starts after it has no gap"},
        stream={**TEXT, "description": "path of that stream: all events of the room, including those without a session"},
        **_places,
        **_summary,
        turns=array(
            record(
                "began", "user", "agent", "utterances", "tools", "errors", "left_out", "usage", "cost", "latency",
                number=COUNT, began=TIMESTAMP, user=_said, agent=_said, utterances=array(TEXT),
                tools=array(record("all", call_id=TEXT, name=TEXT, duration=SECONDS, is_error=FLAG)),
                errors=COUNT, latency=_latency, usage=_usage, cost=COST,
                left_out={
                    **record("all", tools=COUNT, replies=COUNT, utterances=COUNT),
                    "description": "number of older ones that are not listed",
                },
            )
        ),
        unassigned={
            **record("cost", usage=_usage, cost=COST),
            "description": "what the session used beyond its `turns`; both together are `usage` and `cost`",
        },
        conversation=array(_item, "ordered by start"),
        forgotten={**record(turns=COUNT, items=COUNT), "description": "number of older entries that were dropped"},
    ),
    "Transcript": record(
        "started",
        id=TEXT, room=or_null(TEXT), session=or_null(TEXT), agent=or_null(TEXT), status={"enum": ["live", "ended"]},
        started=or_null(TIMESTAMP), updated=or_null(TIMESTAMP), duration=or_null(SECONDS),
        transcript=array(_entry),
        forgotten=COUNT,
        cursor=CURSOR,
    ),
    "RoomTranscript": record(
        room=TEXT, sessions=array(TEXT, "the ids of its sessions"), status={"enum": ["live", "ended"]},
        started=or_null(TIMESTAMP), updated=or_null(TIMESTAMP), duration=or_null(SECONDS),
        transcript=array(_entry),
        forgotten=COUNT,
        left_out={**COUNT, "description": "number of older sessions that are not included"},
        cursor=CURSOR,
    ),
}  # fmt: skip

ROWS = (
    Row(
        "/api/sessions", "get", "sessions", "List sessions, those with the newest events first", SessionsQuery,
        {JSON: ref("SessionsPage")}, ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    Row(
        "/api/rooms", "get", "sessions", "Summarize the sessions of each room", RoomsQuery,
        {JSON: ref("RoomsPage")}, ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    Row(
        "/api/sessions/{id}", "get", "sessions", "Get a session: states, turns, conversation, and where to resume the stream", SessionQuery,
        {JSON: ref("Session")}, ("unknown_session", "ambiguous_session", "bad_parameter", "history_unavailable"),
    ),
    Row(
        "/api/sessions/{id}/transcript.{form}", "get", "sessions", "Get the transcript of a session", TranscriptQuery,
        {JSON: ref("Transcript"), **TRANSCRIPTS},
        ("not_found", "unknown_session", "ambiguous_session", "bad_parameter", "history_unavailable"),
    ),
    Row(
        "/api/rooms/{room}/transcript.{form}", "get", "sessions", "Get the transcript of a room: of all its sessions", SpeakersQuery,
        {JSON: ref("RoomTranscript"), **TRANSCRIPTS}, ("not_found", "bad_parameter", "history_unavailable"),
    ),
    Row(
        "/api/series", "get", "sessions", "Get figures over time: calls, errors, tokens, percentiles of latencies", SeriesQuery,
        {JSON: ref("Series")}, ("bad_parameter", "bad_filter", "history_unavailable"),
    ),
    Row(
        "/api/errors", "get", "sessions", "Get errors by source and message, and the tools that fail", ProblemsQuery,
        {JSON: ref("Problems")}, ("bad_parameter", "bad_filter", "history_unavailable"),
    ),
)  # fmt: skip
