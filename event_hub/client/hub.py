"""One hub over HTTP: post events, read the history, query its state."""

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
from .address import hub_url
from .backoff import Backoff
from .connection import Connection, Pairs
from .credentials import Key, credential
from .errors import HubError, NotAHub
from .event_ids import new_id
from .results import Erased, EventsPage, Posted, Received, SessionsPage, Share

AnyEvent: TypeAlias = Mapping[str, Any] | Event
Patterns: TypeAlias = str | Iterable[str]

BATCH_EVENTS = 500
"""Maximum events in a batch of `Hub.batches`."""
BATCH_BYTES = 1 << 20
"""Maximum bytes in a batch of `Hub.batches`: nginx's default limit for a request body."""


class Hub:
    """One hub over HTTP, synchronous, for one thread at a time. A context manager; `close` closes its connections.

    `url` defaults to HUB_URL, else http://localhost:5000; `key` to HUB_KEY, and for `post` to a token made from
    LIVEKIT_API_KEY and LIVEKIT_API_SECRET. `key` is a key, `@FILE`, or a function that returns the current key. `timeout`:
    seconds to wait for a connection, and for the next byte of a response. Raises ValueError if the URL or the key is
    invalid.

    >>> with Hub() as hub:
    ...     hub.post([{"type": "test", "room": "hub.py"}]).accepted
    1
    """

    def __init__(self, url: str | None = None, *, key: Key = None, timeout: float = 10.0) -> None:
        self.url = hub_url(url)
        self._connection = Connection(self.url, credential(key), timeout)
        self._limits: dict[str, int] | None = None

    @property
    def credential(self) -> str:
        """Where the credential comes from, such as "the key in HUB_KEY"; empty if there is none."""
        return self._connection.credential.source

    def post(self, events: AnyEvent | Sequence[AnyEvent], *, patience: float = 0.0) -> Posted:
        """Post one event or a batch. A batch is atomic; returns once the events are stored.

        Events without an `event_id` get one (in a copy), so that a repeated POST stores nothing twice.
        `patience`: seconds to keep retrying if the hub does not answer, sends a 5xx or 429 status, or asks to retry.
        Raises `HubError`; `Refused` if a batch exceeds the hub's limits (see `batches`). Raises `InvalidEvent` if an
        event cannot be encoded as JSON.
        """
        batch = [events] if isinstance(events, Mapping | Event) else events
        lines = b"\n".join(encode(with_event_id(event)) for event in batch)
        return self._post_patiently(lines, patience)

    def _post_patiently(self, lines: bytes, patience: float) -> Posted:
        deadline, backoff = time.monotonic() + patience, Backoff(0.2, 10.0)
        while True:
            try:
                return self._connection.post(lines)
            except HubError as error:
                wait = backoff.next(error.retry_after)
                if not error.again or time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)

    def batches(self, events: Iterable[AnyEvent]) -> Iterator[list[AnyEvent]]:
        """Split `events` into batches that the hub accepts: at most 500 events and 1 MiB, and within its own limits.

        An event larger than the hub accepts gets its own batch, so that no other event is refused with it. Queries the
        hub's limits once; raises `HubError` if that fails.
        """
        limits = self._hub_limits()
        max_events, max_bytes = min(BATCH_EVENTS, limits["batch"]), min(BATCH_BYTES, limits["body"])
        batch: list[AnyEvent] = []
        size = 0
        for event in events:
            ready = with_event_id(event)
            length = len(encode(ready)) + 1
            oversized = length - 1 > limits["event"]
            if batch and (oversized or len(batch) >= max_events or size + length > max_bytes):
                yield batch
                batch, size = [], 0
            batch.append(ready)
            size += length
            if oversized:
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
        """The matching events of the history, oldest first, up to the newest event at the first request.

        `after` and `before` are event ids, both exclusive. `page`: events per request, at most 1000. If events after
        `after`, or between two pages, are no longer stored, an event of type `stream_gap` takes their place. Raises
        `HubError`, also between two events.
        """
        query = [*filter_query(room, type, session), ("limit", str(page))]
        if before:
            query.append(("before", before))
        # Without `after` a page would hold the newest events. Events deleted by retention are not a gap to a caller
        # that asked for everything the hub has.
        skip_gap = not after
        after = after or f"{self.config()['epoch']}-0"
        stop: Cursor | None = None
        while True:
            answer = self._events_page([*query, ("after", after)])
            stop = stop or Cursor.parse(answer.cursor)
            if answer.gap and not skip_gap:
                yield Received.gap(answer.gap)
            skip_gap = False
            for stored in answer.events:
                if _is_past(stored.id, stop):
                    return
                yield stored.received()
            if not answer.more or _is_at_or_past(answer.after, stop):
                return
            after = answer.after

    def newest(self, limit: int, *, room: Patterns = (), type: Patterns = (), session: Patterns = ()) -> list[Received]:
        """The newest `limit` matching events, oldest first. Raises `HubError`."""
        query = filter_query(room, type, session)
        pages: list[list[Received]] = []
        before = ""
        while limit > 0:
            window = [("limit", str(min(limit, 1000))), *([("before", before)] if before else [])]
            answer = self._events_page(query + window)
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
        status: Literal["live", "silent", "ended"] | None = None,
        since: str = "",
        words: str = "",
        agent: Patterns = (),
        version: Patterns = (),
        tag: Patterns = (),
        has: Patterns = (),
        slow: str = "",
        sort: str = "",
        page: int = 200,
    ) -> Iterator[dict[str, Any]]:
        """The matching sessions, most recently active first: states, counts, durations, latencies (docs/sessions.md).

        `since`: only sessions with an event since then, such as `24h`. `words`: in which these were said. `has`: `error`,
        `tool_error`, `interruption`, `recording`, `note`. `slow`: in which the user waited so long, such as `2s`. `sort`:
        `started`, `duration`, `turns`, `slowest` or `errors`. A session that receives an event between two pages may be
        left out. Raises `HubError`, also between two sessions.
        """
        query = [*filter_query(room, (), session), ("limit", str(page))]
        query += _non_empty(status=status, since=since, q=words, slow=slow, sort=sort)
        for name, patterns in (("agent", agent), ("version", version), ("tag", tag), ("has", has)):
            query += [(name, each) for each in ([patterns] if isinstance(patterns, str) else patterns) if each]
        before: Pairs = []
        while True:
            answer = self._connection.get("/api/sessions", SessionsPage, [*query, *before])
            yield from answer.sessions
            if not answer.more or not answer.sessions:
                return
            before = [("before", answer.next or str(answer.sessions[-1].get("last")))]

    def session(self, id: str, *, room: str | None = None) -> dict[str, Any]:
        """One session: its turns, its conversation, and the cursor to stream on from. `room` is needed only if several
        rooms have a session with this id. Raises `HubError`; `Refused` with the code `unknown_session` if it does not
        exist.
        """
        return self._json_object(f"/api/sessions/{quote(id, safe='')}", "id", _non_empty(room=room))

    def series(self, *, by: str = "agent", since: str = "7d", room: Patterns = ()) -> dict[str, Any]:
        """Figures over time for each agent, version or room: `groups` with `points` and a `total`. Raises `HubError`."""
        query = [*filter_query(room, (), ()), ("by", by), ("since", since)]
        return self._json_object("/api/series", "by", query)

    def config(self) -> dict[str, Any]:
        """The hub's configuration: version, epoch, limits, heartbeat, known types. Raises `HubError`; `AccessDenied` if the
        hub shows it only to those with a key."""
        answer = self._config()
        if not isinstance(answer.get("epoch"), str):
            if isinstance(answer.get("access"), dict):  # what the hub tells anyone
                code = "bad_credential" if self._connection.credential.source else "unauthorized"
                problem = {"code": code, "detail": "this hub requires a credential"}
                raise self._connection.denied(401, problem, publishing=True)
            raise self._not_a_hub()
        return answer

    def access(self) -> dict[str, Any]:
        """What this client's credential allows: `auth`, `kind`, `label`, `publish`, `subscribe` (rooms; None: all),
        `control`, `expires_at`. Raises `HubError`; `AccessDenied` if the hub does not accept the credential."""
        access = self._config().get("access")
        if not isinstance(access, dict):
            raise self._not_a_hub()
        if access.get("kind") == "anonymous" and self._connection.credential.source:
            problem = {"code": "bad_credential", "detail": "the hub takes this client for anonymous"}
            raise self._connection.denied(401, problem, publishing=True)
        return access

    def share(self, lifetime: str, *, rooms: Sequence[str] = (), session: str | None = None) -> Share:
        """A link that lets anyone who has it watch `rooms`, or one session, for `lifetime`, such as `2h`. Needs a key with
        control. Raises `HubError`."""
        body = {"rooms": list(rooms), "session": session, "for": lifetime}
        answer = self._connection.post_json("/api/share", body, Share)
        return Share(answer.token, f"{self.url}/{answer.url.lstrip('/')}", answer.expires_at)

    def forget(
        self,
        *,
        session: str | None = None,
        room: str | None = None,
        participant: str | None = None,
        before: str | None = None,
        dry_run: bool = False,
    ) -> Erased:
        """Erase the events that have all of these, for good. `before`: a duration (`30d` ago) or epoch seconds. `dry_run`:
        only count them. Needs a key with control. Raises `HubError`."""
        body = {"session": session, "room": room, "participant": participant, "before": before, "dry_run": dry_run}
        return self._connection.post_json("/api/forget", body, Erased)

    def health(self) -> dict[str, Any]:
        """The hub's health: `status` is "ok" while it accepts events. Raises `HubError`."""
        return self._json_object("/api/health", "status")

    def close(self) -> None:
        """Close the connections. Calling it twice is harmless."""
        self._connection.close()

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _json_object(self, path: str, required: str, query: Pairs | None = None) -> dict[str, Any]:
        answer = self._connection.get(path, dict[str, Any], query, also=(503,))
        if not isinstance(answer.get(required), str):
            raise self._not_a_hub()
        return answer

    def _config(self) -> dict[str, Any]:
        return self._connection.get("/api/config", dict[str, Any], also=(503,), publishing=True)

    def _not_a_hub(self) -> NotAHub:
        return NotAHub(self.url, 200, "application/json", "it sent JSON, but not a hub's")

    def _events_page(self, query: Pairs) -> EventsPage:
        return self._connection.get("/api/events", EventsPage, query)

    def _hub_limits(self) -> dict[str, int]:
        if self._limits is None:
            limits = self.config().get("limits")
            if not isinstance(limits, dict) or not all(type(limits.get(n)) is int for n in ("event", "body", "batch")):
                raise NotAHub(self.url, 200, "application/json", "its configuration has no limits")
            self._limits = limits
        return self._limits


def filter_query(room: Patterns, type: Patterns, session: Patterns) -> Pairs:
    """The filter as URL parameters. Empty patterns are ignored."""
    query: Pairs = []
    for name, patterns in (("room", room), ("type", type), ("session", session)):
        listed = [patterns] if isinstance(patterns, str) else patterns
        query += [(name, pattern) for pattern in listed if pattern]
    return query


def _non_empty(**parameters: str | None) -> Pairs:
    return [(name, value) for name, value in parameters.items() if value]


def as_dict(event: AnyEvent) -> dict[str, Any]:
    """A copy of the event as a dict. Raises `InvalidEvent` if it is neither a mapping nor a model."""
    if isinstance(event, Event):
        return event.model_dump(exclude_unset=True, by_alias=True)
    if isinstance(event, Mapping):
        return dict(event)
    raise InvalidEvent("", f"an event is a dict or a model from event_hub.events, not {type(event).__name__}")


def with_event_id(event: AnyEvent) -> dict[str, Any]:
    """A copy with an `event_id`: sent twice, it is stored once."""
    ready = as_dict(event)
    if ready.get("event_id") is None:
        ready["event_id"] = new_id()
    return ready


def encode(event: dict[str, Any]) -> bytes:
    """Encode an event as a line of JSON. Raises `InvalidEvent` if that is impossible."""
    try:
        return msgspec.json.encode(event)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidEvent("", f"the event cannot be encoded as JSON: {error}") from None


def _is_past(id: str, stop: Cursor | None) -> bool:
    cursor = Cursor.parse(id)
    return bool(cursor and stop and cursor.epoch == stop.epoch and cursor.offset > stop.offset)


def _is_at_or_past(id: str, stop: Cursor | None) -> bool:
    return (stop is not None and Cursor.parse(id) == stop) or _is_past(id, stop)
