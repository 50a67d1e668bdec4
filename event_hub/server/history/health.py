"""Whether the history works: every failure is counted, logged once, and answered with the same error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ..counters import Counters
from ..errors import RequestError
from .base import HistoryError

logger = logging.getLogger(__name__)


class HistoryHealth:
    """The state of the history, as `/api/health` reports it."""

    def __init__(self, counters: Counters, error: str | None = None) -> None:
        self.error = error
        """Why it cannot be written; None while it can be."""
        self._counters = counters
        self._logged: set[str] = set()

    def report(self, error: HistoryError) -> None:
        """Count and log a failure; until it has recovered, each one is logged once."""
        self._counters.history_errors += 1
        if str(error) not in self._logged:
            self._logged.add(str(error))
            logger.error("history error: %s", error)

    def recovered(self) -> None:
        """It can be written again."""
        self.error = None
        self._logged.clear()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn a `HistoryError` into `history_unavailable`, and report it."""
        try:
            yield
        except HistoryError as error:
            raise self.cannot_be_read(error) from error

    def cannot_be_read(self, error: HistoryError) -> RequestError:
        """Report a failed read, and return the error for the request."""
        self.report(error)
        return RequestError("history_unavailable", str(error))

    def cannot_be_written(self, error: HistoryError) -> RequestError:
        """Report a failed write, remember it, and return the error for the request."""
        self.report(error)
        self.error = str(error)
        return RequestError("history_unavailable", self.error)
