"""Which origins' pages may read and post (CORS), and which may control agents and get tokens."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_cors import CORS

from ..errors import RequestError
from ..settings import LOOPBACK, ORIGIN, Settings

_RESOURCES = (r"/api/.*", r"/static/.*", r"/openapi\.json")
_CONTROL = r"/api/(agent/(start|stop|status|logs)|token)"
"""Longer than the other patterns, so that flask-cors tries it first."""
_PORTS = {"http": "80", "https": "443"}


class Origins:
    """Applies `HUB_CORS_ORIGINS`: flask-cors on Flask's routes and `headers` elsewhere, with the same result."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any = "*" in self._origins
        self._named = self._origins - {"*", "null"}
        self._hosts = {_host(origin) for origin in self._named}

    def install(self, app: Flask) -> None:
        """Add CORS headers to every route of `app` that pages of other origins may use."""
        # flask-cors treats a string with a dot or a bracket as a pattern, in which a dot is any character.
        named = [re.compile(rf"{re.escape(origin)}\Z") for origin in sorted(self._named)]
        null = ["null"] if "null" in self._origins else []
        options = {
            "origins": "*" if self._any else [*named, *null],
            "send_wildcard": self._any,
            "allow_headers": ["Content-Type", "Last-Event-ID", "Cache-Control", "Authorization"],
            "methods": ["GET", "HEAD", "POST", "OPTIONS"],
            "max_age": 600,
        }
        loopback = r"https?://(localhost|[^/@]*\.localhost|127(\.\d+){3}|\[::1\])(:\d+)?$"
        # Includes `null`, so that a page opened from a file can read the refusal.
        control = {**options, "origins": [*named, *null, loopback], "send_wildcard": False}
        if self._any:  # every page may read the status, without log lines
            control["origins"] = "*"
            control["send_wildcard"] = True
        CORS(app, resources={_CONTROL: control, **dict.fromkeys(_RESOURCES, options)})

    def headers(self, origin: str | None) -> list[tuple[str, str]]:
        """The CORS headers of a response to a page of `origin`."""
        if self._any:
            return [("Access-Control-Allow-Origin", "*")]
        if origin in self._origins and origin is not None:
            return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
        return [("Vary", "Origin")]

    def control(self, environ: Mapping[str, Any]) -> None:
        """Raise `RequestError` unless the request's page may control agents and get tokens.

        Any web page can make a browser send requests to this machine. The browser adds the page's `Origin` to every POST
        and to every request for another host. A page can also point its own host name at this machine (DNS rebinding);
        its requests then count as same-origin, so `Host` is checked too. Clients that are not browsers send no `Origin`
        and are allowed.
        """
        origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
        if origin is None:
            # A GET to the page's own host has no Origin. Only a name can be pointed at this machine, not an address.
            if environ["REQUEST_METHOD"] == "POST" or self._host_is_ours(host):
                return
            raise RequestError(
                "forbidden_origin",
                f"the request's Host, {host[:200]}, is neither an address, nor a name of this machine, nor in "
                "HUB_CORS_ORIGINS",
            )
        parsed = _parse(origin)
        if origin in self._named or (parsed and _is_loopback(parsed[1])):
            return
        if parsed and parsed == _parse(f"{parsed[0]}://{host}") and self._host_is_ours(host):
            return
        page = "a page opened from a file" if origin == "null" else f"a page of {origin[:200]}"
        raise RequestError("forbidden_origin", f"{page} may not control agents or get tokens here")

    def may_control(self, environ: Mapping[str, Any]) -> bool:
        """Whether `control` accepts the request."""
        try:
            self.control(environ)
        except RequestError:
            return False
        return True

    def _host_is_ours(self, host: str) -> bool:
        """Whether `host` is a name that a foreign page cannot have pointed at this machine."""
        name = _host(f"http://{host}")
        return _is_loopback(name) or _is_address(name) or name in self._hosts


def _host(origin: str) -> str:
    parsed = _parse(origin)
    return parsed[1] if parsed else ""


def _parse(origin: str) -> tuple[str, str, str] | None:
    """Scheme, host and port; None if it is not the origin of a web page."""
    match = ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme = match[1].lower()
    return scheme, match[2].lower().strip("[]").rstrip("."), match[3] or _PORTS[scheme]


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
