"""The hub: history, log and broadcast put together. What the routes call."""

from __future__ import annotations

import functools
import itertools
import logging
import random
import sys
import threading
import time
from typing import Any, NamedTuple

import msgspec

from .. import events as vocabulary
from .. import sse
from .agents import Launcher
from .agents.launcher import REPORTS
from .broadcast import Broadcast
from .errors import HubError
from .filters import Filter
from .forward.forwarding import DRAIN as FORWARD_DRAIN
from .forward.forwarding import Forwarding
from .history import Draft, History, HistoryError
from .log import Log, View
from .metrics import Figures, registry
from .past import PastReader
from .replay import Replay, Wish, find_start
from .sessions import SessionReader
from .settings import Settings

logger = logging.getLogger(__name__)

MAX_BATCH = 10_000
"""Events in one POST: about 100 ms of work, during which nobody else is served."""
_MAINTAIN = 1.0
"""Seconds between two looks at retention."""
_AGENTS_SHARE = 0.7
"""Of the drain's time, what agents may take; subscribers need the rest."""
_LAST_ANSWERS = 3.0
"""Seconds that answers under way may take once the subscribers are gone: an export goes on with the next hub as well."""
_CHECKPOINT = 5.0
"""Seconds between two checkpoints."""


class Published(NamedTuple):
    """What became of a POST: the first and last id, how many were new, and to how many subscribers they went."""

    first: str | None
    last: str | None
    accepted: int
    duplicates: int
    notified: int


class Hub:
    """One hub in one process. `start` it before use, `drain` it at the end."""

    def __init__(self, settings: Settings, history: History, *, descriptors: int = 1024) -> None:
        self.settings = settings
        self.history = history
        self.figures = Figures()
        self.sessions = SessionReader(history)
        self.pasts = PastReader(history)
        self.log = Log(ring=settings.ring, ring_bytes=settings.ring_bytes, head=history.head)
        self.broadcast = Broadcast(
            self.log, history.epochs, self.figures, heartbeat=settings.heartbeat, stall=settings.stall
        )
        self.max_subscribers = settings.subscriber_limit(descriptors)
        self.max_connections = settings.connection_limit(descriptors)
        self.started = time.time()
        self.draining = False
        self.active = 0
        """Requests under way that are no streams."""
        self.history_error: str | None = None
        self.agents = Launcher(settings, lambda event: self.publish([event], batch=False))
        self.forwarding = Forwarding(settings, history)
        self.registry = registry(self)
        self._ids = itertools.count(1)
        self._stopped = threading.Event()
        self._maintainer = threading.Thread(target=self._maintain_loop, name="hub-maintain", daemon=True)
        self._epoch = history.epochs.current
        self._last_failure = ""
        self._behind = False
        """Retention has more to give up than the loop beside has managed in one go."""
        self.opening = 0
        """Streams that are being opened, or get their replay: they count as open, but nothing is live for them yet."""

    def start(self) -> None:
        """Start the loops: flush, sweep, retention."""
        self.broadcast.start()
        _in_real_thread(lambda: None)  # the pool begins now, while there are descriptors
        self._maintainer.start()
        self.forwarding.start()
        self.agents.open()

    # -- publishing --------------------------------------------------------------------------------------------------

    def publish(self, events: list[Any], *, batch: bool) -> Published:
        """Check all of `events`, keep them, broadcast them. All or none; raises `HubError`.

        Fills in `timestamp` where it is missing. With `batch`, an error names the index of the event.
        """
        if len(events) > MAX_BATCH:
            raise HubError("too_many_events", f"a batch has at most {MAX_BATCH} events, this one has {len(events)}")
        now = time.time()
        drafts = []
        for index, event in enumerate(events):
            try:
                drafts.append(self._draft(event, now))
            except HubError as error:
                if batch:
                    error.more["index"] = index
                    error.detail = f"event {index} of {len(events)}: {error.detail}"
                raise
        self.broadcast.wait_for_room()
        return self._keep(drafts, now)

    def _draft(self, event: Any, now: float) -> Draft:
        if type(event) is dict and event.get("timestamp") is None:
            event["timestamp"] = now
        try:
            data = msgspec.json.encode(event)
        except (RecursionError, ValueError) as error:
            raise HubError("bad_json", f"the event cannot be written as JSON: {error}") from None
        if len(data) > self.settings.max_event:
            limit = self.settings.max_event
            raise HubError(
                "event_too_large", f"the event takes {len(data)} bytes as JSON, the limit is {limit}", limit=limit
            )
        try:
            vocabulary.check(event)  # after the size: what is wrong in a large event can take long to tell
        except vocabulary.InvalidEvent as error:
            code = "hub_only_type" if error.hub_only else "bad_event"
            raise HubError(code, str(error).removeprefix(": "), field=error.field) from None
        return Draft(event["type"], event.get("room"), event.get("session"), event.get("event_id"), data)

    def _keep(self, drafts: list[Draft], now: float) -> Published:
        broadcast, epoch = self.broadcast, self._epoch
        clock = time.perf_counter
        with broadcast.lock:
            if self.draining:
                raise HubError("draining", "the hub is shutting down")
            began = clock()
            try:
                appended = self.history.append(drafts, now)
            except HistoryError as error:
                self.history_failed(error)
                self.history_error = str(error)
                raise HubError("history_unavailable", str(error)) from error
            self.figures.append.observe(clock() - began)
            self.history_error = None
            notified: set[View] = set()
            reports: list[bytes] = []
            accepted = 0
            for draft, (offset, duplicate) in zip(drafts, appended, strict=True):
                if not duplicate:
                    accepted += 1
                    if draft.type in REPORTS:
                        reports.append(draft.data)
                    frame = sse.chunk(sse.frame(epoch, offset, draft.data))
                    notified.update(broadcast.publish(offset, frame, draft.type, draft.room, draft.session))
            if self._behind:  # under a load that never pauses the loop beside would not keep up
                for _ in range(1 + accepted // 250):
                    self._behind = self._behind and self._trim_some(now)
            clients = sum(len(view.subscribers) for view in notified)
        broadcast.wake()
        self.forwarding.wake()
        if reports:
            self.agents.reported(reports)
        self.figures.published += accepted
        self.figures.duplicates += len(drafts) - accepted
        cursor = self.history.epochs.cursor
        first, last = (str(cursor(appended[0].offset)), str(cursor(appended[-1].offset))) if appended else (None, None)
        return Published(first, last, accepted, len(drafts) - accepted, clients)

    # -- subscribing -------------------------------------------------------------------------------------------------

    def subscribe(self, filter: Filter, wish: Wish) -> Replay:
        """The way of a new subscriber to the live events; raises `HubError` where there is no room for it,
        `HistoryError` where the history cannot be read."""
        if self.draining:
            raise HubError("draining", "the hub is shutting down")
        if self.broadcast.count + self.opening >= self.max_subscribers:
            raise HubError("too_many_subscribers", f"{self.max_subscribers} streams are open, which is the limit")
        limit = self.settings.max_globs
        if filter.globs and self.log.globs + filter.globs > limit and self.log.find(filter) is None:
            raise HubError("too_many_filters", f"{limit} different patterns with * may be watched at once")
        start = find_start(wish, filter, self.history, time.time())
        return Replay(self.history, self.broadcast, filter, start, time.time)

    def next_id(self) -> int:
        """A number for a new subscriber."""
        self.figures.opened += 1
        return next(self._ids)

    # -- operators ---------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> str:
        """The head."""
        return str(self.history.epochs.cursor(self.history.head))

    def health(self) -> dict[str, Any]:
        """How the hub is: `status` is ok, degraded (the history does not take events) or draining."""
        status = "draining" if self.draining else "degraded" if self.history_error else "ok"
        history: dict[str, Any] = {
            "kind": self.history.kind,
            "events": self.history.head - self.history.floor,
            "oldest": str(self.history.epochs.cursor(min(self.history.floor + 1, self.history.head))),
        }
        if self.history_error:
            history["error"] = self.history_error
        return {
            "status": status,
            "uptime": round(time.time() - self.started, 3),
            "cursor": self.cursor,
            "subscribers": self.broadcast.count,
            "max_subscribers": self.max_subscribers,
            "history": history,
            **({"forwards": self.forwarding.health()} if self.forwarding.followers else {}),
        }

    def history_size(self) -> int:
        """Bytes; 0 where the history does not tell."""
        try:
            return self.history.size()
        except HistoryError:
            return 0

    def history_failed(self, error: HistoryError) -> None:
        """The history does not do what it should: told in the log, once for each reason in a row."""
        self.figures.history_errors += 1
        if self._last_failure != str(error):
            self._last_failure = str(error)
            logger.error("the history fails: %s", error)

    def _maintain_loop(self) -> None:
        due = time.monotonic() + _CHECKPOINT
        while not self._stopped.wait(_MAINTAIN):
            works = [self._probe, self._trim]
            if time.monotonic() >= due:
                works.append(self._checkpoint)
                due = time.monotonic() + _CHECKPOINT
            for work in works:
                try:
                    work()
                except HistoryError as error:
                    self.history_failed(error)
                except Exception:
                    logger.exception("%s has failed", work.__name__)

    def _probe(self) -> None:
        """Whether a history that did not take events takes them again."""
        if self.history_error:
            with self.broadcast.lock:
                self.history.probe()
                self.history_error = None
                self._last_failure = ""

    def _trim(self) -> None:
        end = time.monotonic() + _MAINTAIN
        more = True
        while more and not self._stopped.is_set():
            with self.broadcast.lock:
                more = self._trim_some(time.time())
                self._behind = more and time.monotonic() > end
            if self._behind:
                break
            time.sleep(0.001)

    def _trim_some(self, now: float) -> bool:
        try:
            return self.history.trim(now)
        except HistoryError as error:
            self.history_failed(error)
            return False

    def _checkpoint(self) -> None:
        _in_real_thread(self.history.maintain)

    # -- the end -----------------------------------------------------------------------------------------------------

    def end_agents(self) -> None:
        """Agents end first, while everything is still served: their last events are taken, and theirs who stopped them."""
        self.agents.end(min(self.settings.agent_grace, _AGENTS_SHARE * self.settings.drain))

    def begin_drain(self) -> None:
        """From here on: no new event, no new stream."""
        with self.broadcast.lock:
            self.draining = True

    def drain(self, grace: float) -> None:
        """Everybody gets what was acknowledged, is told when to come back, and is let go; at most `grace` seconds."""
        self.begin_drain()
        self.forwarding.finish()
        began = time.monotonic()
        until = began + grace
        self._wait(lambda: self.log.settled == self.log.head, until)
        # Spread over a second for each 200, so that the next hub is not met by all of them at once.
        spread = 1000 * min(30.0, max(1.0, self.broadcast.count / 200))
        patience = min(until, time.monotonic() + 1)  # for replays: they resume with the next hub as well
        while self.broadcast.count or self.opening:
            if time.monotonic() > (until if self.broadcast.count else patience):
                break
            for number, subscriber in enumerate(self.broadcast.subscribers(), 1):
                if subscriber.finishing is None:
                    subscriber.finish(int(500 + random.uniform(0, spread)))
                    if not number % 256:
                        time.sleep(0)
            time.sleep(0.005)
        for subscriber in self.broadcast.subscribers():
            self.figures.dropped["drain"] += 1
            subscriber.drop()
        self._wait(lambda: self.active == 0, min(until, time.monotonic() + _LAST_ANSWERS))
        self.forwarding.wait(began + min(FORWARD_DRAIN, grace / 2))
        self.close()

    def close(self) -> None:
        """Stop the loops and close the history."""
        self._stopped.set()
        self.agents.close()
        self.forwarding.close()
        self.broadcast.stop()
        if self._maintainer.is_alive():
            self._maintainer.join(5)
        try:
            self.history.close()
        except HistoryError as error:
            logger.error("%s", error)

    @staticmethod
    def _wait(condition: Any, until: float) -> None:
        while not condition() and time.monotonic() < until:
            time.sleep(0.005)


def _in_real_thread(function: Any) -> None:
    """Call `function` off the event loop: in a thread of its own where gevent has patched threads, else right here,
    which is a thread already."""
    gevent = sys.modules.get("gevent")
    if gevent is not None and sys.modules["gevent.monkey"].is_module_patched("threading"):
        _real_thread().apply(function)
    else:
        function()


@functools.cache
def _real_thread() -> Any:
    """Not one of gevent's own ten: in those it looks up names, of receivers above all, which can take a minute each."""
    from gevent.threadpool import ThreadPool

    return ThreadPool(1)
