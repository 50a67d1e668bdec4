"""Who may do what from where: which origins' pages may read and post (CORS), and which may control."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_cors import CORS

from .errors import HubError
from .settings import LOOPBACK, ORIGIN, Settings

_RESOURCES = (r"/api/.*", r"/static/.*", r"/openapi\.json")
_CONTROL = r"/api/(agent/(start|stop|status|logs)|token)"
"""Longer than the others, so that flask-cors tries it first."""
_PORTS = {"http": "80", "https": "443"}


class Origins:
    """`HUB_CORS_ORIGINS` in force: on Flask's routes by flask-cors, elsewhere by `headers`, both to the same effect."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any = "*" in self._origins
        self._named = self._origins - {"*", "null"}
        self._hosts = {_host(origin) for origin in self._named}

    def install(self, app: Flask) -> None:
        """For every route of `app` that pages of other origins may use."""
        # flask-cors takes a text with a dot or a bracket for a pattern, in which a dot is any character.
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
        # A page from disk may read why it may not control anything.
        control = {**options, "origins": [*named, *null, loopback], "send_wildcard": False}
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
            if environ["REQUEST_METHOD"] == "POST" or self._host_is_ours(host):
                return
            raise HubError(
                "forbidden_origin",
                f"the hub is asked as {host[:200]}, which is neither an address, nor a name of this machine, nor in "
                "HUB_CORS_ORIGINS",
            )
        place = _place(origin)
        if origin in self._named or (place and _is_loopback(place[1])):
            return
        if place and place == _place(f"{place[0]}://{host}") and self._host_is_ours(host):
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
        """Whether nobody else can have pointed that name at this machine."""
        name = _host(f"http://{host}")
        return _is_loopback(name) or _is_address(name) or name in self._hosts


def _host(origin: str) -> str:
    place = _place(origin)
    return place[1] if place else ""


def _place(origin: str) -> tuple[str, str, str] | None:
    """Scheme, host and port; None for what no page of the web has for an origin."""
    found = ORIGIN.fullmatch(origin)
    if found is None:
        return None
    scheme = found[1].lower()
    return scheme, found[2].lower().strip("[]").rstrip("."), found[3] or _PORTS[scheme]


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
