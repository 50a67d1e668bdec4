"""gevent's own server, `--server gevent`, as strict about requests as gunicorn, and with a log that quotes none of them."""

from __future__ import annotations

import errno
from typing import Any

from gevent.pywsgi import WSGIHandler

from ..access.credentials import redact
from . import protocol_errors


class _AmbiguousRequest(ValueError):
    """Two servers could disagree on where this request ends, and the second half be taken for another client's request."""


class _Lines:
    """The lines of a request's head. Raises `_AmbiguousRequest` at one with a bare carriage return, which the parser of
    Python takes for the end of a line and other servers do not."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(limit)
        if b"\0" in line or b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
            raise _AmbiguousRequest("a control character in the head")
        return line


class HubHandler(WSGIHandler):
    """Handles the requests of one connection."""

    def get_environ(self) -> dict[str, object]:
        environ: dict[str, object] = super().get_environ()
        environ["hub.socket"] = self.socket
        return environ

    def MessageClass(self, file: Any, *more: Any) -> Any:
        """The headers of a request. Rejects what gevent would accept or ignore: several lengths, a length beside chunks, an
        unknown transfer coding, and lines that are not headers."""
        lines: Any = _Lines(file)
        headers = super().MessageClass(lines, *more)
        lengths = headers.get_all("Content-Length", [])
        codings = headers.get_all("Transfer-Encoding", [])
        if headers.defects or len(lengths) + len(codings) > 1:
            raise _AmbiguousRequest("its length is ambiguous")
        if any(not (length.isascii() and length.isdigit()) for length in lengths):
            raise _AmbiguousRequest("its Content-Length is not a number")
        if any(coding.lower() != "chunked" for coding in codings):
            raise _AmbiguousRequest("its Transfer-Encoding is not chunked")
        return headers

    def _connection_upgrade_requested(self) -> bool:
        """The hub has no other protocol. gevent would give the rest of the connection to the application."""
        return False

    def _handle_client_error(self, ex: BaseException) -> tuple[str, bytes] | None:
        """Answer a request that is not valid HTTP, after which the connection is closed; None if it is already lost."""
        if isinstance(ex, OSError) and ex.errno in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ENOTCONN):
            return None
        self.log_error(f"Invalid request: {type(ex).__name__.lstrip('_')}")
        return "400", protocol_errors.response(400, "Bad Request")

    def log_error(self, msg: str, *args: Any) -> None:
        """Redact what gevent logs. Invalid requests are not quoted at all (`_handle_client_error`), because a credential
        could be anywhere in them."""
        super().log_error(redact(msg % args if args else msg))
