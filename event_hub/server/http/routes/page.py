"""The page and its modules, from `static/`."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response

VIEWS = ("/sessions", "/compare", "/trends", "/errors", "/events", "/agents", "/talk")
"""The addresses of the page's views, beside `/` and `/sessions/<id>`."""
_PAGE = "stream-test.html"
_FILES = {"/": _PAGE, "/stream-test.html": _PAGE, "/start.js": "start.js", **dict.fromkeys(VIEWS, _PAGE)}
"""Path → file. The page names its script relative to itself, so that it also opens from disk."""


def install(app: Flask) -> None:
    """Serve the page at `/`, `/stream-test.html` and the addresses of its views; its modules are under `/static/`."""

    def icon() -> Response:
        return app.send_static_file("icon.svg")

    def session(id: str) -> Response:  # noqa: ARG001  # the page reads it from its address
        assert app.static_folder is not None
        page = (Path(app.static_folder) / _PAGE).read_text("utf-8").replace('"start.js"', '"../start.js"', 1)
        return Response(page, mimetype="text/html", headers={"Cache-Control": "no-cache"})

    app.add_url_rule("/favicon.ico", "icon", icon)  # for pages that name no icon, such as JSON in a browser
    for path, file in _FILES.items():
        app.add_url_rule(path, path, lambda file=file: app.send_static_file(file))
    app.add_url_rule("/sessions/<path:id>", "session_page", session)
