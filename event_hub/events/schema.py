"""The event vocabulary as JSON Schema and as a docs page, generated from the models."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from .catalogue import HUB_ONLY, KNOWN, WEBHOOK_PREFIX
from .envelope import Event
from .lifecycle import LiveKitWebhook

_ENVELOPE = tuple(Event.model_fields)


def json_schemas(ref_template: str = "#/$defs/{model}") -> dict[str, dict[str, Any]]:
    """Model name → JSON Schema (2020-12) of each event type, the envelope, and LiveKit's webhooks."""
    models: list[type[Event]] = [Event, *KNOWN.values(), LiveKitWebhook, *HUB_ONLY.values()]
    _, document = models_json_schema([(model, "validation") for model in models], ref_template=ref_template)
    schemas: dict[str, dict[str, Any]] = document["$defs"]
    for model in models:
        if model.example:
            schemas[model.__name__]["examples"] = [model.example]
        if model.when:
            schemas[model.__name__]["description"] = model.when
    return schemas


def document() -> dict[str, Any]:
    """One JSON Schema for "any event that may be posted"."""
    models: list[type[Event]] = [*KNOWN.values(), LiveKitWebhook]
    posted = [f"#/$defs/{model.__name__}" for model in models]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of LiveKit Event Hub",
        "description": "A known type has the shape of its own definition; any other type has that of Event.",
        "anyOf": [{"$ref": ref} for ref in [*posted, "#/$defs/Event"]],
        "$defs": json_schemas(),
    }


def markdown() -> str:
    """The events page of the docs."""
    schemas = json_schemas()
    lines = [
        "# Events",
        "",
        "<!-- generated from event_hub/events by `make docs` -->",
        "",
        "Look up here what each event type means and which fields it has.",
        "",
        "An event is a JSON object. The fields below mean the same in every event. All except `type` are optional, and",
        "`null` counts as absent. Unknown fields and unknown types pass through unchanged. If an event of a known type has",
        "the wrong shape, the hub refuses it (422 `bad_event`, naming the field). Points in time are in epoch seconds, as",
        "Python's `time.time()` returns them; milliseconds (`Date.now()`) are refused.",
        "",
        "As JSON Schema: [events.schema.json](events.schema.json), or `components.schemas` in `/openapi.json`.",
        "",
        "| field | type | meaning |",
        "|---|---|---|",
        *(_row(name, schemas["Event"], []) for name in _ENVELOPE),
        "",
        "## Posted by agents and other publishers",
    ]
    for name, model in KNOWN.items():
        lines += _section(name, model, schemas)
    lines += _section(f"{WEBHOOK_PREFIX}<event>", LiveKitWebhook, schemas)
    lines += ["", "## Sent only by the hub", "", "A POST of one of these is refused (422 `hub_only_type`)."]
    for name, model in HUB_ONLY.items():
        lines += _section(name, model, schemas)
    return "\n".join(lines) + "\n"


def _section(name: str, model: type[Event], schemas: dict[str, dict[str, Any]]) -> list[str]:
    schema = schemas[model.__name__]
    required = schema.get("required", [])
    own = [key for key in schema["properties"] if key not in _ENVELOPE]
    lines = ["", f"### `{name}`", "", model.when[:1].upper() + model.when[1:] + "."]
    if own:
        lines += ["", "| field | type | meaning |", "|---|---|---|", *(_row(key, schema, required) for key in own)]
    return [*lines, "", "```json", json.dumps(model.example, ensure_ascii=False), "```"]


def _row(name: str, schema: dict[str, Any], required: list[str]) -> str:
    about = schema["properties"][name]
    need = "**required**; " if name in required or name == "type" else ""
    text = about.get("description") or next((o["description"] for o in _options(about) if "description" in o), "")
    return f"| `{name}` | {_shape(about)} | {need}{text} |".replace("; |", " |")


def _options(about: dict[str, Any]) -> list[dict[str, Any]]:
    options: list[dict[str, Any]] = about.get("anyOf", [about])
    return options


def _shape(about: dict[str, Any]) -> str:
    words = {"string": "text", "number": "number", "integer": "integer", "boolean": "true or false", "object": "object"}
    shapes = []
    for option in _options(about):
        kind = option.get("type")
        if "const" in option:
            shapes.append(f"`{option['const']}`")
        elif "enum" in option:
            shapes.append(" or ".join(f"`{value}`" for value in option["enum"]))
        elif kind == "array":
            shapes.append("list of " + words.get(option["items"].get("type", ""), "value") + "s")
        elif kind == "string" and "maxLength" in option:
            shapes.append(f"text, {option.get('minLength', 0)}–{option['maxLength']} characters")
        elif kind is None:
            shapes.append("anything")
        elif kind != "null":
            shapes.append(words[kind])
    return " or ".join(shapes)
