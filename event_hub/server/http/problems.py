"""Answering a request with an error outside Flask: in front of its dispatch, and on the direct route."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from ...browser_policy import COMMON_HEADERS
from ..access.origins import Origins
from ..errors import RequestError
from .hang_up import UNREAD, ThenClose


def refuse(
    error: RequestError, environ: dict[str, Any], start_response: Callable[..., Any], origins: Origins
) -> Iterable[bytes]:
    """Answer a WSGI request with `error`."""
    body = error.body()
    headers = [
        *error.headers(),
        ("Content-Length", str(len(body))),
        *origins.headers(environ.get("HTTP_ORIGIN")),
        *COMMON_HEADERS,
    ]
    start_response(f"{error.status} {HTTPStatus(error.status).phrase}", headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        body = b""
    return ThenClose(body, environ) if error.kind.code in UNREAD else [body]


def check_encoding(environ: dict[str, Any]) -> None:
    """Raise `RequestError` unless path and query are UTF-8, percent-encoded bytes included."""
    path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    if not path.isascii():
        _check_utf8("path", path.encode("latin-1", "replace"))  # WSGI decodes bytes as latin-1, PEP 3333
    if query and ("%" in query or not query.isascii()):
        _check_utf8("query", unquote_to_bytes(query.encode("latin-1", "replace")))


def _check_utf8(name: str, text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise RequestError("bad_request", f"the {name} is not UTF-8") from None
