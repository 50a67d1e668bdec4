"""The generated parts of the gateway's pages: endpoints, settings, errors, and the frames of each protocol."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from agent.gateway.endpoints import ENDPOINTS, ROUTES
from agent.gateway.errors import ERRORS
from agent.gateway.settings import GatewaySettings
from event_hub.websocket_protocols.base import Frame
from event_hub.websocket_protocols.protocols import PROTOCOLS, Protocol


def endpoints() -> str:
    """The table of endpoints and HTTP routes."""
    rows = [f"| `{endpoint.path}` | WebSocket | {endpoint.about} |" for endpoint in ENDPOINTS]
    rows += [f"| `{route.path}` | {route.method} | {route.about} |" for route in ROUTES]
    rows += [
        "| `/` `/voice.html` `/websocket_client.html` `/chat_client.html` | GET | the pages: voice, text chat, LLM |",
        "| `/health` | GET | 200 while the gateway serves, with the number of open connections |",
    ]
    return "\n".join(["| path | | |", "|---|---|---|", *rows])


def settings() -> str:
    """The table of settings."""
    rows = [
        f"| `{name}` | {f'`{default}`' if default else 'unset'} | {about} |"
        for name, default, about in GatewaySettings.table()
    ]
    return "\n".join(["| name | default | |", "|---|---|---|", *rows])


def errors() -> str:
    """The table of error codes."""
    rows = [f"| `{code}` | {kind.when} | {kind.connection} |" for code, kind in ERRORS.items()]
    return "\n".join(["| code | when | the connection |", "|---|---|---|", *rows])


def protocols() -> str:
    """A section for each protocol, with a table of its frames."""
    return "\n\n".join(_protocol(protocol) for protocol in PROTOCOLS)


def _protocol(protocol: Protocol) -> str:
    parts = [f"## {protocol.heading}", protocol.about]
    for title, frames, others in (
        ("The client sends", protocol.client, protocol.client_other),
        ("The gateway sends", protocol.server, protocol.server_other),
    ):
        rows = [_row(frame) for frame in frames] + [f"| {name} | {about} | |" for name, about in others]
        if rows:
            parts.append("\n".join([f"{title}:", "", "| frame | meaning | fields |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def _row(frame: type[Frame]) -> str:
    kind = frame.model_fields.get("type")
    literal = get_args(kind.annotation) if kind is not None and kind.default is not None else ()
    name = f"`{literal[0]}`" if literal else "(no `type`)"
    fields = [_field(name, field) for name, field in frame.model_fields.items() if name != "type"]
    about = " ".join((frame.__doc__ or "").split())
    return f"| {name} | {about} | {' · '.join(fields)} |".replace("|  |", "| |")


def _field(name: str, field: Any) -> str:
    about = f" {field.description}" if field.description else ""
    optional = "" if field.is_required() else "?"
    return f"`{name}`{optional} ({_type(field.annotation)}){about}"


def _type(annotation: Any) -> str:
    """`str | None` → `text`; for readers, not for machines."""
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "object", type(None): ""}
    if annotation in names:
        return names[annotation]
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _type(annotation.__origin__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple):
        return "list"
    if origin is dict:
        return "object"
    if str(origin) == "typing.Literal":
        return " or ".join(f"`{value}`" for value in arguments)
    parts = [_type(part) for part in arguments if part is not Ellipsis]
    return " or ".join(dict.fromkeys(filter(None, parts))) or "object"
