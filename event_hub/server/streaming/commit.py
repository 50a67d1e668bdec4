"""Commits: requests that arrive together are stored in one append.

The first request in a group leads: it yields once, so that every other request that is ready can join, then stores all of
their events in one append and delivers them. With a history on a network the next group forms while the append waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from ..counters import Counters
from ..errors import RequestError
from ..history import Appended, Draft, History, HistoryError, HistoryLost, Stored
from ..history.health import HistoryHealth
from .delivery import Delivery

logger = logging.getLogger(__name__)

MAX_GROUP = 1_000
"""Events in one append, unless a single request has more: a larger append would delay every request in it."""


class Committed(NamedTuple):
    """The stored events of one request: an `Appended` for each draft, and the subscribers that they were for."""

    appended: list[Appended]
    notified: int


class _Request:
    """One request that waits for its commit."""

    __slots__ = ("abandoned", "committed", "drafts", "error", "leads", "wake")

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.drafts = drafts
        self.committed: Committed | None = None
        self.error: BaseException | None = None
        self.wake: threading.Lock | None = None
        """Held while it waits; None for a request that leads from the start."""
        self.leads = False
        """It was woken to lead the next group."""
        self.abandoned = False
        """Its greenlet was killed while it waited."""

    def outcome(self) -> Committed:
        """What became of it; raises its error."""
        if self.error is not None:
            raise self.error
        assert self.committed is not None
        return self.committed


class Committer:
    """Stores events and has them delivered. Methods may be called from any thread.

    At most one request leads: the holder of the single item in `_lead_free`. The operations on both deques are atomic, so
    that a commit takes no lock, which would cost as much as all the rest of it under gevent.
    """

    def __init__(
        self,
        history: History,
        delivery: Delivery,
        counters: Counters,
        health: HistoryHealth,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._history = history
        self._delivery = delivery
        self._counters = counters
        self._health = health
        self._clock = clock
        self._waiting: deque[_Request] = deque()
        self._lead_free: deque[None] = deque([None])
        self.closed = False
        """New commits are refused."""

    def commit(self, drafts: Sequence[Draft]) -> Committed:
        """Store `drafts`, all or none, and deliver them; returns once they are stored. Raises `RequestError`."""
        if self.closed:
            raise RequestError("draining", "the hub is shutting down")
        grouped = self._history.grouped
        if not grouped:
            time.sleep(0)  # let everything else run that is ready, even if this client's next request is
        if not self._take_lead():
            return self._wait(_Request(drafts))
        try:
            if grouped:
                time.sleep(0)  # requests that are ready join the group
            if not self._waiting:
                return self._commit(drafts)
            return self._lead(_Request(drafts))
        finally:
            self._hand_over()

    def close(self, until: float) -> None:
        """Refuse new commits; returns when those in progress are stored, at `until` (monotonic clock) at the latest."""
        self.closed = True
        while (self._waiting or not self._lead_free) and time.monotonic() < until:
            time.sleep(0.001)

    def _take_lead(self) -> bool:
        try:
            self._lead_free.pop()
        except IndexError:
            return False
        return True

    def _wait(self, request: _Request) -> Committed:
        """Wait until another request has committed this one, or has handed over the lead to it."""
        request.wake = threading.Lock()
        request.wake.acquire()
        self._waiting.append(request)
        if self._take_lead():  # the last leader has finished meanwhile
            self._hand_over()
        try:
            request.wake.acquire()
        except BaseException:  # this greenlet is being killed
            request.abandoned = True
            if request.leads:
                self._hand_over()
            raise
        if not request.leads:
            return request.outcome()
        try:
            return self._lead(request)
        finally:
            self._hand_over()

    def _lead(self, request: _Request) -> Committed:
        """Commit one group. Afterwards a request that has joined meanwhile leads the next: under a load that never pauses,
        too, every leader gets its own answer after one append."""
        group = [request]
        size = len(request.drafts)
        while self._waiting and size + len(self._waiting[0].drafts) <= MAX_GROUP:
            joined = self._waiting.popleft()
            if not joined.abandoned:
                group.append(joined)
                size += len(joined.drafts)
        try:
            self._commit_group(group)
        except RequestError as error:
            for each in group:
                each.error = RequestError(error.kind.code, error.detail, **error.more)
        except BaseException as error:
            for each in group:
                each.error = RequestError("internal", "the hub has failed; its log says why")
            if not isinstance(error, Exception):
                raise  # this greenlet is being killed
            logger.exception("a commit failed")
        finally:
            for joined in group[1:]:
                assert joined.wake is not None
                joined.wake.release()
        return request.outcome()

    def _hand_over(self) -> None:
        """Give the lead to a request that waits; if there is none, leave it free."""
        while True:
            try:
                request = self._waiting.popleft()
            except IndexError:
                self._lead_free.append(None)
                if not self._waiting or not self._take_lead():
                    return
                continue
            if not request.abandoned:
                assert request.wake is not None
                request.leads = True
                request.wake.release()
                return

    def _commit_group(self, group: list[_Request]) -> None:
        appended = self._append([draft for request in group for draft in request.drafts])
        ends = list(accumulate(len(request.drafts) for request in group))
        results = [appended[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        batches = [_stored(request.drafts, result) for request, result in zip(group, results, strict=True)]
        counts = self._deliver(batches)
        for request, result, notified in zip(group, results, counts, strict=True):
            request.committed = Committed(result, notified)

    def _commit(self, drafts: Sequence[Draft]) -> Committed:
        """Commit a single request: the usual case, so on a short path."""
        appended = self._append(drafts)
        try:
            (notified,) = self._deliver([_stored(drafts, appended)])
        except RequestError:
            raise
        except Exception:
            logger.exception("a commit failed")
            raise RequestError("internal", "the hub has failed; its log says why") from None
        return Committed(appended, notified)

    def _deliver(self, batches: Sequence[Sequence[Stored]]) -> list[int]:
        try:
            return self._delivery.deliver(batches)
        except HistoryLost as error:
            raise self._health.cannot_be_read(error) from error

    def _append(self, drafts: Sequence[Draft]) -> list[Appended]:
        began = time.perf_counter()
        try:
            appended = self._history.append(drafts, self._clock())
        except HistoryError as error:
            raise self._health.cannot_be_written(error) from error
        self._health.error = None
        self._counters.append.observe(time.perf_counter() - began)
        return appended


def _stored(drafts: Sequence[Draft], appended: Sequence[Appended]) -> list[Stored]:
    """The drafts that are new, at their offsets."""
    return [(offset, draft) for draft, (offset, duplicate) in zip(drafts, appended, strict=True) if not duplicate]
