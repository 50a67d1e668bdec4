"""`/openapi.json`: the API's description, put together with apispec from the route table, the query models, the event
models and the catalogue of errors, so that there is nothing in it that the hub does not do."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from apispec import APISpec
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from .. import __version__
from ..events import HUB_ONLY, KNOWN
from ..events.schema import json_schemas
from .agents.states import State
from .errors import CATALOGUE
from .openapi_sessions import SCHEMAS as SESSIONS
from .queries import (
    EventsQuery,
    LogsQuery,
    RoomsQuery,
    SessionQuery,
    SessionsQuery,
    StartBody,
    StopBody,
    StopQuery,
    StreamQuery,
    SubscribersQuery,
    TokenBody,
)

_REF = "#/components/schemas/{model}"

_JSON = "application/json"


class _Row(NamedTuple):
    """One operation. `answers`: what success carries, media type → schema; `body`: a model, or ready for OpenAPI."""

    path: str
    method: str
    tag: str
    summary: str
    query: type[BaseModel] | None
    answers: dict[str, Any]
    errors: tuple[str, ...] = ()
    success: tuple[str, ...] = ("200",)
    body: type[BaseModel] | None = None


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=model)}


_BODY_ERRORS = (
    "bad_json",
    "bad_body",
    "body_timeout",
    "body_too_large",
    "unsupported_media_type",
    "unsupported_encoding",
)
_TABLE: tuple[_Row, ...] = (
    _Row(
        "/api/stream", "get", "stream", "Every event, live, as Server-Sent Events", StreamQuery,
        {"text/event-stream": {"type": "string", "examples": ['id: 3f9ac0d1-42\ndata: {"type":"agent_ready"}\n\n']}},
        ("bad_cursor", "bad_filter", "bad_parameter", "too_many_filters", "too_many_subscribers", "history_unavailable", "draining"),
    ),
    _Row(
        "/api/agent/data", "post", "publish", "Publish one event, an array of events, or NDJSON: all of it or nothing", None,
        {_JSON: {"anyOf": [_ref("Published"), _ref("BatchPublished")]}},
        (*_BODY_ERRORS, "event_too_large", "too_many_events", "bad_event", "hub_only_type", "history_unavailable", "draining"),
    ),
    _Row(
        "/api/events", "get", "history", "The history, a page at a time; all of it with Accept: application/x-ndjson", EventsQuery,
        {_JSON: _ref("EventsPage"), "application/x-ndjson": {"type": "string"}},
        ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    _Row(
        "/api/sessions", "get", "sessions", "What the events add up to: sessions, those with the newest events first", SessionsQuery,
        {_JSON: _ref("SessionsPage")}, ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    _Row(
        "/api/rooms", "get", "sessions", "What the sessions of each room add up to", RoomsQuery,
        {_JSON: _ref("RoomsPage")}, ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    _Row(
        "/api/sessions/{id}", "get", "sessions", "One session: states, turns, conversation, and where the stream goes on", SessionQuery,
        {_JSON: _ref("Session")}, ("unknown_session", "ambiguous_session", "bad_parameter", "history_unavailable"),
    ),
    _Row(
        "/api/sessions/{id}/transcript.{form}", "get", "sessions", "What was said in one session", SessionQuery,
        {
            _JSON: _ref("Transcript"), "text/plain": {"type": "string"}, "text/markdown": {"type": "string"},
            "application/x-subrip": {"type": "string"}, "text/vtt": {"type": "string"},
        },
        ("not_found", "unknown_session", "ambiguous_session", "bad_parameter", "history_unavailable"),
    ),
    _Row(
        "/api/agent/start", "post", "agents", "Start an agent; without a body, what the settings allow", None, {_JSON: _ref("AgentBrief")},
        (
            *_BODY_ERRORS, "bad_field", "bad_parameter", "forbidden_origin", "agent_running", "agent_not_configured", "too_many_agents",
            "agent_unavailable", "draining",
        ),
        ("202",), StartBody,
    ),
    _Row(
        "/api/agent/stop", "post", "agents", "Stop one agent, or all: 202 while one is stopping, 200 where none is running any more", StopQuery,
        {_JSON: _ref("AgentsStopped")}, (*_BODY_ERRORS, "bad_field", "bad_parameter", "forbidden_origin", "unknown_agent"),
        ("200", "202"), StopBody,
    ),
    _Row("/api/agent/status", "get", "agents", "All agents, the newest first, those that are over included", None, {_JSON: _ref("AgentsStatus")}, ("bad_parameter",)),
    _Row(
        "/api/agent/logs", "get", "agents", "The last lines that an agent has written", LogsQuery,
        {"text/plain": {"type": "string"}, _JSON: _ref("AgentLog"), "application/x-ndjson": {"type": "string"}},
        ("bad_parameter", "forbidden_origin", "unknown_agent"),
    ),
    _Row(
        "/api/token", "post", "livekit", "A token to join a room with, as LiveKit's clients ask for it", None, {_JSON: _ref("Token")},
        (*_BODY_ERRORS, "bad_field", "forbidden_origin", "livekit_not_configured"), ("201",), TokenBody,
    ),
    _Row(
        "/api/livekit/webhook", "post", "livekit", "LiveKit's own webhooks, signed by it, broadcast as livekit_… events", None,
        {_JSON: _ref("WebhookTaken")},
        (
            "bad_json", "bad_body", "body_timeout", "body_too_large", "unsupported_encoding", "bad_field", "bad_signature",
            "event_too_large", "livekit_not_configured", "history_unavailable", "draining",
        ),
    ),
    _Row("/api/health", "get", "operations", "Whether the hub takes events; 503 with the same facts where it does not", None,
         {_JSON: _ref("Health")}),
    _Row("/api/subscribers", "get", "operations", "Who is watching", SubscribersQuery, {_JSON: _ref("Subscribers")}, ("bad_parameter",)),
    _Row("/api/config", "get", "operations", "What this hub can do, its limits, retention and known types", None, {_JSON: _ref("Config")}),
    _Row("/metrics", "get", "operations", "Everything that is counted, for Prometheus", None, {"text/plain": {"type": "string"}}),
)  # fmt: skip

_text: dict[str, Any] = {"type": "string"}
_count: dict[str, Any] = {"type": "integer", "minimum": 0}
_cursor: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-z]{1,16}-[0-9]+$"}
_cursor_or_null: dict[str, Any] = {"anyOf": [_cursor, {"type": "null"}]}


_text_or_null: dict[str, Any] = {"anyOf": [_text, {"type": "null"}]}
_count_or_null: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
_state: dict[str, Any] = {"enum": [str(state) for state in State]}
_lines: dict[str, Any] = {"type": "array", "items": _text}


def _object(*optional: str, **properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_ANSWERS: dict[str, dict[str, Any]] = {
    "Published": _object(status={"const": "ok"}, clients_notified=_count, id=_cursor, duplicate={"type": "boolean"}),
    "BatchPublished": _object(
        status={"const": "ok"},
        accepted=_count,
        duplicates=_count,
        clients_notified=_count,
        first_id=_cursor_or_null,
        last_id=_cursor_or_null,
    ),
    "EventsPage": _object(
        "past",
        "past_more",
        events={"type": "array", "items": _object(id=_cursor, event={"$ref": _REF.format(model="Event")})},
        more={"type": "boolean", "description": "there is more in the direction of reading"},
        after={**_cursor, "description": "read on from here with ?after="},
        before={**_cursor, "description": "read back from here with ?before="},
        cursor={**_cursor, "description": "the head"},
        past={
            "type": "array",
            "items": _object(id=_cursor, event={"$ref": _REF.format(model="Event")}),
            "description": "what is left of the events before `before`, with `?past=`",
        },
        past_more={"type": "boolean", "description": "there are older ones than that"},
    ),
    "Health": _object(
        "forwards",
        version=_text,
        status={"enum": ["ok", "degraded", "draining"]},
        uptime={"type": "number"},
        cursor=_cursor,
        subscribers=_count,
        max_subscribers=_count,
        history={"type": "object"},
        forwards={
            "type": "array",
            "items": _ref("Forward"),
            "description": "the targets of HUB_FORWARD, where there are any",
        },
    ),
    "Forward": _object(
        "error",
        "retry_at",
        target={**_text, "description": "without user, password and query"},
        state={"enum": ["ok", "retrying", "stopped"]},
        lag={**_count, "description": "events that it has yet to look at"},
        cursor={**_text, "description": "the last event that it has taken"},
        error={**_text, "description": "why the last try has failed"},
        retry_at={"type": "number", "description": "the next try, in epoch seconds"},
    ),
    "AgentBrief": _object(
        "room",
        "pid",
        "note",
        "error",
        agent_id=_text,
        mode=_text,
        room=_text,
        pid=_count,
        status=_state,
        note=_text,
        error=_text,
    ),
    "AgentsStopped": _object(
        status={"enum": ["stopping", "stopped", "none"]}, agents={"type": "array", "items": _ref("AgentBrief")}
    ),
    "AgentFacts": _object(
        agent_id=_text,
        mode=_text,
        room=_text_or_null,
        pid=_count_or_null,
        status=_state,
        since={"type": "number", "description": "epoch seconds of its latest change of state"},
        started={"type": "number", "description": "epoch seconds"},
        restarts={**_count, "description": "after crashes"},
        exit_code={**_count_or_null, "description": "of the last program that ended; negative: the signal"},
        error={
            **_text_or_null,
            "description": "what is wrong, in one sentence; with its last log line where the asker may see that",
        },
        hint={**_text_or_null, "description": "what to do about one that takes long to get ready"},
        message={**_text_or_null, "description": "what it said when it got ready"},
        note=_text_or_null,
        found={"type": "boolean", "description": "an earlier hub has started it"},
        log={**_lines, "description": "its last lines, where the asker may see them"},
    ),
    "AgentsStatus": _object(
        status={"enum": ["none", *_state["enum"]], "description": "of the newest agent"},
        agents={"type": "array", "items": _ref("AgentFacts")},
    ),
    "AgentLog": _object(agent_id=_text_or_null, lines=_lines),
    "Token": _object(
        **dict.fromkeys(
            ("server_url", "participant_token", "room_name", "participant_name", "participant_identity"), _text
        ),
        **dict.fromkeys(("serverUrl", "participantToken", "roomName", "participantName", "participantIdentity"), _text),
    ),
    "WebhookTaken": _object(status={"const": "ok"}, id=_cursor, duplicate={"type": "boolean"}),
    "Config": _object(
        version=_text,
        epoch=_text,
        features={
            **_lines,
            "description": "`agent`, `attach`; `token` and `webhook` with LiveKit; `talk`: the page can call",
        },
        livekit_missing={**_lines, "description": "names of LiveKit's settings that are not set"},
        agent_name={**_text, "description": "the name that our worker registers under; empty: it comes to every room"},
        history=_text,
        retention={"type": "object"},
        heartbeat={"type": "number"},
        stall={"type": "number"},
        ring=_count,
        limits={"type": "object"},
        cors_origins=_lines,
        types={"type": "array", "items": {"type": "object"}},
    ),
    "Subscribers": _object(count=_count, subscribers={"type": "array", "items": {"type": "object"}}),
    "Problem": {
        **_object(
            type=_text,
            title=_text,
            status={"type": "integer"},
            code={"enum": list(CATALOGUE)},
            detail=_text,
            advice=_text,
            retry={"type": "boolean"},
        ),
        "description": "RFC 9457 problem details",
    },
}


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document of a hub, wherever it is found."""
    spec = APISpec(
        title="LiveKit Event Hub",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "Every event of every running voice agent, live, to everybody who watches."},
        servers=[{"url": "/"}],
    )
    for name, schema in {**json_schemas(_REF), **_inner(TokenBody), **_ANSWERS, **SESSIONS}.items():
        spec.components.schema(name, schema)
    for row in _TABLE:
        content = {t: {"schema": s} for t, s in row.answers.items()}
        operation: dict[str, Any] = {
            "tags": [row.tag],
            "summary": row.summary,
            "operationId": re.sub(r"\W+", "_", f"{row.method}_{row.path}").replace("__", "_").rstrip("_"),
            "responses": {code: {"description": _SUCCESS[code], "content": content} for code in row.success},
        }
        inside = [{"name": name, "in": "path", "required": True, **_IN_PATH[name]} for name in _NAMED.findall(row.path)]
        if row.query:
            operation["parameters"] = [
                *inside,
                *_parameters(row.query),
                *([_LAST_EVENT_ID] if row.query is StreamQuery else []),
            ]
        if row.method == "post":
            operation["requestBody"] = _json_body(row.body) if row.body else _bodies[row.path]
        operation["responses"].update(_problems(row.errors))
        spec.path(path=row.path, operations={row.method: operation})
    result: dict[str, Any] = spec.to_dict()
    return result


_NAMED = re.compile(r"\{(\w+)\}")
_IN_PATH: dict[str, dict[str, Any]] = {
    "id": {"schema": _text, "description": "a session's `id`, percent-encoded"},
    "form": {"schema": {"enum": ["json", "txt", "md", "srt", "vtt"]}, "description": "in which form"},
}

_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": _text,
    "description": "the id that was seen last; EventSource sends it by itself",
}


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    properties = query.model_json_schema()["properties"]
    parameters = []
    for name, schema in properties.items():
        schema = {key: value for key, value in schema.items() if key != "title"}
        parameters.append({"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema})
    return parameters


_SUCCESS = {"200": "OK", "201": "Created", "202": "Accepted: it has begun"}


def _json_body(model: type[BaseModel]) -> dict[str, Any]:
    """An optional body; what is within it is written out, for these models are nobody else's."""
    schema = model.model_json_schema(ref_template=_REF, by_alias=True)
    if model is TokenBody:
        schema = _spelt_both_ways(schema)
    schema.pop("$defs", None)
    return {"required": False, "content": {_JSON: {"schema": schema}}}


def _inner(model: type[BaseModel]) -> dict[str, Any]:
    """The models within a model."""
    found: dict[str, Any] = model.model_json_schema(ref_template=_REF).get("$defs", {})
    return {name: _spelt_both_ways(schema) for name, schema in found.items()}


def _spelt_both_ways(schema: dict[str, Any]) -> dict[str, Any]:
    """A body of LiveKit's, whose clients write camelCase as well as snake_case."""
    properties = {}
    for name, one in schema.get("properties", {}).items():
        properties[name] = one
        if (camel := to_camel(name)) != name:
            properties[camel] = {**one, "description": f"the same as `{name}`"}
    return {**schema, "properties": properties}


def _webhook() -> dict[str, Any]:
    return {"required": True, "content": {"application/webhook+json": {"schema": {"type": "object"}}}}


def _events() -> dict[str, Any]:
    one = {"$ref": _REF.format(model="Event")}
    examples = {name: {"value": model.example} for name, model in KNOWN.items() if name not in HUB_ONLY}
    return {
        "required": True,
        "content": {
            _JSON: {"schema": {"anyOf": [one, {"type": "array", "items": one}]}, "examples": examples},
            "application/x-ndjson": {"schema": _text},
        },
    }


def _problems(codes: tuple[str, ...]) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(CATALOGUE[code].status), []).append(code)
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {
        status: {"description": " · ".join(names), "content": problem} for status, names in sorted(by_status.items())
    }


_bodies = {"/api/agent/data": _events(), "/api/livekit/webhook": _webhook()}
