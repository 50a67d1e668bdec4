"""Building blocks for the JSON Schemas in the API description."""

from __future__ import annotations

from typing import Any

REF = "#/components/schemas/{model}"

TEXT: dict[str, Any] = {"type": "string"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"type": "boolean"}
CURSOR: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-z]{1,16}-[0-9]+$"}
SECONDS: dict[str, Any] = {"type": "number", "minimum": 0, "description": "seconds"}
TIMESTAMP: dict[str, Any] = {"type": "number", "description": "epoch seconds"}


def ref(model: str) -> dict[str, Any]:
    """A reference to a schema of the document."""
    return {"$ref": REF.format(model=model)}


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: dict[str, Any], about: str = "") -> dict[str, Any]:
    return {"type": "array", "items": items, **({"description": about} if about else {})}


def record(*optional: str, **properties: Any) -> dict[str, Any]:
    """An object whose properties are required, except `optional` ones ("all": every one is optional)."""
    required = [name for name in properties if name not in optional and "all" not in optional]
    return {"type": "object", "properties": properties, "required": required}
