"""The documentation that a hub serves: `/openapi.json`, Swagger UI at `/docs`, the errors, the events, and the guide."""

from __future__ import annotations

import html

import msgspec
from flask import Flask, Response, abort, send_file
from flask_swagger_ui import get_swaggerui_blueprint

from ....events import HUB_ONLY, KNOWN
from ...errors import CATALOGUE
from .. import guide, openapi

_STYLE = (
    "<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}table{border-collapse:collapse}td,th{padding:.4rem .8rem .4rem 0;text-align:left;vertical-align:top}"
    "code,pre{font:13px ui-monospace,monospace}pre{white-space:pre-wrap}:target{background:#fd04}</style>"
)


_GUIDE_STYLE = (
    "<style>h2,h3{margin-top:2rem}h2 code,h3 code{font-size:.9em}tr:has(:target){background:#fd04}a{color:light-dark(#0b5cad,#7cb7ff)}img{max-width:100%;height:auto}"
    ".wide{overflow-x:auto;margin:1rem 0}td,th{border-bottom:1px solid #8884}"
    "pre{white-space:pre;overflow-x:auto;padding:.7rem 1rem;border-radius:6px;background:#8881}"
    ":not(pre)>code{background:#8882;border-radius:3px;padding:.1em .25em}kbd{border:1px solid #8888;border-radius:3px;"
    "padding:0 .3em}blockquote{border-left:3px solid #8888;margin-left:0;padding-left:1rem}</style>"
)
_GUIDE_HEADERS = {
    # For pictures: an SVG that is opened by itself is a document. Pages get a stricter policy of their own.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def install(app: Flask) -> None:
    """Add all of them to `app`. The guide's pages are rendered on first request, the others now."""
    description = msgspec.json.encode(openapi.describe())
    config = {"app_name": "LiveKit Event Hub", "validatorUrl": None, "docExpansion": "list", "tryItOutEnabled": True}
    app.register_blueprint(get_swaggerui_blueprint("/docs", "/openapi.json", config=config))
    pages = {"/docs/errors": _errors(), "/docs/events": _events()}

    app.add_url_rule("/openapi.json", "openapi", lambda: Response(description, mimetype="application/json"))
    for path, page in pages.items():
        app.add_url_rule(path, path, lambda page=page: Response(page, mimetype="text/html"))
    served = guide.Guide(guide.docs_folder())
    app.add_url_rule(guide.URL, "guide index", lambda: _guide(served, ""))
    app.add_url_rule(f"{guide.URL}<path:name>", "guide", lambda name: _guide(served, name))


def _guide(served: guide.Guide, name: str) -> Response:
    if (page := served.page(name)) is not None:
        response = Response(_document(page.title, page.body, _GUIDE_STYLE), mimetype="text/html")
    elif (file := served.file(name)) is not None:
        response = send_file(file)
    else:
        abort(404)
    response.headers.update(_GUIDE_HEADERS)
    return response


def _page(title: str, body: str) -> str:
    return _document(title, f"<h1>{title}</h1>{body}")


def _document(title: str, body: str, style: str = "") -> str:
    home = (
        '<p><a href="/">page</a> · <a href="/docs/guide/">guide</a> · <a href="/docs/">API</a> · '
        '<a href="/docs/events">events</a> · <a href="/docs/errors">errors</a></p>'
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="/static/icon.svg"><title>{html.escape(title)} – LiveKit Event Hub</title>'
        f"{_STYLE}{style}{home}{body}</html>"
    )


def _errors() -> str:
    rows = "".join(
        f'<tr id="{kind.code}"><td><code>{kind.code}</code><td>{kind.status}<td>{html.escape(kind.title)}'
        f"<td>{html.escape(kind.advice)}<td>{'yes' if kind.retry else 'no'}"
        for kind in CATALOGUE.values()
    )
    return _page("Errors", f"<table><tr><th>code<th>status<th>meaning<th>what to do<th>retry{rows}</table>")


def _events() -> str:
    parts = ["<p>Other types, and other fields, pass through unchanged.</p>"]
    for name, model in {**KNOWN, **HUB_ONLY}.items():
        own = "" if name in KNOWN else " (sent only by the hub)"
        fields = ", ".join(field.alias or key for key, field in model.model_fields.items())
        example = html.escape(msgspec.json.encode(model.example).decode())
        parts.append(
            f'<h2 id="{name}"><code>{name}</code></h2><p>{html.escape(model.when)}{own}.</p>'
            f"<p>Fields: {fields}</p><pre>{example}</pre>"
        )
    return _page("Events", "".join(parts))
