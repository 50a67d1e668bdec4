"""The page and its modules, from `static/`."""

from __future__ import annotations

from flask import Flask, Response


def install(app: Flask) -> None:
    """Serve the page at `/` and `/stream-test.html`; its modules are under `/static/`."""

    def page() -> Response:
        return app.send_static_file("stream-test.html")

    def icon() -> Response:
        return app.send_static_file("icon.svg")

    app.add_url_rule("/favicon.ico", "icon", icon)  # for pages that name no icon, such as JSON in a browser
    app.add_url_rule("/", "index", page)
    app.add_url_rule("/stream-test.html", "page", page)
