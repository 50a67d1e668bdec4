"""Which origins' pages may read and post (CORS), and which may control agents and get tokens."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask_cors import CORS

from ..errors import RequestError
from ..setting_values import ORIGIN
from ..settings import LOOPBACK, Settings
from .principal import LOCAL, Principal

_RESOURCES = (r"/api/.*", r"/static/.*", r"/openapi\.json")
_CONTROL = r"/api/(agent/(start|stop|status|logs)|token)"
"""Longer than the other patterns, so that flask-cors tries it first."""
_PORT = re.compile(r":(80|443)$")
_PORTS = {"http": "80", "https": "443"}


class Origins:
    """Applies `HUB_CORS_ORIGINS`: flask-cors on Flask's routes and `headers` elsewhere, with the same result.

    Without the setting, every page may read an open hub, and only pages of this machine may post to it; a hub that requires
    credentials is for its own pages.
    """

    def __init__(self, settings: Settings) -> None:
        given = settings.cors_origins
        self._post_from_any = given is not None and "*" in given
        self._listed = given is not None
        self._origins = frozenset(given if given is not None else () if settings.access_required else ("*",))
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

    def publish(self, environ: Mapping[str, Any], principal: Principal) -> None:
        """Raise `RequestError` if the request comes from a page that may not post events here."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or self._post_from_any or not _sent_by_itself(principal):
            return
        if origin in self._named:
            return
        # A page from disk. Sandboxed frames of foreign pages have the same origin, so a list excludes it.
        if origin == "null" and ("null" in self._origins or (not self._listed and principal is LOCAL)):
            return
        if not self._is_ours(origin, environ, principal):
            raise RequestError("forbidden_origin", f"a page of {origin[:200]} may not post events here")

    def sign_in(self, environ: Mapping[str, Any]) -> None:
        """Raise `RequestError` if a page of another origin wants to sign the browser in or out."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not _same(origin, environ):
            raise RequestError("forbidden_origin", "only the hub's own page may sign in or out")

    def control(self, environ: Mapping[str, Any], principal: Principal = LOCAL) -> None:
        """Raise `RequestError` unless the request's page may control agents and get tokens. A request with a key or token of
        its own may always: a foreign page has neither.

        Any web page can make a browser send requests to this machine. The browser adds the page's `Origin` to every POST
        and to every request for another host. A page can also point its own host name at this machine (DNS rebinding);
        its requests then count as same-origin, so `Host` is checked too. Clients that are not browsers send no `Origin`
        and are allowed.
        """
        if not _sent_by_itself(principal):
            return
        origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
        if origin is None and principal.cookie:
            return  # SameSite=Strict: only the hub's own site has sent it
        if origin is None:
            # A GET to the page's own host has no Origin. Only a name can be pointed at this machine, not an address.
            if environ["REQUEST_METHOD"] == "POST" or self._host_is_ours(host):
                return
            raise RequestError(
                "forbidden_origin",
                f"the request's Host, {host[:200]}, is neither an address, nor a name of this machine, nor in "
                "HUB_CORS_ORIGINS",
            )
        if origin in self._named or self._is_ours(origin, environ, principal):
            return
        page = "a page opened from a file" if origin == "null" else f"a page of {origin[:200]}"
        raise RequestError("forbidden_origin", f"{page} may not control agents or get tokens here")

    def _is_ours(self, origin: str, environ: Mapping[str, Any], principal: Principal) -> bool:
        """Whether it is the origin of the hub's own page, or on an open hub of any page of this machine.

        A signed-in browser sends its cookie to every port of a host, so that other pages of this machine must be listed.
        """
        if principal.cookie:
            return _same(origin, environ)
        parsed = _parse(origin)
        if parsed is None:
            return False
        return _is_loopback(parsed[1]) or (_same(origin, environ) and self._host_is_ours(environ.get("HTTP_HOST", "")))

    def may_control(self, environ: Mapping[str, Any], principal: Principal = LOCAL) -> bool:
        """Whether `control` accepts the request."""
        try:
            self.control(environ, principal)
        except RequestError:
            return False
        return True

    def _host_is_ours(self, host: str) -> bool:
        """Whether `host` is a name that a foreign page cannot have pointed at this machine."""
        name = _host(f"http://{host}")
        return _is_loopback(name) or _is_address(name) or name in self._hosts


def _sent_by_itself(principal: Principal) -> bool:
    """Whether a page of any origin can make a browser send such a request: without a credential, or with a cookie."""
    return principal is LOCAL or principal.cookie


def _same(origin: str, environ: Mapping[str, Any]) -> bool:
    """Whether a page of `origin` is the hub's own. A proxy that terminates TLS may not say so: the scheme is ignored."""
    try:
        page, here = urlsplit(origin).netloc.lower(), str(environ.get("HTTP_HOST", "")).lower()
    except ValueError:  # not a URL, such as `http://[`
        return False
    return bool(page) and _PORT.sub("", page) == _PORT.sub("", here)


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
