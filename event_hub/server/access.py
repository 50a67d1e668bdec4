"""Who may do what from where: which origins' pages may read and post (CORS), and which may control."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask_cors import CORS

from .errors import HubError
from .settings import LOOPBACK, Settings

_RESOURCES = (r"/api/.*", r"/static/.*", r"/openapi\.json")
_CONTROL = r"/api/(agent/(start|stop|status|logs)|token)"
"""Longer than the others, so that flask-cors tries it first."""
_PORTS = {"http": 80, "https": 443}


class Origins:
    """`HUB_CORS_ORIGINS` in force: on Flask's routes by flask-cors, elsewhere by `headers`, both to the same effect."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any = "*" in self._origins
        self._named = self._origins - {"*", "null"}
        self._hosts = {_host(origin) for origin in self._named}
        self._bound_to_loopback = settings.host in LOOPBACK

    def install(self, app: Flask) -> None:
        """For every route of `app` that pages of other origins may use."""
        options = {
            "origins": "*" if self._any else sorted(self._origins),
            "send_wildcard": self._any,
            "allow_headers": ["Content-Type", "Last-Event-ID", "Cache-Control", "Authorization"],
            "methods": ["GET", "HEAD", "POST", "OPTIONS"],
            "max_age": 600,
        }
        loopback = r"https?://(localhost|[^/@]*\.localhost|127(\.\d+){3}|\[::1\])(:\d+)?$"
        control = {**options, "origins": [*sorted(self._named), loopback], "send_wildcard": False}
        if self._any:  # the status is for everybody, less its log lines
            control["origins"] = "*"
            control["send_wildcard"] = True
        CORS(app, resources={_CONTROL: control, **dict.fromkeys(_RESOURCES, options)})

    def headers(self, origin: str | None) -> list[tuple[str, str]]:
        """What a response to a page of `origin` carries."""
        if self._any:
            return [("Access-Control-Allow-Origin", "*")]
        if origin in self._origins and origin is not None:
            return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        return [("Vary", "Origin")]

    def control(self, environ: Mapping[str, Any]) -> None:
        """Refuse a request of a page that may not control anything here; raises `HubError`.

        Any page in the world can make its reader's browser send requests to this machine. A browser says whose page it
        is (`Origin`), with every POST and with every request that is not to the page's own host. A host that the page's
        owner has pointed at this machine (DNS rebinding) is that page's own, hence the look at `Host`. What is no
        browser sends no `Origin`, and passes.
        """
        origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
        if origin is None:
            # A page reads from its own host without saying whose it is; an address cannot be pointed elsewhere.
            if environ["REQUEST_METHOD"] == "POST" or not self._bound_to_loopback or self._host_is_ours(host):
                return
            raise HubError("forbidden_origin", f"the hub is asked as {host[:200]}, which is not a name of this machine")
        if origin in self._named or _is_loopback(_host(origin)):
            return
        same = "://" in origin and _host_and_port(origin) == _host_and_port(f"{urlsplit(origin).scheme}://{host}")
        if same and (not self._bound_to_loopback or self._host_is_ours(host)):
            return
        whose = "a page that was opened from a file" if origin == "null" else f"a page of {origin[:200]}"
        raise HubError("forbidden_origin", f"{whose} may not control agents or get tokens here")

    def may_control(self, environ: Mapping[str, Any]) -> bool:
        """Whether `control` would let it pass."""
        try:
            self.control(environ)
        except HubError:
            return False
        return True

    def _host_is_ours(self, host: str) -> bool:
        name = _host(f"http://{host}")
        return _is_loopback(name) or _is_address(name) or name in self._hosts


def _host(origin: str) -> str:
    return _host_and_port(origin)[0]


def _host_and_port(origin: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(origin)
        return (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None


def _is_loopback(host: str) -> bool:
    return (
        host in LOOPBACK
        or host.endswith(".localhost")
        or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
