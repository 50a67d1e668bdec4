"""Rates as sliding windows: a strategy of the package `limits`, on a storage that is bounded. Imported only if a rate is
set, because the package takes 0.2 s to load.

The package's own `MemoryStorage` does not fit a hub on the internet: every 10 ms it starts a timer that goes through all of
its keys, it has no maximum number of keys, and it follows the system's clock.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport
from limits.strategies import SlidingWindowCounterRateLimiter

from ..history.valkey.address import ServerAddress
from .rates import Rate

MOST_KEYS = 10_000
"""Counts that are remembered, one for each rate of each client; the one that was used longest ago is forgotten first."""


_AWAY = 5.0
"""Seconds for which a server that has failed is not asked."""
_CONNECTIONS = 4


class Exceeded(NamedTuple):
    """`rate` does not admit another request before `wait` seconds have passed."""

    rate: Rate
    wait: int


class Windows:
    """Counts the requests of each client against several rates. `clock`: seconds, only forwards."""

    def __init__(
        self,
        rates: tuple[Rate, ...],
        clock: Callable[[], float] = time.monotonic,
        storage: Any = None,
    ) -> None:
        """`storage`: one of the package's, in which several processes count together; None: this process counts alone."""
        self._storage = storage if storage is not None else _Storage(clock)
        self._shared = storage is not None
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._items = [(rate, RateLimitItemPerSecond(rate.most, rate.seconds)) for rate in rates]
        self._lock: AbstractContextManager[Any] = threading.Lock() if storage is None else nullcontext()
        """A storage that is shared is on a network: there, no request waits for another."""

    def hit(self, name: str) -> Exceeded | None:
        """Count a request of `name`; if a rate does not admit it, count nothing and return the one that takes longest."""
        with self._lock:
            exceeded = [
                Exceeded(rate, self._wait(item, name))
                for rate, item in self._items
                if not self._limiter.test(item, name)
            ]
            if exceeded:
                return max(exceeded, key=lambda one: one.wait)
            for rate, item in self._items:
                if not self._limiter.hit(item, name) and self._shared:  # another request was faster
                    return Exceeded(rate, self._wait(item, name))
            return None

    def _wait(self, item: RateLimitItem, name: str) -> int:
        """Whole seconds after which `item` admits a request, if `name` sends none before."""
        length = item.get_expiry()
        previous, rest, current, _ = self._storage.get_sliding_window(item.key_for(name), length)
        if current >= item.amount:  # in the next window, this one's count begins to fade at once
            wait = rest
        else:
            wait = rest - (item.amount - current) * length / max(1, previous)
        return int(max(0.0, wait) + 1e-6) + 1  # strictly after that moment

    def __len__(self) -> int:
        return len(self._storage)


class SharedWindows:
    """Rates that all processes which share a history count together; while its server is away, each counts alone."""

    def __init__(self, rates: tuple[Rate, ...], address: ServerAddress) -> None:
        self._rates = rates
        self._address = address
        self._alone = Windows(rates)
        self._together: Windows | None = None
        self._away = False
        self._retry_at = 0.0

    def hit(self, name: str) -> Exceeded | None:
        """As `Windows.hit`."""
        if time.monotonic() >= self._retry_at:
            if self._away:  # this request finds out whether it is back; the others do not wait for it
                self._retry_at = time.monotonic() + _AWAY
            try:
                if self._together is None:
                    self._together = Windows(self._rates, storage=self._storage())
                exceeded = self._together.hit(name)
                self._away, self._retry_at = False, 0.0
                return exceeded
            except Exception:  # the history's health reports it
                self._together, self._away, self._retry_at = None, True, time.monotonic() + _AWAY
        return self._alone.hit(name)

    def _storage(self) -> Any:
        from limits.storage.redis import RedisStorage

        prefix = f"{{{self._address.prefix}}}:rates"
        return RedisStorage("redis://", connection_pool=self._address.pool(_CONNECTIONS), key_prefix=prefix)


class _Window(NamedTuple):
    """The count in window `number`, and in the one before."""

    number: int
    previous: int
    current: int


class _Storage(Storage, SlidingWindowCounterSupport):
    """What the strategy of sliding windows needs of a storage."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def _window(self, key: str, length: int) -> tuple[_Window, float]:
        """The counts of `key` now, and the seconds that remain of the current window."""
        number, into = divmod(self._clock(), length)
        known = self._windows.get(key)
        if known is None:
            known = _Window(int(number), 0, 0)
        else:
            self._windows.move_to_end(key)
            if known.number != number:
                known = _Window(int(number), known.current if known.number == number - 1 else 0, 0)
        return known, length - into

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        window, rest = self._window(key, expiry)
        if int(window.previous * rest / expiry + window.current) + amount > limit:
            return False
        self._windows[key] = window._replace(current=window.current + amount)
        if len(self._windows) > MOST_KEYS:
            self._windows.popitem(last=False)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        window, rest = self._window(key, expiry)
        return window.previous, rest, window.current, rest + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - one entry has both windows
        self.clear(key)

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def reset(self) -> int:
        number = len(self._windows)
        self._windows.clear()
        return number

    def check(self) -> bool:
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    # Other strategies would need these.

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError
