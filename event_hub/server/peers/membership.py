"""Which processes share this history, and what each has told about itself, at most about a second ago."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from ..filters import Filter
from ..history import HistoryError
from ..history.valkey import ValkeyHistory
from ..streaming.log import Log, View
from .facts import Facts, Watched, decode, encode
from .scripts import script

logger = logging.getLogger(__name__)

_BEAT = 1.0
"""Seconds between two signs of life."""
_GONE = 5_000
"""Milliseconds without one after which a process counts as gone."""


class Membership:
    """The other processes. `facts` returns this one's. `start` it, `stop` it at the end."""

    def __init__(self, history: ValkeyHistory, facts: Callable[[], Facts], changed: Callable[[], None]) -> None:
        """`changed`: called after others came, went or changed."""
        self.name = history.name
        self._history = history
        self._facts = facts
        self._changed = changed
        self._keys = [history.key(name) for name in ("peers", "versions", "facts")]
        self._version = 0
        self._told = b""
        self._peers: dict[str, tuple[bytes, Facts]] = {}
        self._counts: Counter[Filter] = Counter()
        self._index = Log(ring=1, ring_bytes=1)
        """Finds the filters of others that match an event; holds no events."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hub-peers", daemon=True)

    def start(self) -> None:
        with suppress(HistoryError):
            self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Leave, so that the others need not wait for it."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(5)
        with suppress(HistoryError):
            keys = (*self._keys, self._history.key(f"inbox:{self.name}"))
            self._history.call("EVAL", script("leave"), len(keys), *keys, self.name)

    def others(self) -> dict[str, Facts]:
        """The other processes, by name."""
        return {name: facts for name, (_, facts) in self._peers.items()}

    @property
    def first(self) -> bool:
        """Whether this process does what one of them has to do. For a moment none may think so, or two."""
        return all(self.name < name for name in self._peers)

    def notified(self, events: Iterable[tuple[str, str | None, str | None]]) -> int:
        """How many subscribers of others such events are for: (type, room, session) of each."""
        if not self._counts:
            return 0
        views: set[View] = set()
        for type, room, session in events:
            views.update(self._index.matching(type, room, session))
        return sum(self._counts[view.filter] for view in views)

    def beat(self) -> None:
        """Tell what has changed here, and learn what has changed elsewhere. Raises `HistoryError`."""
        facts = encode(self._facts())
        changed = facts != self._told
        if changed:
            self._version += 1
        known, versions = self._send(facts if changed else b"")
        if not known:
            _, versions = self._send(facts)
        self._told = facts
        pairs = zip(versions[::2], versions[1::2], strict=True)
        told = {name.decode(): version for name, version in pairs if name.decode() != self.name}
        new = [name for name, version in told.items() if self._peers.get(name, (b"",))[0] != version]
        gone = [name for name in self._peers if name not in told]
        if new:
            answers = self._history.call("HMGET", self._keys[2], *new)
            for name, answer in zip(new, answers, strict=True):
                if answer is not None:
                    self._replace(name, told[name], _decoded(name, answer))
        for name in gone:
            self._replace(name, b"", None)
        if new or gone:
            self._changed()

    def _send(self, facts: bytes) -> tuple[int, list[bytes]]:
        words = (self.name, _GONE, self._version, facts)
        known, versions = self._history.call("EVAL", script("beat"), 3, *self._keys, *words)
        return known, versions

    def _replace(self, name: str, version: bytes, facts: Facts | None) -> None:
        _, before = self._peers.pop(name, (b"", None))
        if facts is not None:
            self._peers[name] = (version, facts)
        self._count(before.watched if before is not None else [], -1)
        self._count(facts.watched if facts is not None else [], 1)

    def _count(self, watched: list[Watched], sign: int) -> None:
        for each in watched:
            filter = each.filter
            self._counts[filter] += sign * each.count
            if self._counts[filter] > 0:
                self._index.watch(filter)
            else:
                del self._counts[filter]
                if (view := self._index.find(filter)) is not None:
                    self._index.forget(view)

    def _loop(self) -> None:
        while not self._stopped.wait(_BEAT):
            try:
                self.beat()
            except HistoryError:
                self._told = b""  # the history's health reports it
            except Exception:
                logger.exception("a sign of life has failed")
            time.sleep(0)


def _decoded(name: str, data: bytes) -> Facts:
    """The facts of a process; of another version of the hub, whose facts are not understood, only that it is there."""
    try:
        return decode(data)
    except msgspec.MsgspecError as error:
        logger.warning("the facts of process %s are not understood (%s); is another version running?", name[:64], error)
        return Facts()
