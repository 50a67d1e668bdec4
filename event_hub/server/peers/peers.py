"""The other processes that share this hub's history: who they are, and what this one asks of them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..history import History, HistoryError
from ..history.valkey import ValkeyHistory
from ..instance import instance_name
from ..streaming.log import View
from .calls import TIMEOUT, Calls
from .facts import Facts, Watched
from .leases import Lease
from .membership import Membership

_ATTEMPTS = 3
_CONFIRM = 2.0
"""How often, and for how many seconds each time, the others are asked to confirm what they were told."""
_PAUSE = 0.05
"""Seconds between two looks at what siblings do."""


class Peers:
    """`start` it before use, `stop` it at the end. `facts` returns what this process tells of itself; `instance`, `pid` and
    `version` are added."""

    def __init__(self, history: ValkeyHistory, facts: Callable[[], Facts], *, version: str) -> None:
        self.instance = instance_name()
        self._history = history
        self._own_facts = facts
        self._version = version
        self._leases: set[Lease] = set()
        self.calls = Calls(history)
        self.membership = Membership(history, self._facts, self._renew)
        self.streams: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        """Open streams of others, by credential and by address."""

    def start(self) -> None:
        self.calls.start()
        self.membership.start()

    def stop(self) -> None:
        self.membership.stop()
        self.calls.stop()

    # -- who is there --------------------------------------------------------------------------------------------------

    def others(self) -> dict[str, Facts]:
        """All other processes, by name. One of this hub that was killed is left out at once."""
        others = self.membership.others()
        return {name: facts for name, facts in others.items() if facts.instance != self.instance or _runs(facts.pid)}

    def siblings(self) -> dict[str, Facts]:
        """The other worker processes of this hub."""
        return {name: facts for name, facts in self.others().items() if facts.instance == self.instance}

    def launchers(self) -> dict[str, Facts]:
        """The processes elsewhere that start and watch agents: one of each hub, this hub's if it is not this one."""
        return {name: facts for name, facts in self.others().items() if facts.launches}

    @property
    def first(self) -> bool:
        """Whether this process does what one of them has to do."""
        return self.membership.first

    @property
    def subscribers(self) -> int:
        """Open streams of the others."""
        return sum(facts.subscribers for facts in self.others().values())

    def wait_for_siblings(self, condition: Callable[[Facts], bool], until: float) -> None:
        """Wait until it holds for all other worker processes of this hub, or until the monotonic clock reads `until`."""
        try:
            self.membership.beat()
            while time.monotonic() < until and not all(map(condition, self.siblings().values())):
                time.sleep(_PAUSE)
                self.membership.beat()
        except HistoryError:
            pass  # without the server none takes events any more

    def notified(self, events: Iterable[tuple[str, str | None, str | None]]) -> int:
        """How many subscribers of others such events are for: (type, room, session) of each."""
        return self.membership.notified(events)

    def tell_all(self, method: str, *arguments: Any) -> set[str]:
        """Call every other process, again if one does not answer; returns those that still have not."""
        waiting = set(self.others())
        for _ in range(_ATTEMPTS):
            if waiting:
                waiting -= {name for name, _ in self.ask(waiting, method, *arguments, timeout=_CONFIRM)}
                waiting &= set(self.others())
        return waiting

    def ask(
        self, names: Iterable[str], method: str, *arguments: Any, timeout: float = TIMEOUT
    ) -> list[tuple[str, Any]]:
        """Name and answer of each of `names` that answers."""
        return list(self.calls.call_all(names, method, *arguments, timeout=timeout, skip=True))

    # -- what one at a time may do ---------------------------------------------------------------------------------------

    def lease(self, name: str) -> Lease:
        """A lease, not yet taken."""
        return Lease(self._history, name)

    def keep(self, lease: Lease) -> None:
        """Renew it with each sign of life."""
        self._leases.add(lease)

    def release(self, lease: Lease) -> None:
        """Give it up. Raises `HistoryError`."""
        self._leases.discard(lease)
        lease.free()

    def shared_secret(self, own: bytes) -> bytes:
        """The secret with which all hubs sign links, sign-ins and agents' credentials: that of the first. Raises
        `HistoryError`."""
        key = self._history.key("secret")
        self._history.call("SET", key, own, "NX")
        secret: bytes = self._history.call("GET", key)
        return secret

    # -- inside --------------------------------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        for lease in list(self._leases):
            lease.renew()
        facts = self._own_facts()
        facts.instance, facts.pid, facts.version = self.instance, os.getpid(), self._version
        return facts

    def _renew(self) -> None:
        by_credential: Counter[str] = Counter()
        by_address: Counter[str] = Counter()
        for facts in self.others().values():
            by_credential.update(facts.credential_streams)
            by_address.update(facts.address_streams)
        self.streams = by_credential, by_address


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def watched(views: Sequence[View]) -> list[Watched]:
    """The filters of a log's views, and how many subscribers each has."""
    return [Watched.of(view.filter, len(view.subscribers)) for view in views if view.subscribers]


def shared(history: History) -> ValkeyHistory | None:
    """The history, if other processes can share it."""
    return history if isinstance(history, ValkeyHistory) else None
