"""All forwarding targets of one hub: the interface for the hub."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..history import HistoryReader
from ..settings import Settings
from . import signing
from .checkpoint import CheckpointFile, CheckpointStore, FileState
from .follower import Follower
from .internal_addresses import Internal
from .sink import EndedBy, Sink
from .targets import COLLECTOR, WEBHOOK, Target

if TYPE_CHECKING:
    from ..peers.peers import Peers

logger = logging.getLogger(__name__)

DRAIN = 2.0
"""Maximum seconds of a drain for the remaining events: the next hub forwards the rest."""

_END = 0.5
"""Maximum seconds for steps in progress, above all a write to a file."""


class Forwarding:
    """A follower per target. Without targets it costs nothing: no thread, no file, no import."""

    def __init__(
        self,
        settings: Settings,
        history: HistoryReader,
        peers: Peers | None = None,
        ended_by: EndedBy = lambda _event, _offset: (),
    ) -> None:
        """`peers`: processes that share the history, of which one at a time forwards to each target. `ended_by`: the
        sessions that ended with an event, for collectors."""
        self._ended_by = ended_by
        self._peers = peers
        self.followers: tuple[Follower, ...] = ()
        self._settings = settings
        self._history = history

    def start(self) -> None:
        """Start the followers; call it before the first event is published."""
        settings = self._settings
        folder = Path(settings.forward_state)
        secret = settings.forward_secret.get_secret_value() if settings.forward_secret else ""
        keys = signing.keys(secret)
        turn = threading.Lock()
        followers = []
        for target in settings.targets:
            checkpoint: CheckpointStore = CheckpointFile(folder, target.slug, target.shown)
            if self._peers is not None:
                from .shared_checkpoint import SharedCheckpoint

                checkpoint = SharedCheckpoint(self._peers, target.slug, target.shown)
            shared = self._peers is not None
            make_sink = partial(_make_sink, target, keys, settings.forward_internal, self._ended_by)
            followers.append(Follower(target, self._history, checkpoint, make_sink, turn, shared=shared))
        for follower in followers:
            follower.open()
            follower.start()
        self.followers = tuple(followers)

    def wake(self) -> None:
        """Call it after each publish."""
        for follower in self.followers:
            follower.wake()

    def erased(self) -> None:
        """Call it after events were erased."""
        for follower in self.followers:
            follower.erased()

    def restarted(self) -> None:
        """Call it after the history has lost events."""
        for follower in self.followers:
            follower.restarted()

    def finish(self) -> None:
        """Call it once no more events will be published."""
        for follower in self.followers:
            follower.finish()

    def wait(self, until: float) -> None:
        """Wait until every follower is done, or until the monotonic clock reads `until`."""
        for follower in self.followers:
            follower.done.wait(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Stop the followers and release their checkpoints for the next hub."""
        for follower in self.followers:
            follower.stop()
        self.wait(time.monotonic() + _END)
        for follower in self.followers:
            if follower.lag:
                count, shown = follower.lag, follower.target.shown
                logger.warning("forwarding to %s: %d events remain for the next hub", shown, count)
            follower.close()

    def health(self) -> list[dict[str, Any]]:
        """Each target's state, for `/api/health`."""
        return [_facts(follower) for follower in self.followers]


def _facts(follower: Follower) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "target": follower.target.shown,
        "filter": {**follower.target.filter.to_json(), **follower.target.sessions.to_json()},
        "state": follower.state,
        "lag": follower.lag,
        "cursor": follower.cursor,
    }
    if follower.error is not None:
        facts["error"] = follower.error
    if follower.retry_at is not None:
        facts["retry_at"] = round(follower.retry_at, 3)
    return facts


def _make_sink(
    target: Target,
    keys: tuple[bytes, ...],
    internal: Internal,
    ended_by: EndedBy,
    state: FileState | None,
    save: Callable[[FileState], None],
) -> Sink:
    if target.kind == WEBHOOK:
        from .webhook import Webhook  # imports requests, which nothing else in the hub needs

        return Webhook(target, keys, internal)
    if target.kind == COLLECTOR:
        from .collector import Collector

        return Collector(target, internal, ended_by)
    from .jsonl import JSONLines

    return JSONLines(target, state, save)
