"""The documentation that a hub serves: `/openapi.json`, Swagger UI at `/docs`, the errors, the events, and the guide."""

from __future__ import annotations

import functools
import html
from pathlib import Path

import flask_swagger_ui
import msgspec
from flask import Flask, Response, abort, send_file, send_from_directory

from ....events import HUB_ONLY, KNOWN
from ...errors import CATALOGUE
from .. import guide

_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
_SWAGGER_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>LiveKit Event Hub</title>'
    '<link rel="stylesheet" href="/docs/index.css"><link rel="stylesheet" href="/docs/swagger-ui.css">'
    '<link rel="icon" href="/static/icon.svg"><div id="swagger-ui"></div>'
    '<script src="/docs/swagger-ui-bundle.js"></script><script src="/static/swagger.js"></script></html>'
)
_GUIDE_HEADERS = {
    # For pictures: an SVG that is opened by itself is a document. Pages get a stricter policy of their own.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def install(app: Flask) -> None:
    """Add all of them to `app`. Pages are made on first request; `make docs` has written the description of the API, which
    takes 150 ms to generate."""
    folder = guide.docs_folder()
    pages = {"/docs/": lambda: _SWAGGER_PAGE, "/docs/errors": _errors, "/docs/events": _events}

    app.add_url_rule("/openapi.json", "openapi", lambda: _description(folder))
    for path, page in pages.items():
        app.add_url_rule(path, path, lambda page=page: Response(page(), mimetype="text/html"))
    app.add_url_rule("/docs/<path:path>", "swagger", _swagger)
    served = guide.Guide(folder)
    app.add_url_rule(guide.URL, "guide index", lambda: _guide(served, ""))
    app.add_url_rule(f"{guide.URL}<path:name>", "guide", lambda name: _guide(served, name))


def _description(folder: Path) -> Response:
    return Response((folder / "openapi.json").read_bytes(), mimetype="application/json")


def _swagger(path: str) -> Response:
    """A script, style or icon of Swagger UI. Its own pages have inline scripts, which our policy forbids."""
    if path.endswith(".html"):
        abort(404)
    return send_from_directory(_SWAGGER_UI, path)


def _guide(served: guide.Guide, name: str) -> Response:
    if (page := served.page(name)) is not None:
        response = Response(_document(page.title, page.body, "guide"), mimetype="text/html")
    elif (file := served.file(name)) is not None:
        response = send_file(file)
    else:
        abort(404)
    response.headers.update(_GUIDE_HEADERS)
    return response


def _page(title: str, body: str) -> str:
    return _document(title, f"<h1>{title}</h1>{body}")


def _document(title: str, body: str, kind: str = "reference") -> str:
    home = (
        '<p><a href="/">page</a> · <a href="/docs/guide/">guide</a> · <a href="/docs/">API</a> · '
        '<a href="/docs/events">events</a> · <a href="/docs/errors">errors</a></p>'
    )
    return (
        f'<!doctype html><html lang="en" class="{kind}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="/static/icon.svg"><title>{html.escape(title)} – LiveKit Event Hub</title>'
        f'<link rel="stylesheet" href="/static/docs.css">{home}{body}</html>'
    )


@functools.cache
def _errors() -> str:
    rows = "".join(
        f'<tr id="{kind.code}"><td><code>{kind.code}</code><td>{kind.status}<td>{html.escape(kind.title)}'
        f"<td>{html.escape(kind.advice)}<td>{'yes' if kind.retry else 'no'}"
        for kind in CATALOGUE.values()
    )
    return _page("Errors", f"<table><tr><th>code<th>status<th>meaning<th>what to do<th>retry{rows}</table>")


@functools.cache
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
