"""Leases: what one process at a time may do. Each has a fence, so that an owner which was stopped and comes back cannot undo
what its successor has done."""

from __future__ import annotations

from ..history.valkey import ValkeyHistory
from .scripts import script

_LASTS = 5_000
"""Milliseconds for which a lease lasts unless it is renewed."""


class Lease:
    """The lease `name`. `take` it again and again, at least every two seconds; each method raises `HistoryError`."""

    def __init__(self, history: ValkeyHistory, name: str) -> None:
        self._history = history
        self._owner, self._fence_key = history.key(f"lease:{name}"), history.key(f"fence:{name}")
        self._value = history.key(f"value:{name}")
        self.fence = 0
        """0: not held."""

    def take(self) -> bool:
        """Take or renew it; False while another process holds it."""
        words = (self._history.name, _LASTS)
        self.fence = int(self._history.call("EVAL", script("take"), 2, self._owner, self._fence_key, *words))
        return self.fence > 0

    def renew(self) -> bool:
        """Renew it if it is held; False, and no longer held, if it has ended: another may have had it since."""
        held = self.fence
        if held and (not self.take() or self.fence != held):
            self.fence = 0
        return self.fence > 0

    def value(self) -> bytes | None:
        """What its owners have stored with it."""
        value: bytes | None = self._history.call("GET", self._value)
        return value

    def store(self, value: bytes) -> bool:
        """Store a value for the next owner, and renew the lease; False if another process has taken it over."""
        keys = (self._owner, self._fence_key, self._value)
        words = (self._history.name, self.fence, value, _LASTS)
        return bool(self._history.call("EVAL", script("guarded_set"), 3, *keys, *words))

    def free(self) -> None:
        """Give it up."""
        self.fence = 0
        self._history.call("EVAL", script("free"), 1, self._owner, self._history.name)
