"""Limits for each credential and each address: rates of requests, numbers of open streams, and patterns that they watch.

A hub without such settings pays for one check of None. Which requests count: those to the API and for metrics, except
health, for an orchestrator would restart a hub that refuses to say how it is. Pages and static files do not count: a
browser fetches dozens of them at once, and reading never delays publishers. The hub's own agents have no limit.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import RequestError
from ..filters import Filter
from ..settings import Settings
from .addresses import client_address, group, networks
from .pattern_shares import Holder, PatternShares
from .principal import Principal
from .rates import Rate

if TYPE_CHECKING:
    from ..history.valkey.address import ServerAddress
    from .windows import SharedWindows, Windows

_COUNTED = ("/api/", "/metrics")
FREE = frozenset({"/api/health", "/api/health/live"})
"""Paths whose requests do not count."""
_WITHOUT_CREDENTIAL = ("local", "anonymous")


class Seat:
    """One open stream in the counts of its credential and its address, until `release`."""

    __slots__ = ("_counted", "_lock", "_patterns", "address")

    def __init__(
        self,
        address: str | None = None,
        counted: list[tuple[Counter[str], str]] | None = None,
        lock: Any = None,
        patterns: list[Callable[[], None]] | None = None,
    ) -> None:
        self.address = address
        """The client's, if a named proxy has reported it; None: it is the peer's."""
        self._counted = counted
        self._lock = lock
        self._patterns = patterns
        """What gives back the patterns that it watches."""

    def release(self) -> None:
        """The stream is over, in whatever way. Idempotent."""
        if self._patterns:
            with suppress(IndexError):  # another thread was faster
                self._patterns.pop()()
        if self._counted is None:
            return
        with self._lock:
            while self._counted:
                count, name = self._counted.pop()
                count[name] -= 1
                if not count[name]:
                    del count[name]

    def and_then(self, release: Callable[[], None]) -> Seat:
        """The same seat, which calls `release` too."""
        return Seat(self.address, self._counted, self._lock, [release])


FREE_SEAT = Seat()
"""That of a stream which is not counted."""


class Limits:
    """The limits of one hub. Raises `RequestError` where one is reached."""

    def __init__(self, settings: Settings) -> None:
        self._proxies = networks(settings.proxies)
        self._rates = settings.rate_limit, settings.address_rate_limit
        self._by_credential: Windows | SharedWindows | None = _windows(settings.rate_limit)
        self._by_address: Windows | SharedWindows | None = _windows(settings.address_rate_limit)
        self._elsewhere: Callable[[], tuple[Counter[str], Counter[str]]] | None = None
        self._most = settings.credential_subscribers, settings.address_subscribers
        self._open: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        self._lock = threading.Lock()
        self.patterns = PatternShares(settings.max_globs)

    def share(self, address: ServerAddress, elsewhere: Callable[[], tuple[Counter[str], Counter[str]]]) -> None:
        """Count together with the other processes that share the history at `address`. `elsewhere`: their open streams, by
        credential and by address."""
        from .windows import SharedWindows

        by_credential, by_address = self._rates
        self._by_credential = SharedWindows(by_credential, address) if by_credential else None
        self._by_address = SharedWindows(by_address, address) if by_address else None
        self._elsewhere = elsewhere

    @property
    def any_rate(self) -> bool:
        """Whether `admit` can refuse anything."""
        return self._by_credential is not None or self._by_address is not None

    def address(self, environ: Mapping[str, Any]) -> str:
        """The client's address."""
        return client_address(environ, self._proxies)

    def admit(self, environ: Mapping[str, Any], principal: Principal) -> None:
        """Count a request, and raise `RequestError` if it is one too many; such a request is not counted."""
        path = str(environ["PATH_INFO"])
        if not path.startswith(_COUNTED) or path in FREE or environ["REQUEST_METHOD"] == "OPTIONS":
            return
        if principal.kind in _WITHOUT_CREDENTIAL:
            if self._by_address is not None:
                address = group(self.address(environ))
                _hit(self._by_address, address, address)
        elif self._by_credential is not None and principal.kind != "agent":
            _hit(self._by_credential, principal.name, principal.label)

    def stream(self, environ: Mapping[str, Any], principal: Principal, filter: Filter = Filter()) -> Seat:
        """Count a stream, and the patterns of its `filter`, until its seat is released; raises `RequestError` if it is one
        too many."""
        if not filter.globs:
            return self._seat(environ, principal)
        holders = self._holders(environ, principal)
        self.patterns.take(filter, holders)
        release = partial(self.patterns.release, filter, holders)
        try:
            seat = self._seat(environ, principal)
        except BaseException:
            release()
            raise
        return seat.and_then(release)

    def _holders(self, environ: Mapping[str, Any], principal: Principal) -> list[Holder]:
        address = group(self.address(environ))
        holders = [Holder("address", address, address or "the local peer")]
        if principal.kind not in _WITHOUT_CREDENTIAL:
            holders.append(Holder("credential", principal.name, principal.label))
        return holders

    def _seat(self, environ: Mapping[str, Any], principal: Principal) -> Seat:
        by_credential, by_address = self._most
        address = self.address(environ) if self._proxies or by_address is not None else None
        shown = address if address != environ.get("REMOTE_ADDR") else None
        wanted: list[tuple[Counter[str], str, int, str]] = []
        if by_credential is not None and principal.kind not in _WITHOUT_CREDENTIAL:
            wanted.append((self._open[0], principal.name, by_credential, principal.label))
        if by_address is not None:
            name = group(address or "")
            wanted.append((self._open[1], name, by_address, name or "the local peer"))
        if not wanted:
            return Seat(shown) if shown else FREE_SEAT
        with self._lock:
            elsewhere = self._elsewhere() if self._elsewhere is not None else (Counter(), Counter())
            for count, name, most, who in wanted:
                if count[name] + elsewhere[count is self._open[1]][name] >= most:
                    raise RequestError("too_many_streams", f"{who} has {most} open streams, which is the limit")
            for count, name, _, _ in wanted:
                count[name] += 1
        return Seat(shown, [(count, name) for count, name, _, _ in wanted], self._lock)

    def open_streams(self) -> tuple[dict[str, int], dict[str, int]]:
        """The streams that are counted, by credential and by address."""
        return dict(self._open[0]), dict(self._open[1])


def _hit(windows: Windows | SharedWindows, name: str, who: str) -> None:
    exceeded = windows.hit(name)
    if exceeded is not None:
        most, seconds = exceeded.rate
        text = f"{who or 'the local peer'} has sent more than {most} requests in {seconds} s"
        raise RequestError("rate_limited", text, retry_after=exceeded.wait)


def _windows(rates: tuple[Rate, ...]) -> Windows | None:
    if not rates:
        return None
    from .windows import Windows

    return Windows(rates)
