"""All targets of one hub: what the hub calls."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..history import History
from ..settings import Settings
from . import signing
from .follower import Follower
from .place import Mark, Place
from .sink import Sink
from .targets import WEBHOOK, Target

logger = logging.getLogger(__name__)

DRAIN = 2.0
"""Seconds of a drain that are for what is not forwarded yet, at the most: the next hub goes on with it."""

_END = 0.5
"""Seconds for what is in the middle of a step, a write to a file above all."""


class Forwarding:
    """Followers, one for each target; without targets it is nothing: no thread, no file, no library."""

    def __init__(self, settings: Settings, history: History) -> None:
        self.followers: tuple[Follower, ...] = ()
        self._settings = settings
        self._history = history

    def start(self) -> None:
        """Begin, before the first event is taken."""
        settings = self._settings
        folder = Path(settings.forward_state)
        secret = settings.forward_secret.get_secret_value() if settings.forward_secret else ""
        keys = signing.keys(secret)
        turn = threading.Lock()
        followers = []
        for target in settings.targets:
            place = Place(folder, target.slug, target.shown)
            followers.append(Follower(target, self._history, place, partial(_sink, target, keys), turn))
        for follower in followers:
            follower.open()
            follower.start()
        self.followers = tuple(followers)

    def wake(self) -> None:
        """Something was published."""
        for follower in self.followers:
            follower.wake()

    def finish(self) -> None:
        """Nothing more will be published."""
        for follower in self.followers:
            follower.finish()

    def wait(self, until: float) -> None:
        """Wait for what can still be delivered, until then on the monotonic clock."""
        for follower in self.followers:
            follower.done.wait(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """End; the places are the next hub's from here on."""
        for follower in self.followers:
            follower.stop()
        self.wait(time.monotonic() + _END)
        for follower in self.followers:
            if follower.lag:
                count, shown = follower.lag, follower.target.shown
                logger.warning("forwarding to %s: %d events are left to the next hub", shown, count)
            follower.close()

    def health(self) -> list[dict[str, Any]]:
        """Each target's state, for `/api/health`."""
        return [_facts(follower) for follower in self.followers]


def _facts(follower: Follower) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "target": follower.target.shown,
        "state": follower.state,
        "lag": follower.lag,
        "cursor": follower.cursor,
    }
    if follower.error is not None:
        facts["error"] = follower.error
    if follower.retry_at is not None:
        facts["retry_at"] = round(follower.retry_at, 3)
    return facts


def _sink(target: Target, keys: tuple[bytes, ...], mark: Mark | None, note: Callable[[Mark], None]) -> Sink:
    if target.kind == WEBHOOK:
        from .webhook import Webhook  # requests, which the hub needs for nothing else

        return Webhook(target, keys)
    from .jsonl import JSONLines

    return JSONLines(target, mark, note)
