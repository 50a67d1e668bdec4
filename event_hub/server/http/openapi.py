"""`/openapi.json`: the description of the API, generated with apispec from the route table, the query models, the event
models and the catalogue of errors, so that it matches what the hub does.

`make docs` writes it to `docs/openapi.json`, which a hub serves: generating it would delay every start, or the events of all
subscribers. So only the developers' environment needs apispec."""

from __future__ import annotations

import re
from typing import Any

from apispec import APISpec
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from ... import __version__
from ...events import HUB_ONLY, KNOWN
from ...events.schema import json_schemas
from ..agents.modes import MODES
from ..errors import CATALOGUE
from .access_bodies import ForgetBody, ShareBody, SignInBody
from .json_schema import COUNT, CURSOR, FLAG, REF, TEXT, array, or_null, record, ref
from .openapi_access import SCHEMAS as ACCESS
from .openapi_access import SCHEMES, security
from .openapi_agents import SCHEMAS as AGENTS
from .openapi_recordings import BODIES as UPLOADS
from .openapi_recordings import ROWS as RECORDINGS
from .openapi_recordings import SCHEMAS as RECORDING_SCHEMAS
from .openapi_row import BODY_ERRORS, JSON, Row
from .openapi_sessions import ROWS as SESSION_ROWS
from .openapi_sessions import SCHEMAS as SESSIONS
from .queries import (
    EventsQuery,
    LogsQuery,
    StartBody,
    StopBody,
    StopQuery,
    StreamQuery,
    SubscribersQuery,
    TokenBody,
)

_TABLE: tuple[Row, ...] = (
    Row(
        "/api/stream", "get", "stream", "Stream events live as Server-Sent Events", StreamQuery,
        {"text/event-stream": {"type": "string", "examples": ['id: 3f9ac0d1-42\ndata: {"type":"agent_ready"}\n\n']}},
        ("bad_cursor", "bad_filter", "bad_parameter", "too_many_filters", "too_many_streams", "too_many_subscribers", "history_unavailable", "draining"),
    ),
    Row(
        "/api/agent/data", "post", "publish", "Publish one event, an array of events, or NDJSON; atomic", None,
        {JSON: {"anyOf": [ref("Published"), ref("BatchPublished")]}},
        (*BODY_ERRORS, "event_too_large", "too_many_events", "bad_event", "hub_only_type", "history_unavailable", "draining"),
    ),
    Row(
        "/api/events", "get", "history", "Page through the history, or export it with Accept: application/x-ndjson", EventsQuery,
        {JSON: ref("EventsPage"), "application/x-ndjson": {"type": "string"}},
        ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    *SESSION_ROWS,
    Row(
        "/api/agent/start", "post", "agents", "Start an agent; without a body, the mode depends on the settings", None, {JSON: ref("AgentBrief")},
        (
            *BODY_ERRORS, "bad_field", "bad_parameter", "forbidden_origin", "agent_running", "agent_not_configured", "too_many_agents",
            "agent_unavailable", "draining",
        ),
        ("202",), StartBody,
    ),
    Row(
        "/api/agent/stop", "post", "agents", "Stop one agent, or all: 202 while one is stopping, 200 when none is running", StopQuery,
        {JSON: ref("AgentsStopped")}, (*BODY_ERRORS, "bad_field", "bad_parameter", "forbidden_origin", "unknown_agent"),
        ("200", "202"), StopBody,
    ),
    Row("/api/agent/status", "get", "agents", "List all agents, the newest first, including those that have ended", None, {JSON: ref("AgentsStatus")}, ("bad_parameter",)),
    Row(
        "/api/agent/logs", "get", "agents", "Get the last lines of an agent's log", LogsQuery,
        {"text/plain": {"type": "string"}, JSON: ref("AgentLog"), "application/x-ndjson": {"type": "string"}},
        ("bad_parameter", "forbidden_origin", "unknown_agent"),
    ),
    Row(
        "/api/token", "post", "livekit", "Create a token to join a room, in the format that LiveKit's clients expect", None, {JSON: ref("Token")},
        (*BODY_ERRORS, "bad_field", "forbidden_origin", "livekit_not_configured"), ("201",), TokenBody,
    ),
    Row(
        "/api/livekit/webhook", "post", "livekit", "Receive LiveKit's signed webhooks and broadcast them as livekit_… events", None,
        {JSON: ref("WebhookTaken")},
        (
            "bad_json", "bad_body", "body_timeout", "body_too_large", "unsupported_encoding", "bad_field", "bad_signature",
            "event_too_large", "livekit_not_configured", "history_unavailable", "draining",
        ),
    ),
    Row(
        "/api/sign-in", "post", "access", "Sign in a browser with a key: sets a cookie", None, {JSON: ref("Access")},
        (*BODY_ERRORS, "bad_field", "bad_credential", "too_many_failures", "forbidden_origin"), ("200",), SignInBody,
    ),
    Row("/api/sign-out", "post", "access", "Sign out the browser: removes the cookie", None, {JSON: ref("Access")}, ("forbidden_origin",)),
    Row(
        "/api/share", "post", "access", "Make a read-only link to some rooms, or to one session", None, {JSON: ref("Share")},
        (*BODY_ERRORS, "bad_field", "forbidden_origin", "unknown_session", "ambiguous_session", "access_not_configured", "history_unavailable"),
        ("200",), ShareBody,
    ),
    Row(
        "/api/forget", "post", "access", "Erase events for good: of a session, a room, a participant, or before a time", None, {JSON: ref("Erased")},
        (*BODY_ERRORS, "bad_field", "bad_cursor", "forbidden_origin", "history_unavailable", "draining"), ("200",), ForgetBody,
    ),
    Row("/api/health", "get", "operations", "Check whether the hub accepts events; 503 with the same fields if not", None,
         {JSON: ref("Health")}),
    Row("/api/health/live", "get", "operations", "Check whether the hub runs: 200 even while it accepts no events", None, {JSON: ref("Live")}),
    Row("/api/subscribers", "get", "operations", "List open streams", SubscribersQuery, {JSON: ref("Subscribers")}, ("bad_parameter",)),
    Row("/api/config", "get", "operations", "Get features, limits, retention and known event types", None, {JSON: ref("Config")}),
    Row("/metrics", "get", "operations", "Get metrics in Prometheus' format", None, {"text/plain": {"type": "string"}}),
    *RECORDINGS,
)  # fmt: skip

_LINES = array(TEXT)
_NOTIFIED = {**or_null(COUNT), "description": "null for a publisher that may not see all events"}
_PAGE_NAMES = {"enum": [name for name, _ in MODES["gateway"].pages]}
_ITEM = record(id=CURSOR, event=ref("Event"))

_ANSWERS: dict[str, dict[str, Any]] = {
    "Published": record(status={"const": "ok"}, clients_notified=_NOTIFIED, id=CURSOR, duplicate=FLAG),
    "BatchPublished": record(
        status={"const": "ok"},
        accepted=COUNT,
        duplicates=COUNT,
        clients_notified=_NOTIFIED,
        first_id=or_null(CURSOR),
        last_id=or_null(CURSOR),
    ),
    "EventsPage": record(
        "past",
        "past_more",
        events=array(_ITEM),
        more={**FLAG, "description": "whether there are more events in the direction of reading"},
        after={**CURSOR, "description": "cursor for the next page: ?after="},
        before={**CURSOR, "description": "cursor for the previous page: ?before="},
        cursor={**CURSOR, "description": "the head"},
        past=array(_ITEM, "with `?past=`: the condensed events before `before`"),
        past_more={**FLAG, "description": "whether there are older events"},
    ),
    "Health": record(
        *("forwards", "uptime", "cursor", "subscribers", "max_subscribers", "history", "processes"),
        version=TEXT,
        status={"enum": ["ok", "degraded", "draining"]},
        uptime={"type": "number"},
        cursor=CURSOR,
        subscribers=COUNT,
        max_subscribers=COUNT,
        history={"type": "object"},
        processes={**COUNT, "description": "the processes that share the history; absent if none can"},
        forwards=array(ref("Forward"), "the targets in HUB_FORWARD; absent if there are none"),
    ),
    "Live": record(version=TEXT, status={"const": "alive"}),
    "Forward": record(
        "error",
        "retry_at",
        target={**TEXT, "description": "without user, password and query"},
        filter={"type": "object", "description": "the rooms, types and sessions it is limited to; {}: all events"},
        state={"enum": ["ok", "retrying", "stopped", "standby"]},
        lag={**COUNT, "description": "number of events that it has yet to consider"},
        cursor={**TEXT, "description": "the last event that it has accepted"},
        error={**TEXT, "description": "why the last attempt failed"},
        retry_at={"type": "number", "description": "time of the next attempt in epoch seconds"},
    ),
    "Token": record(
        **dict.fromkeys(
            ("server_url", "participant_token", "room_name", "participant_name", "participant_identity"), TEXT
        ),
        **dict.fromkeys(("serverUrl", "participantToken", "roomName", "participantName", "participantIdentity"), TEXT),
    ),
    "WebhookTaken": record(status={"const": "ok"}, id=CURSOR, duplicate=FLAG),
    "Config": record(
        *(
            "epoch",
            "features",
            "livekit_missing",
            "agent_name",
            "gateway",
            "history",
            "retention",
            "heartbeat",
            "stall",
            "slow",
            "ring",
            "limits",
            "cors_origins",
            "types",
        ),
        version=TEXT,
        access=ref("Access"),
        epoch=TEXT,
        features={
            **_LINES,
            "description": "`agent`, `attach`; `token` and `webhook` with LiveKit; `talk`: the page can call; `redact:<name>` for each kind of text that the hub replaces",
        },
        livekit_missing={**_LINES, "description": "names of LiveKit settings that are missing"},
        agent_name={
            **TEXT,
            "description": "the name under which the hub's worker registers; empty: LiveKit dispatches it to every room",
        },
        gateway={
            **or_null(record(address=TEXT, pages=array(record(name=_PAGE_NAMES, url=TEXT)))),
            "description": "the gateway that this hub has started, and its pages; null: none is ready, or the caller may not control agents",
        },
        history=TEXT,
        retention={"type": "object"},
        heartbeat={"type": "number"},
        stall={"type": "number"},
        slow={
            **array({"type": "number"}),
            "description": "seconds from which the page shows a wait in amber, and in red",
        },
        ring=COUNT,
        limits={"type": "object"},
        cors_origins=_LINES,
        types=array({"type": "object"}),
    ),
    "Subscribers": record(count=COUNT, subscribers=array({"type": "object"})),
    "Problem": {
        **record(
            type=TEXT,
            title=TEXT,
            status={"type": "integer"},
            code={"enum": list(CATALOGUE)},
            detail=TEXT,
            advice=TEXT,
            retry=FLAG,
        ),
        "description": "RFC 9457 problem details",
    },
}


def describe() -> dict[str, Any]:
    """The OpenAPI 3.1 document. It is independent of the hub's URL."""
    spec = APISpec(
        title="LiveKit Event Hub",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": "Stream every event of your voice agents, live, to any number of subscribers."},
        servers=[{"url": "/"}],
    )
    for name, schema in {
        **json_schemas(REF),
        **_inner(TokenBody),
        **_ANSWERS,
        **SESSIONS,
        **RECORDING_SCHEMAS,
        **AGENTS,
        **ACCESS,
    }.items():
        spec.components.schema(name, schema)
    for name, scheme in SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for row in _TABLE:
        secured, denied = security(row.method, row.path)
        content = {t: {"schema": s} for t, s in row.answers.items()}
        operation: dict[str, Any] = {
            "tags": [row.tag],
            "summary": row.summary,
            "operationId": re.sub(r"\W+", "_", f"{row.method}_{row.path}").replace("__", "_").rstrip("_"),
            "responses": {code: {"description": _SUCCESS[code], "content": content} for code in row.success},
            **secured,
        }
        inside = [{"name": name, "in": "path", "required": True, **_IN_PATH[name]} for name in _NAMED.findall(row.path)]
        if row.query:
            operation["parameters"] = [
                *inside,
                *_parameters(row.query),
                *([_LAST_EVENT_ID] if row.query is StreamQuery else []),
            ]
        if row.method == "post" and (row.body or row.path in _bodies):
            operation["requestBody"] = _json_body(row.body) if row.body else _bodies[row.path]
        operation["responses"].update(_problems(tuple(dict.fromkeys((*row.errors, *denied)))))
        spec.path(path=row.path, operations={row.method: operation})
    result: dict[str, Any] = spec.to_dict()
    return result


_NAMED = re.compile(r"\{(\w+)\}")
_IN_PATH: dict[str, dict[str, Any]] = {
    "id": {"schema": TEXT, "description": "the `id` of a session, percent-encoded"},
    "room": {"schema": TEXT, "description": "the name of a room, percent-encoded"},
    "form": {"schema": {"enum": ["json", "txt", "md", "srt", "vtt"]}, "description": "format of the transcript"},
}

_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": TEXT,
    "description": "id of the last event received; EventSource sends it automatically",
}


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    properties = query.model_json_schema()["properties"]
    parameters = []
    for name, schema in properties.items():
        schema = {key: value for key, value in schema.items() if key != "title"}
        parameters.append({"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema})
    return parameters


_SUCCESS = {
    "200": "OK", "201": "Created", "202": "Accepted: in progress", "206": "The part that Range asks for",
    "304": "Not modified", "416": "Range is beyond the end",
}  # fmt: skip


def _json_body(model: type[BaseModel]) -> dict[str, Any]:
    """An optional body, with nested models inlined, because no other operation uses them."""
    schema = model.model_json_schema(ref_template=REF, by_alias=True)
    if model is TokenBody:
        schema = _with_both_spellings(schema)
    schema.pop("$defs", None)
    return {"required": False, "content": {JSON: {"schema": schema}}}


def _inner(model: type[BaseModel]) -> dict[str, Any]:
    """The nested models of a model."""
    nested: dict[str, Any] = model.model_json_schema(ref_template=REF).get("$defs", {})
    return {name: _with_both_spellings(schema) for name, schema in nested.items()}


def _with_both_spellings(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with each field in snake_case and camelCase: LiveKit's clients use both."""
    properties = {}
    for name, definition in schema.get("properties", {}).items():
        properties[name] = definition
        if (camel := to_camel(name)) != name:
            properties[camel] = {**definition, "description": f"same as `{name}`"}
    return {**schema, "properties": properties}


def _webhook() -> dict[str, Any]:
    return {"required": True, "content": {"application/webhook+json": {"schema": {"type": "object"}}}}


def _events() -> dict[str, Any]:
    event = ref("Event")
    examples = {name: {"value": model.example} for name, model in KNOWN.items() if name not in HUB_ONLY}
    return {
        "required": True,
        "content": {
            JSON: {"schema": {"anyOf": [event, array(event)]}, "examples": examples},
            "application/x-ndjson": {"schema": TEXT},
        },
    }


def _problems(codes: tuple[str, ...]) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(CATALOGUE[code].status), []).append(code)
    problem = {"application/problem+json": {"schema": ref("Problem")}}
    return {
        status: {"description": " · ".join(names), "content": problem} for status, names in sorted(by_status.items())
    }


_bodies = {"/api/agent/data": _events(), "/api/livekit/webhook": _webhook(), **UPLOADS}
