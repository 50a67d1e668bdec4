"""Who may do what from where. So far: which origins' pages may read and post (CORS)."""

from __future__ import annotations

from flask import Flask
from flask_cors import CORS

from .settings import Settings

_RESOURCES = (r"/api/.*", r"/static/.*", r"/openapi\.json")


class Origins:
    """`HUB_CORS_ORIGINS` in force: on Flask's routes by flask-cors, elsewhere by `headers`, both to the same effect."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any = "*" in self._origins

    def install(self, app: Flask) -> None:
        """For every route of `app` that pages of other origins may use."""
        options = {
            "origins": "*" if self._any else sorted(self._origins),
            "send_wildcard": self._any,
            "allow_headers": ["Content-Type", "Last-Event-ID", "Cache-Control", "Authorization"],
            "methods": ["GET", "HEAD", "POST", "OPTIONS"],
            "max_age": 600,
        }
        CORS(app, resources=dict.fromkeys(_RESOURCES, options))

    def headers(self, origin: str | None) -> list[tuple[str, str]]:
        """What a response to a page of `origin` carries."""
        if self._any:
            return [("Access-Control-Allow-Origin", "*")]
        if origin in self._origins and origin is not None:
            return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        return [("Vary", "Origin")]
