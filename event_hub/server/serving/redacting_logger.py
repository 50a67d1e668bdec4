"""gunicorn's log without credentials, and without tracebacks of its own for what clients send."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize

from ..access.credentials import redact

_MAY_CONTAIN = re.compile(r"\?|bearer|hub_sign_in|access_token", re.IGNORECASE)
_SECRET = re.compile(r"(bearer\W*|hub_sign_in\w*\W*|access_token\W*)[^\s'\"]+", re.IGNORECASE)
_QUERY = re.compile(r"\?.*", re.DOTALL)
_BAD_CHUNKS = (ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize)


class RedactCredentials(logging.Filter):
    """Removes credentials from messages, their arguments included: those about broken requests repeat a line of it. Of such
    a request the whole query goes, because the name of its parameter may be misspelled or percent-encoded."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Invalid request") and _MAY_CONTAIN.search(text):
            record.msg, record.args = _QUERY.sub("?***", _SECRET.sub(r"\1***", text)), ()
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
