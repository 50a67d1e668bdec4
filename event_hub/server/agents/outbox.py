"""The launcher's own events: published at once, or as soon as the history takes events again."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..errors import RequestError

logger = logging.getLogger(__name__)

_UNSENT = 200
"""Events that wait at most; beyond that the oldest are lost."""


class Outbox:
    """`publish` takes an event and raises `RequestError`. Not thread-safe: the launcher's lock guards it."""

    def __init__(self, publish: Callable[[dict[str, Any]], object]) -> None:
        self._publish = publish
        self._unsent: deque[dict[str, Any]] = deque(maxlen=_UNSENT)

    def __bool__(self) -> bool:
        """Whether events are waiting."""
        return bool(self._unsent)

    def put(self, event: dict[str, Any]) -> None:
        """Publish this event after those that are waiting."""
        self._unsent.append({**event, "event_id": secrets.token_hex(16), "timestamp": time.time()})
        self.send()

    def send(self) -> None:
        """Publish what is waiting, in order, until the history takes no more."""
        while self._unsent:
            try:
                self._publish(dict(self._unsent[0]))
            except RequestError as error:
                if error.kind.retry:
                    return
                logger.error("an event of the launcher was refused: %s", error)
            self._unsent.popleft()
