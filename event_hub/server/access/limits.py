"""Limits for each credential and each address: rates of requests, and numbers of open streams.

A hub without such settings pays for one check of None. Rates are sliding windows of the `limits` package.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import RequestError
from ..settings import Settings
from .addresses import client_address, group, networks
from .principal import Principal
from .rates import Rate


class Limits:
    """The limits of one hub. Raises `RequestError` where one is reached."""

    def __init__(self, settings: Settings) -> None:
        self._proxies = networks(settings.proxies)
        self._by_credential = _windows(settings.rate_limit)
        self._by_address = _windows(settings.address_rate_limit)
        self._streams = settings.credential_subscribers, settings.address_subscribers
        self._open: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        self.any_rate = bool(self._by_credential or self._by_address)
        """Whether `admit` can refuse anything."""

    def address(self, environ: Mapping[str, Any]) -> str:
        """The client's address."""
        return client_address(environ, self._proxies)

    def admit(self, environ: Mapping[str, Any], principal: Principal) -> None:
        """Count a request, and raise `RequestError` if it is one too many."""
        if not self.any_rate:
            return
        if self._by_credential is not None and principal.kind not in ("local", "anonymous"):
            self._by_credential.hit(principal.name, principal.label)
        elif self._by_address is not None:
            address = self.address(environ)
            self._by_address.hit(group(address), address)

    def stream(self, environ: Mapping[str, Any], principal: Principal) -> Callable[[], None]:
        """Count a stream until the returned function is called; raises `RequestError` if it is one too many."""
        by_credential, by_address = self._streams
        names = (
            principal.name if by_credential is not None and principal.kind != "local" else None,
            group(self.address(environ)) if by_address is not None else None,
        )
        whose = (principal.label, names[1])
        for name, most, open_, who in zip(names, self._streams, self._open, whose, strict=True):
            if name is not None and most is not None and open_[name] >= most:
                raise RequestError("too_many_streams", f"{who} has {most} open streams, which is the limit")
        counted = [(open_, name) for open_, name in zip(self._open, names, strict=True) if name is not None]
        for open_, name in counted:
            open_[name] += 1

        def close() -> None:
            while counted:
                open_, name = counted.pop()
                open_[name] -= 1
                if not open_[name]:
                    del open_[name]

        return close


class _Windows:
    """Sliding windows of several rates."""

    def __init__(self, rates: tuple[Rate, ...]) -> None:
        from limits import RateLimitItemPerSecond
        from limits.storage import MemoryStorage
        from limits.strategies import SlidingWindowCounterRateLimiter

        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._items = [RateLimitItemPerSecond(rate.most, rate.seconds) for rate in rates]

    def hit(self, name: str, who: str) -> None:
        for item in self._items:
            if not self._limiter.hit(item, name):
                wait = self._limiter.get_window_stats(item, name).reset_time - time.time()
                text = f"{who} has sent more than {item.amount} requests in {item.multiples} s"
                raise RequestError("rate_limited", text, retry_after=max(1, math.ceil(wait)))


def _windows(rates: tuple[Rate, ...]) -> _Windows | None:
    return _Windows(rates) if rates else None
