"""`/openapi.json`: the API's description, put together with apispec from the route table, the query models, the event
models and the catalogue of errors, so that there is nothing in it that the hub does not do."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from pydantic import BaseModel

from .. import __version__
from ..events import HUB_ONLY, KNOWN
from ..events.schema import json_schemas
from .errors import CATALOGUE
from .queries import EventsQuery, StreamQuery, SubscribersQuery

_REF = "#/components/schemas/{model}"

# path, method, tag, summary, query, what 200 carries (media type → schema), error codes
_JSON = "application/json"
_TABLE: tuple[tuple[str, str, str, str, type[BaseModel] | None, dict[str, Any], tuple[str, ...]], ...] = (
    (
        "/api/stream", "get", "stream", "Every event, live, as Server-Sent Events", StreamQuery,
        {"text/event-stream": {"type": "string", "examples": ['id: 3f9ac0d1-42\ndata: {"type":"agent_ready"}\n\n']}},
        ("bad_cursor", "bad_filter", "bad_parameter", "too_many_filters", "too_many_subscribers", "history_unavailable", "draining"),
    ),
    (
        "/api/agent/data", "post", "publish", "Publish one event, an array of events, or NDJSON: all of it or nothing", None,
        {_JSON: {"anyOf": [{"$ref": _REF.format(model="Published")}, {"$ref": _REF.format(model="BatchPublished")}]}},
        (
            "bad_json", "bad_body", "body_timeout", "body_too_large", "event_too_large", "too_many_events",
            "unsupported_media_type", "unsupported_encoding", "bad_event", "hub_only_type", "history_unavailable", "draining",
        ),
    ),
    (
        "/api/events", "get", "history", "The history, a page at a time; all of it with Accept: application/x-ndjson", EventsQuery,
        {_JSON: {"$ref": _REF.format(model="EventsPage")}, "application/x-ndjson": {"type": "string"}},
        ("bad_cursor", "bad_filter", "bad_parameter", "history_unavailable"),
    ),
    ("/api/health", "get", "operations", "Whether the hub takes events; 503 with the same facts where it does not", None,
     {_JSON: {"$ref": _REF.format(model="Health")}}, ()),
    ("/api/subscribers", "get", "operations", "Who is watching", SubscribersQuery,
     {_JSON: {"$ref": _REF.format(model="Subscribers")}}, ("bad_parameter",)),
    ("/api/config", "get", "operations", "Limits, retention and known types", None, {_JSON: {"type": "object"}}, ()),
    ("/metrics", "get", "operations", "Everything that is counted, for Prometheus", None, {"text/plain": {"type": "string"}}, ()),
)  # fmt: skip

_text: dict[str, Any] = {"type": "string"}
_count: dict[str, Any] = {"type": "integer", "minimum": 0}
_cursor: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-z]{1,16}-[0-9]+$"}
_cursor_or_null: dict[str, Any] = {"anyOf": [_cursor, {"type": "null"}]}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


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
        events={"type": "array", "items": _object(id=_cursor, event={"$ref": _REF.format(model="Event")})},
        more={"type": "boolean", "description": "there is more in the direction of reading"},
        after={**_cursor, "description": "read on from here with ?after="},
        before={**_cursor, "description": "read back from here with ?before="},
        cursor={**_cursor, "description": "the head"},
    ),
    "Health": _object(
        version=_text,
        status={"enum": ["ok", "degraded", "draining"]},
        uptime={"type": "number"},
        cursor=_cursor,
        subscribers=_count,
        max_subscribers=_count,
        history={"type": "object"},
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
    for name, schema in {**json_schemas(_REF), **_ANSWERS}.items():
        spec.components.schema(name, schema)
    for path, method, tag, summary, query, answers, codes in _TABLE:
        operation: dict[str, Any] = {
            "tags": [tag],
            "summary": summary,
            "operationId": f"{method}_{path.strip('/').replace('/', '_')}",
            "responses": {"200": {"description": "OK", "content": {t: {"schema": s} for t, s in answers.items()}}},
        }
        if query:
            operation["parameters"] = [*_parameters(query), *([_LAST_EVENT_ID] if query is StreamQuery else [])]
        if method == "post":
            operation["requestBody"] = _body()
        operation["responses"].update(_problems(codes))
        spec.path(path=path, operations={method: operation})
    result: dict[str, Any] = spec.to_dict()
    return result


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


def _body() -> dict[str, Any]:
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
