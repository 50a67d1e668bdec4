"""Streams: the one place where a stream is admitted, opened, replayed and handed over to the broadcast.

`open` returns what the WSGI application answers with: `TAKEN_OVER` if the socket has been taken over and the response is
written, otherwise an iterable of frames.
"""

from __future__ import annotations

import itertools
import logging
import random
import sys
import time
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ... import sse
from ..access.limits import FREE_SEAT, Seat
from ..access.principal import LOCAL, Principal
from ..counters import Counters
from ..errors import RequestError
from ..filters import Filter
from ..history import HistoryError, HistoryReader
from ..history.health import HistoryHealth
from .broadcast import Broadcast
from .generator import GeneratorSubscriber, visible_socket
from .replay import Replay
from .replay_pages import ReplayPages
from .start import StartRequest, find_start
from .subscriber import Subscriber

if TYPE_CHECKING:
    from .replay_loop import ReplayLoop
    from .sockets import Taken

logger = logging.getLogger(__name__)

TAKEN_OVER = None
"""The response is already written on a socket that was taken over."""

Headers = tuple[tuple[str, str], ...]


class Streams:
    """The open streams of a hub, and the limits on them."""

    def __init__(
        self,
        history: HistoryReader,
        broadcast: Broadcast,
        counters: Counters,
        health: HistoryHealth,
        *,
        max_subscribers: int,
        takeover: bool,
        clock: Callable[[], float],
        seat: Callable[[dict[str, Any], Principal, Filter], Seat] = lambda _environ, _principal, _filter: FREE_SEAT,
    ) -> None:
        self.max_subscribers = max_subscribers
        self.closing = False
        """The hub is shutting down: no new stream."""
        self._history = history
        self._broadcast = broadcast
        self._counters = counters
        self._health = health
        self._takeover = takeover
        self._clock = clock
        self._seat = seat
        """Counts a stream of a principal, with its filter, until the seat is released; raises `RequestError`."""
        self._ids = itertools.count(1)
        self.replay_pages = ReplayPages(history)
        self._replays: ReplayLoop | None = None
        self._sockets: ModuleType | None = None
        """`sockets`, which needs gevent: loaded with the first stream that it serves."""

    @property
    def count(self) -> int:
        """Open streams, those whose replay is in progress included."""
        return self._broadcast.count + self._counters.opening.count

    def open(
        self,
        environ: dict[str, Any],
        filter: Filter,
        request: StartRequest,
        headers: Headers,
        principal: Principal = LOCAL,
    ) -> Iterator[bytes] | None:
        """Open a stream for the request in `environ`, made by `principal`; `filter`: within what it may see; `headers`:
        those of the response. Raises `RequestError`."""
        self._admit()
        # Before anything that waits, so that two requests cannot get the last one.
        seat = self._seat(environ, principal, filter)
        try:
            try:
                restarts = -1
                while restarts != self._broadcast.log.restarts:  # else: the history has lost events meanwhile
                    restarts = self._broadcast.log.restarts
                    start = find_start(request, filter, self._history, self._clock)
                    replay = Replay(self._history, self._broadcast, filter, start, time.time, self.replay_pages)
                    opening = replay.opening(random.random())
            except HistoryError as error:
                raise self._health.cannot_be_read(error) from error
            taken = self._take_over(environ)
        except BaseException:
            seat.release()
            raise
        if taken is None:
            return _Frames(self._generate(replay, opening, environ, principal, seat), seat)
        self._hand_over(replay, taken, headers, opening, principal, seat)
        return TAKEN_OVER

    def _admit(self) -> None:
        if self.closing:
            raise RequestError("draining", "the hub is shutting down")
        if self.count >= self.max_subscribers:
            raise RequestError("too_many_subscribers", f"{self.max_subscribers} streams are open, which is the limit")

    def _take_over(self, environ: dict[str, Any]) -> Taken | None:
        if not self._takeover or "gunicorn.socket" not in environ or "gevent.monkey" not in sys.modules:
            return None
        if self._sockets is None:
            from . import sockets

            self._sockets = sockets
        return self._sockets.Taken(environ) if self._sockets.can_take_over(environ) else None

    def _next_id(self) -> int:
        self._counters.opened += 1
        return next(self._ids)

    def _hand_over(
        self,
        replay: Replay,
        taken: Taken,
        headers: Headers,
        opening: bytes,
        principal: Principal,
        seat: Seat,
    ) -> None:
        """Send the response head and up to two pages of the replay, then leave the socket to the replay loop, or to the
        broadcast. From here on a failure is reported only by closing the connection."""
        now = time.time()
        sockets = self._sockets
        assert sockets is not None, "it has taken the socket over"
        subscriber = sockets.SocketSubscriber(self._next_id(), now, principal, taken, self._broadcast, seat)
        try:
            first = sockets.head(headers, int(now)) + sse.chunk(opening)
            page = b"" if replay.attach_now(subscriber) else self._next_page(replay, subscriber)
            whole = subscriber.begin(first, page)
            if page and whole and subscriber.view is None:  # the rest may be what was published a moment ago
                page = self._next_page(replay, subscriber)
                whole = subscriber.begin(page)
            if subscriber.view is not None or (whole and replay.attach_now(subscriber)):
                subscriber.release()
            elif not subscriber.closed:
                self._replay_loop().add(subscriber, replay)
        except Exception:
            logger.exception("a stream could not be opened")
            subscriber.drop()

    def _next_page(self, replay: Replay, subscriber: Subscriber) -> bytes:
        """As a chunk; b"" if there is none: the subscriber is attached now, nothing matched, or the history cannot be read,
        which the replay loop reports when it tries again."""
        with self._counters.opening:
            try:
                page = replay.next(subscriber)
            except HistoryError:
                return b""
        return page.chunk if page is not None and page.data else b""

    def _replay_loop(self) -> ReplayLoop:
        if self._replays is None:
            from .replay_loop import ReplayLoop

            self._replays = ReplayLoop(self._broadcast, self._counters, self._health)
        return self._replays

    def _generate(
        self, replay: Replay, opening: bytes, environ: dict[str, Any], principal: Principal, seat: Seat
    ) -> Generator[bytes, None, None]:
        with self._counters.opening:
            yield opening
            subscriber = GeneratorSubscriber(
                self._next_id(), time.time(), principal, visible_socket(environ), self._broadcast, seat
            )
            try:
                pages = replay.pages(subscriber)
                while (reason := self._broadcast.why_ended(principal)) is None:
                    frames = next(pages, None)
                    if frames is None:
                        break
                    yield frames
                else:
                    subscriber.expel(reason)
            except HistoryError as error:
                self._health.report(error)
                raise
        yield from subscriber.frames()


class _Frames:
    """The frames of a stream. Releases its seat once they are closed or forgotten, even if the server has asked for none."""

    def __init__(self, frames: Generator[bytes, None, None], seat: Seat) -> None:
        self._frames = frames
        self._seat = seat

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._frames)

    def close(self) -> None:
        try:
            self._frames.close()
        finally:
            self._seat.release()

    def __del__(self) -> None:
        self._seat.release()
