"""The page and its modules, from `static/`."""

from __future__ import annotations

from flask import Flask, Response


def install(app: Flask) -> None:
    """`/` and `/stream-test.html` are the page; what lies beside it is under `/static/`."""

    def page() -> Response:
        return app.send_static_file("stream-test.html")

    app.add_url_rule("/", "index", page)
    app.add_url_rule("/stream-test.html", "page", page)
