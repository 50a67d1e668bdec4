"""Publish without waiting: for programs that have better things to do, such as to talk with somebody."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any

import msgspec

from ..events import InvalidEvent, check
from .address import hub_key, hub_url
from .connection import Connection
from .hub import AnyEvent, plain
from .ids import new_id
from .outbox import Outbox
from .queue import CLOSED, INVALID, REFUSED
from .reports import in_words
from .sender import Sender

logger = logging.getLogger("event_hub.client")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of one publisher, from when it was made (in a forked child: from the fork).

    `queued`, `queued_bytes`: events that wait or are being sent. `sent`: at the hub; `duplicates`: as many of those (and
    of its reports) the hub had already. `dropped`: given up, for whatever reason; `refused`: as many of those because
    the hub refused them. `retries`: tries that failed. `connected`: the last try reached the hub.
    """

    queued: int
    queued_bytes: int
    sent: int
    duplicates: int
    dropped: int
    refused: int
    retries: int
    connected: bool
    last_error: str | None


class Publisher:
    """Publishes events from any thread without ever waiting for the hub: a thread of its own sends them, in order, each
    once, and tries until they are there. A context manager.

    `url`, `key`: default HUB_URL and HUB_KEY; `defaults`: fields for events that lack them (room, session, participant).
    Bounds: `max_events` and `max_bytes` wait at the most. When that is full, the oldest give way: they are counted in
    `stats`, logged, told to `on_dropped(count, reason)` (in the publisher's thread), and the hub gets one
    `events_dropped` in their place. `batch`: events in one POST; `linger`: seconds that the first of a batch waits for
    company; `timeout`: seconds to wait for an answer before it is tried again; `flush_at_exit`: seconds that the end of
    the program may take, so that what is queued still arrives.

    Raises ValueError for a URL or key that cannot be one, `InvalidEvent` (a ValueError too) for wrong `defaults`.

    >>> with Publisher(defaults={"room": "publisher.py"}) as publisher:
    ...     _ = publisher.publish({"type": "transcript", "text": "Hello"}, role="agent", final=True)
    ...     publisher.flush(10)
    True
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        max_events: int = 10_000,
        max_bytes: int = 16 << 20,
        batch: int = 500,
        linger: float = 0.01,
        timeout: float = 10.0,
        flush_at_exit: float = 5.0,
        on_dropped: Callable[[int, str], object] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        if min(max_events, max_bytes, batch) < 1:
            raise ValueError("max_events, max_bytes and batch are at least 1.")
        self.url = hub_url(url)
        self.flush_at_exit = flush_at_exit
        self._key = hub_key(key)
        self._defaults = {name: value for name, value in (defaults or {}).items() if value is not None}
        if "event_id" in self._defaults:
            raise InvalidEvent("event_id", "is each event's own and cannot be a default")
        check({"type": "events_dropped", "count": 1, "reason": "queue_full", **self._defaults})
        _json(self._defaults)
        self._max_events, self._max_bytes = max_events, max_bytes
        self._batch, self._linger, self._timeout = batch, linger, timeout
        self._on_dropped = on_dropped
        self._begin()
        _publishers.add(self)

    def _begin(self) -> None:
        """With nothing queued and no thread: at first, and in a forked child, which has neither."""
        self._outbox = Outbox(self._max_events, self._max_bytes)
        self._said_closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sender = Sender(
            self._outbox,
            Connection(self.url, self._key, self._timeout),
            batch=self._batch,
            linger=self._linger,
            defaults=self._defaults,
            on_dropped=self._on_dropped,
        )

    def publish(self, event: AnyEvent, /, **fields: Any) -> str:
        """Queue one event, as it is now; returns its `event_id`. Takes microseconds and never blocks.

        `fields` are added to it and win over what it has. `timestamp` (now) and `event_id` are added where they are
        missing. Raises `InvalidEvent` for an event of a wrong shape, and nothing else. What is published after `close`
        is dropped and counted.
        """
        try:
            ready = {**event, **fields} if type(event) is dict else {**plain(event), **fields}
            for name, value in self._defaults.items():
                if ready.get(name) is None:
                    ready[name] = value
            event_id = ready.get("event_id")
            if event_id is None:
                ready["event_id"] = event_id = new_id()
            if ready.get("timestamp") is None:
                ready["timestamp"] = time.time()
            check(ready)
            data = _encode(ready)
        except InvalidEvent:
            raise
        except Exception as error:  # whatever a foreign object does when it is looked at
            raise InvalidEvent("", f"the event cannot be written as JSON: {type(error).__name__}: {error}") from None
        self._put(data)
        return str(event_id)

    def put(self, event: dict[str, Any]) -> None:
        """Queue one event of a producer that builds them right and has no time: at a third of the cost of `publish`.

        It is not checked here: one of a wrong shape is refused by the hub, and counted as `refused`. `timestamp` and
        `event_id` are written into it where they are missing; defaults are not added. Halves of characters are replaced
        by U+FFFD. Where it cannot be written as JSON, it is dropped, counted and marked in its place, and what json has
        to say is raised (TypeError, ValueError, RecursionError).
        """
        if "timestamp" not in event:
            event["timestamp"] = time.time()
        if "event_id" not in event:
            event["event_id"] = new_id()
        try:
            data = _encode(event)
        except UnicodeEncodeError:
            data = _encode(_whole(event))
        except Exception:
            self._outbox.refuse(INVALID)
            raise
        self._put(data)

    def _put(self, data: bytes) -> None:
        if not self._outbox.put(data) and not self._said_closed:
            self._said_closed = True
            logger.warning("Events for %s are published after the publisher was closed: they are dropped.", self.url)
        if self._thread is None:
            self._start()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was published before is at the hub, at most `timeout` seconds (None: for ever). False:
        it is not, or something was dropped meanwhile.

        Do not call it on an event loop: `await asyncio.to_thread(publisher.flush, 5)`.
        """
        if threading.current_thread() is self._thread:
            return False  # from `on_dropped`: waiting for ourselves
        if self._thread is None and self._outbox.queue:
            self._start()  # once more: it could not be started when the event was published
            if self._thread is None:
                return False
        return self._outbox.wait_settled(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Send what is queued, at most `timeout` seconds, and end. True: all of it is at the hub.

        What is not is dropped, counted and logged. A second call is harmless.
        """
        before = self._outbox.queue.dropped.total()
        self._outbox.close()
        thread = self._thread
        if thread and thread is not threading.current_thread() and not self._outbox.abandoned:
            thread.join(max(0.0, timeout))
        if not self._outbox.abandoned:
            lost = self._outbox.abandon()
            if lost:
                logger.warning(
                    "%s for %s had not been acknowledged when the publisher was closed: given up.",
                    in_words(lost),
                    self.url,
                )
                self._sender.reports.tell(lost, CLOSED)
        _publishers.discard(self)
        _running.discard(self)
        return self._outbox.queue.dropped.total() == before

    @property
    def stats(self) -> Stats:
        """The figures of this moment."""
        tally, outbox = self._sender.tally, self._outbox
        with outbox.lock:
            queue = outbox.queue
            return Stats(
                queued=queue.events,
                queued_bytes=queue.bytes,
                sent=tally.sent,
                duplicates=tally.duplicates,
                dropped=queue.dropped.total(),
                refused=queue.dropped[REFUSED],
                retries=tally.retries,
                connected=tally.connected,
                last_error=tally.last_error,
            )

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread is at it
        try:
            if self._thread is None and not self._outbox.closing:
                thread = threading.Thread(target=self._sender.run, name=f"publisher {self.url}", daemon=True)
                thread.start()
                self._thread = thread
                _running.add(self)
                _at_the_end_of_this_process()
        except RuntimeError:  # no more threads: the interpreter is about to end; `close` counts what is left
            pass
        finally:
            self._starting.release()


def _whole(value: Any) -> Any:
    """`value` with its texts as UTF-8 can write them: pairs of surrogates joined, single ones replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return value


def _json(value: Any) -> None:
    try:
        _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("", f"the defaults cannot be written as JSON: {error}") from None


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
"""Those that are open."""
_running: set[Publisher] = set()
"""Those of them that have published: nobody else may hold on to them, and what they have is sent all the same."""
_finalizer_of = 0
"""The process for which multiprocessing has been told."""


def _at_the_end_of_this_process() -> None:
    """A process of `multiprocessing` may end without `atexit`: it has finalizers of its own."""
    global _finalizer_of
    if parent_process() is not None and _finalizer_of != os.getpid():
        _finalizer_of = os.getpid()
        Finalize(None, _at_exit, exitpriority=10)


# The first finalizer registers all of them with atexit, which runs what came last first: with one made before `_at_exit`
# is registered, urllib3's come after it and find the last connections to close.
weakref.finalize(_publishers, lambda: None)


@atexit.register
def _at_exit() -> None:
    began = time.monotonic()
    publishers = list(_running)
    for publisher in publishers:
        publisher._outbox.close()
    for publisher in publishers:
        publisher.close(publisher.flush_at_exit - (time.monotonic() - began))


def _after_fork() -> None:
    _running.clear()
    for publisher in list(_publishers):
        publisher._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
