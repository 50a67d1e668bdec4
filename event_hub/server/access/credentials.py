"""Where a request carries its credential: the header Authorization, `?access_token=`, or the sign-in cookie."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from ..errors import RequestError

PARAMETER = "access_token"
_IN_TEXT = re.compile(r"(access_token(?:=|%3D))[^&\s\"'<>#]*", re.IGNORECASE)


class Credential(NamedTuple):
    """What a request presents. `cookie`: the browser sent it by itself."""

    text: str
    cookie: bool = False


def cookie_name(port: int | str) -> str:
    """The name of the sign-in cookie. Cookies do not distinguish ports, so hubs on one host must not share a name, except
    those that share a history: theirs ends with a name of that."""
    return f"hub_sign_in_{port}"


def take(environ: MutableMapping[str, Any], cookie: str) -> Credential | None:
    """The credential of a request; raises `RequestError` if it has two different ones.

    The query parameter is removed from the environ, so that no log, error or link can repeat it. `cookie`: the name of
    the sign-in cookie, which counts only where nothing else is given.
    """
    query = environ.get("QUERY_STRING", "")
    if (
        "HTTP_AUTHORIZATION" not in environ
        and "HTTP_COOKIE" not in environ
        and "%" not in query
        and PARAMETER not in query
    ):
        return None  # most requests to an open hub
    given = set(_from_query(environ, query))
    if (bearer := _bearer(environ.get("HTTP_AUTHORIZATION", ""))) is not None:
        given.add(bearer)
    if len(given) > 1:
        raise RequestError("bad_request", "the request has two different credentials; send one")
    if given:
        return Credential(given.pop())
    if cookie in environ.get("HTTP_COOKIE", ""):
        # Split here because the value needs no unquoting, and because other cookies may be malformed.
        for pair in environ["HTTP_COOKIE"].split(";"):
            name, _, value = pair.strip().partition("=")
            if name == cookie and value:
                return Credential(value, cookie=True)
    return None


def redact(text: str) -> str:
    """`text` without the value of any `access_token=` in it."""
    return _IN_TEXT.sub(r"\1***", text)


def _bearer(header: str) -> str | None:
    """Other schemes are not for the hub: a proxy may pass on the password that it asks for."""
    scheme, _, rest = header.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest.strip() else None


def _from_query(environ: MutableMapping[str, Any], query: str) -> list[str]:
    if PARAMETER not in query and "%" not in query:
        return []
    pairs = parse_qsl(query, keep_blank_values=True, encoding="utf-8", errors="replace")
    found = [value for name, value in pairs if name == PARAMETER and value]
    if not any(name == PARAMETER for name, _ in pairs):
        return []
    environ["QUERY_STRING"] = "&".join(part for part in query.split("&") if not _is_parameter(part))
    for name in ("RAW_URI", "REQUEST_URI"):
        if name in environ:
            environ[name] = redact(str(environ[name]))
    return found


def _is_parameter(part: str) -> bool:
    return any(name == PARAMETER for name, _ in parse_qsl(part, keep_blank_values=True, errors="replace"))
