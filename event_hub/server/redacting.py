"""Redaction on the hub: before an event is stored, sent or forwarded, whoever published it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from .. import sse
from ..redaction import EventRedactor, Rules, Undo
from .cooperate import TimeSlice
from .errors import RequestError
from .history import Draft


class Redacting:
    """Redacts validated events between their validation and their commit. For any thread."""

    def __init__(self, rules: Rules) -> None:
        self.names = rules.names
        self._slice = TimeSlice()
        """Of all requests together: what counts is how long nothing else has run."""
        self._redactor = EventRedactor(rules, pause=self._slice.pause_if_due, lock=threading.Lock())

    @contextmanager
    def drafts(self, events: list[dict[str, Any]], drafts: list[Draft]) -> Iterator[list[Draft]]:
        """The drafts to store for `events`, whose own drafts are `drafts`.

        If the body raises, because they could not be stored, what was held back of streamed texts is as before: so they can
        be posted again. Raises `RequestError`.
        """
        undo = Undo()
        try:
            result = []
            self._slice.begin()
            for event, draft in zip(events, drafts, strict=True):
                self._slice.pause_if_due()
                result.append(self._draft(event, draft, undo))
            yield result
        except BaseException:
            self._redactor.undo(undo)
            raise

    def _draft(self, event: dict[str, Any], draft: Draft, undo: Undo) -> Draft:
        try:
            redacted = self._redactor.redact(event, undo)
            if redacted is event:
                return draft
            return draft._replace(data=sse.one_line(msgspec.json.encode(redacted)))
        except RecursionError:
            raise RequestError("bad_json", "the event is nested too deeply") from None
