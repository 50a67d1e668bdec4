"""One hub over HTTP: post, read the history, ask how it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import msgspec

from ..events import Event, InvalidEvent
from ..sse import Cursor
from .address import hub_key, hub_url
from .backoff import Backoff
from .connection import Connection, Pairs
from .errors import HubError, NotAHub
from .ids import new_id
from .records import Page, Posted, Received, SessionsPage

AnyEvent: TypeAlias = Mapping[str, Any] | Event
Patterns: TypeAlias = str | Iterable[str]

MOST_EVENTS = 500
"""Events in one of `Hub.batches`."""
MOST_BYTES = 1 << 20
"""Bytes in one of `Hub.batches`: what nginx lets through, unless it is told otherwise."""


class Hub:
    """One hub over HTTP, synchronous, for one thread at a time. A context manager; `close` ends its connections.

    `url`: default HUB_URL, else http://localhost:5000. `key`: default HUB_KEY. `timeout`: seconds to wait for a
    connection, and for the next byte of an answer. Raises ValueError for a URL or key that cannot be one.

    >>> with Hub() as hub:
    ...     hub.post([{"type": "test", "room": "hub.py"}]).accepted
    1
    """

    def __init__(self, url: str | None = None, *, key: str | None = None, timeout: float = 10.0) -> None:
        self.url = hub_url(url)
        self._connection = Connection(self.url, hub_key(key), timeout)
        self._limits: dict[str, int] | None = None

    def post(self, events: AnyEvent | Sequence[AnyEvent], *, patience: float = 0.0) -> Posted:
        """Post one event or a batch: all of it or nothing. It is in the history when this returns.

        Events without an `event_id` get one first (in a copy), so that whatever is sent again is kept once.
        `patience`: seconds in which what may succeed later is tried again (nobody answers, 5xx, 429, what the hub says
        to retry).
        Raises `HubError`; a batch beyond the hub's limits is `Refused` (see `batches`). Raises `InvalidEvent` for what
        cannot be written as JSON.
        """
        batch = [events] if isinstance(events, Mapping | Event) else events
        lines = b"\n".join(encode(identified(event)) for event in batch)
        return self._patiently(lines, patience)

    def _patiently(self, lines: bytes, patience: float) -> Posted:
        until, backoff = time.monotonic() + patience, Backoff(0.2, 10.0)
        while True:
            try:
                return self._connection.post(lines)
            except HubError as error:
                wait = backoff.next(error.retry_after)
                if not error.again or time.monotonic() + wait > until:
                    raise
            time.sleep(wait)

    def batches(self, events: Iterable[AnyEvent]) -> Iterator[list[AnyEvent]]:
        """Cut `events` into batches that the hub takes: at most 500 events and 1 MiB, and within its own limits.

        An event that is larger than the hub takes comes in a batch of its own, so that its refusal takes no other with
        it. Asks the hub for its limits once; raises `HubError` where it cannot.
        """
        limits = self._hub_limits()
        most, most_bytes = min(MOST_EVENTS, limits["batch"]), min(MOST_BYTES, limits["body"])
        batch: list[AnyEvent] = []
        size = 0
        for event in events:
            ready = identified(event)
            length = len(encode(ready)) + 1
            alone = length - 1 > limits["event"]
            if batch and (alone or len(batch) >= most or size + length > most_bytes):
                yield batch
                batch, size = [], 0
            batch.append(ready)
            size += length
            if alone:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def events(
        self,
        *,
        room: Patterns = (),
        type: Patterns = (),
        session: Patterns = (),
        after: str = "",
        before: str = "",
        page: int = 1000,
    ) -> Iterator[Received]:
        """All of the history that matches, oldest first, up to what there was when this began.

        `after` and `before` are ids of events and exclude those. `page`: how many to fetch at a time, at most 1000.
        Where events after `after`, or after the last page, are gone, an event of type `stream_gap` stands in their
        place. Raises `HubError`, also between two events.
        """
        query = [*filter_query(room, type, session), ("limit", str(page))]
        if before:
            query.append(("before", before))
        # Without `after` a page has the newest events. What retention has taken is no gap to who asked for all there is.
        skip_gap = not after
        after = after or f"{self.config()['epoch']}-0"
        stop: Cursor | None = None
        while True:
            answer = self._page([*query, ("after", after)])
            stop = stop or Cursor.parse(answer.cursor)
            if answer.gap and not skip_gap:
                yield Received.gap(answer.gap)
            skip_gap = False
            for stored in answer.events:
                if _beyond(stored.id, stop):
                    return
                yield stored.received()
            if not answer.more or _at_or_beyond(answer.after, stop):
                return
            after = answer.after

    def newest(self, limit: int, *, room: Patterns = (), type: Patterns = (), session: Patterns = ()) -> list[Received]:
        """The newest `limit` events that match, oldest first. Raises `HubError`."""
        query = filter_query(room, type, session)
        pages: list[list[Received]] = []
        before = ""
        while limit > 0:
            part = [("limit", str(min(limit, 1000))), *([("before", before)] if before else [])]
            answer = self._page(query + part)
            pages.append([stored.received() for stored in answer.events])
            limit -= len(answer.events)
            before = answer.before
            if not answer.more:
                break
        return list(chain.from_iterable(reversed(pages)))

    def sessions(
        self,
        *,
        room: Patterns = (),
        session: Patterns = (),
        status: Literal["live", "ended"] | None = None,
        since: str = "",
        page: int = 200,
    ) -> Iterator[dict[str, Any]]:
        """The sessions that match, those with the newest events first, as docs/sessions.md has them: states, counts,
        durations, latencies. `since`: only those with an event since, such as `24h`. One that is told something new
        between two pages may be left out. Raises `HubError`, also between two sessions.
        """
        query = [*filter_query(room, (), session), ("limit", str(page)), *_given(status=status, since=since)]
        before: Pairs = []
        while True:
            answer = self._connection.get("/api/sessions", SessionsPage, [*query, *before])
            yield from answer.sessions
            if not answer.more or not answer.sessions:
                return
            before = [("before", str(answer.sessions[-1].get("last")))]

    def session(self, id: str, *, room: str | None = None) -> dict[str, Any]:
        """One session with its turns, its conversation, and where its stream goes on. `room`: which one, where several
        rooms have a session of this name. Raises `HubError`; `Refused` with the code `unknown_session` where there is none.
        """
        return self._facts(f"/api/sessions/{quote(id, safe='')}", "id", _given(room=room))

    def config(self) -> dict[str, Any]:
        """What the hub says about itself: version, epoch, limits, heartbeat, known types. Raises `HubError`."""
        return self._facts("/api/config", "epoch")

    def health(self) -> dict[str, Any]:
        """How the hub is: `status` is "ok" while it takes events. Raises `HubError`."""
        return self._facts("/api/health", "status")

    def close(self) -> None:
        """End the connections. A second call is harmless."""
        self._connection.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _facts(self, path: str, mark: str, query: Pairs | None = None) -> dict[str, Any]:
        facts = self._connection.get(path, dict[str, Any], query, also=(503,))
        if not isinstance(facts.get(mark), str):
            raise NotAHub(self.url, 200, "application/json", "JSON, but not a hub's")
        return facts

    def _page(self, query: Pairs) -> Page:
        return self._connection.get("/api/events", Page, query)

    def _hub_limits(self) -> dict[str, int]:
        if self._limits is None:
            limits = self.config().get("limits")
            if not isinstance(limits, dict) or not all(type(limits.get(n)) is int for n in ("event", "body", "batch")):
                raise NotAHub(self.url, 200, "application/json", "its configuration names no limits")
            self._limits = limits
        return self._limits


def filter_query(room: Patterns, type: Patterns, session: Patterns) -> Pairs:
    """The filter as parameters of a URL. Empty patterns count as not given."""
    query: Pairs = []
    for name, patterns in (("room", room), ("type", type), ("session", session)):
        listed = [patterns] if isinstance(patterns, str) else patterns
        query += [(name, pattern) for pattern in listed if pattern]
    return query


def _given(**parameters: str | None) -> Pairs:
    return [(name, value) for name, value in parameters.items() if value]


def plain(event: AnyEvent) -> dict[str, Any]:
    """An event as a dict of our own. Raises `InvalidEvent` for what is no event at all."""
    if isinstance(event, Event):
        return event.model_dump(exclude_unset=True, by_alias=True)
    if isinstance(event, Mapping):
        return dict(event)
    raise InvalidEvent("", f"an event is a dict or one of event_hub.events, not {type(event).__name__}")


def identified(event: AnyEvent) -> dict[str, Any]:
    """The same with an `event_id`: sent twice, it is kept once."""
    ready = plain(event)
    if ready.get("event_id") is None:
        ready["event_id"] = new_id()
    return ready


def encode(event: dict[str, Any]) -> bytes:
    """One event as a line of JSON. Raises `InvalidEvent` where it cannot be written as JSON."""
    try:
        return msgspec.json.encode(event)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("", f"the event cannot be written as JSON: {error}") from None


def _beyond(id: str, stop: Cursor | None) -> bool:
    cursor = Cursor.parse(id)
    return bool(cursor and stop and cursor.epoch == stop.epoch and cursor.offset > stop.offset)


def _at_or_beyond(id: str, stop: Cursor | None) -> bool:
    return (stop is not None and Cursor.parse(id) == stop) or _beyond(id, stop)
