"""What the API's description says of sessions: the schemas of `/api/sessions…` and `/api/rooms`."""

from __future__ import annotations

from typing import Any

from ..sessions.latency import FIGURES, PARTS
from ..sessions.session import COUNTS

_text: dict[str, Any] = {"type": "string"}
_count: dict[str, Any] = {"type": "integer", "minimum": 0}
_flag: dict[str, Any] = {"type": "boolean"}
_cursor: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-z]{1,16}-[0-9]+$"}
_seconds: dict[str, Any] = {"type": "number", "minimum": 0, "description": "seconds"}
_stamp: dict[str, Any] = {"type": "number", "description": "epoch seconds"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(*optional: str, **properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional and "all" not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: dict[str, Any], about: str = "") -> dict[str, Any]:
    return {"type": "array", "items": items, **({"description": about} if about else {})}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_statistics = _object(count=_count, **dict.fromkeys(("min", "median", "p95", "max", "mean"), _seconds))
_figures = _object("all", **dict.fromkeys(FIGURES, _statistics))
_counts = _object(**dict.fromkeys(("turns", *COUNTS, "interruptions"), _count))
_speech = _object(user=_seconds, agent=_seconds)
_places = {
    "first": {**_cursor, "description": "its first event"},
    "last": {**_cursor, "description": "its newest event"},
    "partial": {**_flag, "description": "its beginning is no longer in the history, or may not be"},
}
_summary: dict[str, Any] = {
    "id": {**_text, "description": "its name; without one `room:` and its room; `none` without either"},
    "room": _or_null(_text),
    "session": _or_null(_text),
    "agent": _or_null(_text),
    "mode": _or_null(_text),
    "status": {"enum": ["live", "ended"]},
    "reason": {**_or_null(_text), "description": "why it has ended"},
    "state": {
        **_object(agent=_or_null(_text), user=_or_null(_text), agent_speaking=_flag, user_speaking=_flag),
        "description": "what is going on: LiveKit's states, and who is heard",
    },
    "started": _or_null(_stamp),
    "updated": _or_null(_stamp),
    "ended": _or_null(_stamp),
    "duration": _or_null(_seconds),
    "counts": _counts,
    "speech": {**_speech, "description": "how long who was heard"},
    "latency": {**_figures, "description": "of each figure that was measured"},
    "usage": _list({"type": "object"}, "per model, LiveKit's field names"),
}
_said = _object(
    "all", text=_text, participant=_text, started=_stamp, stopped=_stamp, typed=_flag, final=_flag, interrupted=_flag
)
_latency = _object(
    "total", "measured", "unaccounted", "overlap",
    total={**_seconds, "description": "from the end of the user's speech until the agent was heard"},
    measured={"enum": ["e2e_latency", "events"]},
    parts=_list(_object(name={"enum": list(PARTS)}, seconds=_seconds)),
    unaccounted={**_seconds, "description": "what the parts leave of the total"},
    overlap={**_seconds, "description": "what the parts have beyond the total, for they ran side by side"},
)  # fmt: skip
_item = {
    **_object("all", kind={"enum": ["said", "tool", "event"]}, at=_stamp),
    "description": "`said`: text, role, participant, final, and of a reply generating, speaking, interrupted, generated; "
    "`tool`: name, arguments, status, output, duration; `event`: the event itself",
}

SCHEMAS: dict[str, dict[str, Any]] = {
    "SessionSummary": _object(**_summary, **_places),
    "SessionsPage": _object(
        sessions=_list(_ref("SessionSummary")),
        more={**_flag, "description": "there are older ones: `before` the `last` of the last one here"},
        forgotten={**_count, "description": "sessions of the history that are too many to be known"},
        cursor={**_cursor, "description": "up to where the events are told"},
    ),
    "RoomsPage": _object(
        rooms=_list(
            _object(
                room=_or_null(_text), sessions=_count, live=_count, updated=_or_null(_stamp), duration=_seconds,
                counts=_counts, speech=_speech, latency=_figures,
            )
        ),
        more=_flag,
        cursor=_cursor,
    ),
    "Session": _object(
        cursor={**_cursor, "description": "up to where its events are told: a stream goes on after it without a hole"},
        stream={**_text, "description": "that stream, on this hub: of its room, for what names only the room is of it, too"},
        **_places,
        **_summary,
        turns=_list(
            _object(
                "began", "user", "agent", "utterances", "tools", "errors", "latency",
                number=_count, began=_stamp, user=_said, agent=_said, utterances=_list(_text),
                tools=_list(_object("all", call_id=_text, name=_text, duration=_seconds, is_error=_flag)),
                errors=_count, latency=_latency,
            )
        ),
        conversation=_list(_item, "in the order in which it began"),
        forgotten={**_object(turns=_count, items=_count), "description": "older ones that are too many to be kept"},
    ),
    "Transcript": _object(
        "started",
        id=_text, room=_or_null(_text), session=_or_null(_text), agent=_or_null(_text), status={"enum": ["live", "ended"]},
        started=_or_null(_stamp), updated=_or_null(_stamp), duration=_or_null(_seconds),
        transcript=_list(
            _object(
                "at", "ended", "role", "participant", "interrupted", "typed", "utterance",
                text=_text, at=_stamp, ended=_stamp, role=_text, participant=_text, interrupted=_flag, typed=_flag,
                utterance=_text,
            )
        ),
        forgotten=_count,
        cursor=_cursor,
    ),
}  # fmt: skip
