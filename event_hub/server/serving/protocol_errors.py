"""The answer to a request that is not valid HTTP: problem details with the headers of every response, in place of gunicorn's
HTML page, which quotes the request, and of gevent's, which says nothing."""

from __future__ import annotations

import socket
from http import HTTPStatus

from ...browser_policy import COMMON_HEADERS
from ..errors import RequestError


def install() -> None:
    """Replace gunicorn's page. gunicorn has no setting for it."""
    import gunicorn.util  # it does not run on Windows

    gunicorn.util.write_error = write_error


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:  # noqa: ARG001
    """Answer with `status_int`, without `mesg`, which quotes the request; the caller closes the connection."""
    import gunicorn.util

    gunicorn.util.write_nonblock(sock, response(status_int, reason))


def response(status_int: int, reason: str) -> bytes:
    """The whole response with this status and reason."""
    code = "internal" if status_int == HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
    detail = "the request failed inside the hub; see its log" if code == "internal" else "the request is not valid HTTP"
    error = RequestError(code, detail, status=status_int)
    body = error.body()
    headers = [*error.headers(), *COMMON_HEADERS, ("Content-Length", str(len(body))), ("Connection", "close")]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status_int} {reason}\r\n{head}\r\n".encode("latin-1") + body
