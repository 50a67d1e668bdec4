"""Publish without waiting, for programs that must not be delayed, such as voice agents."""

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
from typing import TYPE_CHECKING, Any

import msgspec

from ..events import InvalidEvent, check
from .address import hub_url
from .connection import Connection
from .credentials import Key, credential
from .encoding import Encoding, encode
from .event_ids import new_id
from .hub import AnyEvent, as_dict
from .inbox import INBOX, Completes
from .outbox import Outbox
from .queue import CLOSED, INVALID, REFUSED
from .redacting import redacting
from .sender import Sender

if TYPE_CHECKING:
    from ..redaction import Rules

logger = logging.getLogger("event_hub.client")


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of one publisher since it was created (in a forked child: since the fork).

    `queued`, `queued_bytes`: events that are waiting or being sent. `sent`: events at the hub; `duplicates`: POSTed
    events and reports that the hub already had. `dropped`: events given up, for any reason; `refused`: those of them that
    the hub refused. `retries`: failed POSTs. `connected`: whether the last POST reached the hub.

    After `close`, `dropped` is the total number of events that never reached the hub: dropped along the way, or still
    unsent at the end.
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
    """Publishes events from any thread without ever waiting for the hub. A background thread sends them in order, each
    once, and retries until the hub has them. A context manager.

    `url`, `key`: default HUB_URL and HUB_KEY; without a key, a token made from LIVEKIT_API_KEY and LIVEKIT_API_SECRET. `key`
    may be `@FILE`, or a function that returns the current key. `defaults`: fields added to events that lack them (room,
    session, participant). `max_events`, `max_bytes`: the maximum that is queued. When the queue is full, the oldest events
    are dropped: they are counted in `stats`, logged, reported to `on_dropped(count, reason)` (called in the background
    thread), and the hub gets one `events_dropped` event in their place. `batch`: maximum events in one POST. `linger`:
    seconds that the first event of a batch waits for more. `timeout`: seconds to wait for a response before retrying.
    `flush_at_exit`: maximum seconds to delay the end of the program while queued events are sent. `redact`: what to replace
    before events are queued, such as `"email,phone:DE|US,card"`: default AGENT_REDACT. The values are those of HUB_REDACT,
    which only a hub reads.

    Raises ValueError for an invalid URL or key or `redact`, `InvalidEvent` (also a ValueError) for invalid `defaults`.

    >>> with Publisher(defaults={"room": "publisher.py"}) as publisher:
    ...     _ = publisher.publish({"type": "transcript", "text": "Hello"}, role="agent", final=True)
    ...     publisher.flush(10)
    True
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: Key = None,
        max_events: int = 10_000,
        max_bytes: int = 16 << 20,
        batch: int = 500,
        linger: float = 0.01,
        timeout: float = 10.0,
        flush_at_exit: float = 5.0,
        on_dropped: Callable[[int, str], object] | None = None,
        defaults: Mapping[str, Any] | None = None,
        redact: str | Rules | None = None,
    ) -> None:
        if min(max_events, max_bytes, batch) < 1:
            raise ValueError("max_events, max_bytes and batch must be at least 1.")
        self.url = hub_url(url)
        self.flush_at_exit = flush_at_exit
        self._credential = credential(key)
        self._defaults = {name: value for name, value in (defaults or {}).items() if value is not None}
        if "event_id" in self._defaults:
            raise InvalidEvent("event_id", "cannot be a default: each event has its own")
        check({"type": "events_dropped", "count": 1, "reason": "queue_full", **self._defaults})
        _check_encodable(self._defaults)
        self._max_events, self._max_bytes = max_events, max_bytes
        self._batch, self._linger, self._timeout = batch, linger, timeout
        self._on_dropped = on_dropped
        self._encoding = Encoding(redacting(redact))
        self._finalizer: weakref.finalize[..., Publisher] | None = None
        self._reset()
        _publishers.add(self)
        self.start()

    def start(self) -> None:
        """Start the background thread if it is not running. The constructor does this; after a fork, the first event
        does, which may take tens of milliseconds on a busy machine: too long for an event loop."""
        if self._thread is None:
            self._start()

    def _reset(self) -> None:
        """Start with an empty queue and no thread: when created, and in a forked child, which inherits neither."""
        if self._finalizer is not None:
            self._finalizer.detach()  # in a forked child, the old outbox's lock may be held for ever
        self._outbox = Outbox(self._max_events, self._max_bytes, self._encoding)
        self._warned_closed = False
        self._published = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sender = Sender(
            self._outbox,
            Connection(self.url, self._credential, self._timeout),
            batch=self._batch,
            linger=self._linger,
            defaults=self._defaults,
            on_dropped=self._on_dropped,
        )

    def publish(self, event: AnyEvent, /, **fields: Any) -> str:
        """Queue a copy of one event and return its `event_id`. Takes microseconds and never blocks.

        `fields` are added to the event and override its own. `timestamp` (now) and `event_id` are added if missing.
        Raises `InvalidEvent` for an invalid event, and nothing else. Events published after `close` are dropped and
        counted.
        """
        try:
            ready = {**event, **fields} if type(event) is dict else {**as_dict(event), **fields}
            for name, value in self._defaults.items():
                if ready.get(name) is None:
                    ready[name] = value
            event_id = ready.get("event_id")
            if event_id is None:
                ready["event_id"] = event_id = new_id()
            if ready.get("timestamp") is None:
                ready["timestamp"] = time.time()
            check(ready)
            copied = self._copied_to_redact_later(ready)
            encoded = [] if copied else [encode(each) for each in self._encoding.redacted(ready)]
        except InvalidEvent:
            raise
        except Exception as error:  # a mapping of the caller's may raise anything
            raise InvalidEvent("", f"the event cannot be encoded as JSON: {type(error).__name__}: {error}") from None
        if copied:
            self.put_later(copied)
        for data in encoded:
            self._put(data)
        return str(event_id)

    def put(self, event: dict[str, Any]) -> None:
        """Queue one event that is known to be valid, at a third of the cost of `publish`.

        The event is not checked: the hub refuses an invalid one, which is then counted as `refused`. `timestamp` and
        `event_id` are written into it if missing; defaults are not added. Lone surrogates are replaced by U+FFFD. An
        event that cannot be encoded as JSON is dropped, counted and marked in its place, and the encoder's exception is
        raised (TypeError, ValueError, RecursionError).
        """
        try:
            copied = self._copied_to_redact_later(event)
            encoded = [] if copied else self._encoding.lines(event)
        except Exception:
            self._outbox.refuse(INVALID)
            raise
        if copied:
            self.put_later(copied)
        for data in encoded:
            self._put(data)

    def put_later(self, what: Any, by: Completes | None = None, about: Any = None) -> None:
        """Queue `what` for the background thread: it publishes what `by.complete(what, about)` returns, in order with all
        other events, and redacts and encodes it there. Nothing else may change `what` or `about` afterwards. Without `by`,
        `what` is the event.

        What cannot be completed or encoded is dropped, counted and marked in its place, and `by.failed` gets the exception.
        """
        outbox = self._outbox
        items = outbox.inbox.items
        items.append((what, by, about))
        if outbox.urgent or len(items) > INBOX or not self._published or self._thread is None:
            outbox.appended()
            self._on_put(outbox.closing)

    def _copied_to_redact_later(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """A copy of the event if it must be redacted after others that wait for the background thread; otherwise None."""
        if self._encoding.redacting is None or not self._outbox.inbox.pending():
            return None
        return dict(msgspec.json.decode(encode(event)))

    def _put(self, data: bytes) -> None:
        self._on_put(not self._outbox.put(data))

    def _on_put(self, closed: bool) -> None:
        if closed:
            if not self._warned_closed:
                self._warned_closed = True
                logger.warning("Events published after the publisher for %s was closed are dropped.", self.url)
            return
        if not self._published:
            self._published = True
            _running.add(self)
            _register_process_exit()
        self.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything published so far is at the hub, for at most `timeout` seconds (None: no limit).

        Returns False if the time ran out or an event was dropped while waiting. Blocks: on an event loop, use
        `await asyncio.to_thread(publisher.flush, 5)`.
        """
        if threading.current_thread() is self._thread:
            return False  # called from `on_dropped`: the thread would wait for itself
        if self._thread is None and (self._outbox.queue or self._outbox.inbox.items):
            self._start()  # the thread could not be started when the event was published: try again
            if self._thread is None:
                return False
        return self._outbox.wait_settled(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Send what is queued, for at most `timeout` seconds, and stop. Returns True if all of it is at the hub.

        Events still unsent are dropped and counted. If any event never reached the hub, since the publisher was created,
        their number is logged once. Calling it twice is harmless.
        """
        before = self._outbox.queue.dropped.total()
        self._outbox.close()
        thread = self._thread
        if thread and thread is not threading.current_thread() and not self._outbox.abandoned:
            thread.join(max(0.0, timeout))
        if not self._outbox.abandoned:
            unsent = self._outbox.abandon()
            if unsent:
                self._sender.log.call_on_dropped(unsent, CLOSED)
        with self._outbox.lock:
            totals = self._outbox.queue.dropped.copy()
        self._sender.log.closed(totals)
        _publishers.discard(self)
        _running.discard(self)
        return self._outbox.queue.dropped.total() == before

    @property
    def stats(self) -> Stats:
        """The current counters."""
        counters, outbox = self._sender.counters, self._outbox
        with outbox.lock:
            queue = outbox.queue
            return Stats(
                queued=queue.events + outbox.inbox.pending(),
                queued_bytes=queue.bytes,
                sent=counters.sent,
                duplicates=counters.duplicates,
                dropped=queue.dropped.total(),
                refused=queue.dropped[REFUSED],
                retries=counters.retries,
                connected=counters.connected,
                last_error=counters.last_error,
            )

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread is starting it
        try:
            if self._thread is None and not self._outbox.closing:
                thread = threading.Thread(target=self._sender.run, name=f"publisher {self.url}", daemon=True)
                thread.start()
                self._thread = thread
                # If the publisher is dropped without being used or closed, its thread ends.
                self._finalizer = weakref.finalize(self, self._outbox.close)
                self._finalizer.atexit = False
        except RuntimeError:  # the interpreter is shutting down and starts no threads; `close` counts what is left
            pass
        finally:
            self._starting.release()


def _check_encodable(value: Any) -> None:
    try:
        encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("", f"the defaults cannot be encoded as JSON: {error}") from None


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
"""Open publishers."""
_running: set[Publisher] = set()
"""Open publishers that have published: this reference keeps them alive until their events are sent."""
_finalizer_pid = 0
"""The process in which a multiprocessing finalizer is registered."""


def _register_process_exit() -> None:
    """A `multiprocessing` child may end without running `atexit`; it runs its own finalizers instead."""
    global _finalizer_pid
    if parent_process() is not None and _finalizer_pid != os.getpid():
        _finalizer_pid = os.getpid()
        Finalize(None, _at_exit, exitpriority=10)


# The first `weakref.finalize` registers with atexit, which runs the last registered first. Creating one before `_at_exit`
# is registered makes urllib3's finalizers run after it, so that they find the last connections to close.
weakref.finalize(_publishers, lambda: None)


@atexit.register
def _at_exit() -> None:
    start = time.monotonic()
    publishers = list(_running)
    for publisher in publishers:
        publisher._outbox.close()
    for publisher in publishers:
        publisher.close(publisher.flush_at_exit - (time.monotonic() - start))


def _after_fork() -> None:
    _running.clear()
    for publisher in list(_publishers):
        publisher._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
