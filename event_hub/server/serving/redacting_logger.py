"""gunicorn's log without credentials: its messages about broken requests repeat the request line."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger

from ..access.credentials import redact


class RedactCredentials(logging.Filter):
    """Removes the value of every `access_token=` from messages, their arguments included."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "access_token" in text.lower():
            record.msg, record.args = redact(text), ()
        return True


class RedactingLogger(Logger):
    """gunicorn's logger, with `RedactCredentials` on both of its logs."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.addFilter(RedactCredentials())
