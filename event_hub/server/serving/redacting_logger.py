"""gunicorn's log without credentials, and without tracebacks of its own for what clients send."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize

from ..access.credentials import redact

_CLIENTS_TEXT = re.compile(r"""['"].*""", re.DOTALL)
_BAD_CHUNKS = (ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize)


class RedactCredentials(logging.Filter):
    """Removes credentials from messages, their arguments included. Messages about invalid requests quote a part of them:
    nobody knows where a credential is in such a request, so only the kind of the error stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Invalid request"):
            record.msg, record.args = _CLIENTS_TEXT.sub("***", text), ()
        elif "access_token" in text.lower():
            record.msg, record.args = redact(text), ()
        return True


class RedactingLogger(Logger):
    """gunicorn's logger, with `RedactCredentials` on both of its logs, and one line for invalid chunks."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.addFilter(RedactCredentials())

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """gunicorn takes a body that no route has read and whose chunks are invalid for an error of the socket. Anyone can
        send one, so it gets a line like other invalid requests, without what the client has sent."""
        error = sys.exc_info()[1]
        if isinstance(error, _BAD_CHUNKS):
            self.warning("Invalid request: %s in a body that no route reads", type(error).__name__)
        else:
            super().exception(msg, *args, **kwargs)
