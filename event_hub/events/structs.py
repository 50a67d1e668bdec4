"""The models as msgspec structs, which check many events of a type in half the time. They do not say what is wrong: that
remains with pydantic, which also decides whenever a struct refuses."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

import msgspec

_PLAIN: dict[str, Any] = {"float": float, "int": int, "bool": bool, "any": Any, "str": str, "dict": dict[str, Any]}
_LIMITS = frozenset({"ge", "gt", "le", "lt", "min_length", "max_length"})
_PARTS = {"nullable": {"schema"}, "union": {"choices"}, "literal": {"expected"}, "list": {"items_schema"}}
_HARMLESS = {"type", "strict", "metadata", "fail_fast"}
"""What any schema may have; everything else could be a rule that a struct would not apply."""


def list_of_structs(name: str, fields: dict[str, Any]) -> Any:
    """The type of a list of events `name` whose fields have these schemas of pydantic's core, for `msgspec.convert`; None
    if a field has a rule that has no counterpart here. Does not include `type`."""
    members: list[tuple[str, Any, Any]] = []
    try:
        for field, schema in fields.items():
            inner = schema["schema"]
            optional = inner["type"] == "default"
            if field != "type":
                default = None if optional else msgspec.NODEFAULT
                members.append((field, _counterpart(inner["schema"] if optional else inner), default))
    except KeyError:
        return None
    return list[msgspec.defstruct(name, members, kw_only=True, gc=False)]  # type: ignore[misc]  # made at run time


def _counterpart(schema: dict[str, Any]) -> Any:
    """The type that accepts no more than `schema`; raises KeyError if there is none."""
    kind = schema["type"]
    limits = {name: schema[name] for name in _LIMITS & set(schema)} if kind in ("str", "int", "float") else {}
    if unknown := set(schema) - _HARMLESS - set(limits) - _PARTS.get(kind, {"keys_schema", "values_schema"}):
        raise KeyError(unknown)
    if kind == "nullable":
        return _counterpart(schema["schema"]) | None
    if kind == "union":
        return reduce(or_, map(_counterpart, schema["choices"]))
    if kind == "literal":
        return Literal[tuple(schema["expected"])]
    if kind == "list":
        return list[_counterpart(schema["items_schema"])]  # type: ignore[misc]  # made at run time
    if kind == "dict" and (schema["keys_schema"]["type"], schema["values_schema"]["type"]) != ("str", "any"):
        raise KeyError(kind)
    plain = _PLAIN[kind]
    return Annotated[plain, msgspec.Meta(**limits)] if limits else plain
