"""The page and its modules, from `static/`."""

from __future__ import annotations

from flask import Flask, Response

_FILES = {"/": "stream-test.html", "/stream-test.html": "stream-test.html", "/start.js": "start.js"}
"""Path → file. The page names its script relative to itself, so that it also opens from disk."""


def install(app: Flask) -> None:
    """Serve the page at `/` and `/stream-test.html`; its modules are under `/static/`."""

    def icon() -> Response:
        return app.send_static_file("icon.svg")

    app.add_url_rule("/favicon.ico", "icon", icon)  # for pages that name no icon, such as JSON in a browser
    for path, file in _FILES.items():
        app.add_url_rule(path, path, lambda file=file: app.send_static_file(file))
