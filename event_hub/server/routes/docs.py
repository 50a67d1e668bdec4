"""`/openapi.json`, `/docs` (Swagger UI, its files served by us), and the pages that errors point to."""

from __future__ import annotations

import html

import msgspec
from flask import Flask, Response
from flask_swagger_ui import get_swaggerui_blueprint

from ...events import HUB_ONLY, KNOWN
from .. import openapi
from ..errors import CATALOGUE

_STYLE = (
    "<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}table{border-collapse:collapse}td,th{padding:.4rem .8rem .4rem 0;text-align:left;vertical-align:top}"
    "code,pre{font:13px ui-monospace,monospace}pre{white-space:pre-wrap}:target{background:#fd04}</style>"
)


def install(app: Flask) -> None:
    """The description, the page to try it on, and the lists of errors and events."""
    description = msgspec.json.encode(openapi.describe())
    config = {"app_name": "LiveKit Event Hub", "validatorUrl": None, "docExpansion": "list", "tryItOutEnabled": True}
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config=config))
    pages = {"/docs/errors": _errors(), "/docs/events": _events()}

    app.add_url_rule("/openapi.json", "openapi", lambda: Response(description, mimetype="application/json"))
    for path, page in pages.items():
        app.add_url_rule(path, path, lambda page=page: Response(page, mimetype="text/html"))


def _page(title: str, body: str) -> str:
    home = '<p><a href="/">the stream</a> · <a href="/docs/">the API</a> · <a href="/docs/events">events</a> · <a href="/docs/errors">errors</a></p>'
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title} – LiveKit Event Hub</title>{_STYLE}{home}<h1>{title}</h1>{body}</html>"
    )


def _errors() -> str:
    rows = "".join(
        f'<tr id="{kind.code}"><td><code>{kind.code}</code><td>{kind.status}<td>{html.escape(kind.title)}'
        f"<td>{html.escape(kind.advice)}<td>{'yes' if kind.retry else 'no'}"
        for kind in CATALOGUE.values()
    )
    return _page("Errors", f"<table><tr><th>code<th>status<th>what<th>what to do<th>try again{rows}</table>")


def _events() -> str:
    parts = ["<p>Types that are not listed pass through whole, as do fields that are not listed.</p>"]
    for name, model in {**KNOWN, **HUB_ONLY}.items():
        own = "" if name in KNOWN else " (only ever from the hub)"
        fields = ", ".join(field.alias or key for key, field in model.model_fields.items())
        example = html.escape(msgspec.json.encode(model.example).decode())
        parts.append(
            f'<h2 id="{name}"><code>{name}</code></h2><p>{html.escape(model.when)}{own}.</p>'
            f"<p>Fields: {fields}</p><pre>{example}</pre>"
        )
    return _page("Events", "".join(parts))
