"""A stream that resumes by itself: every event once, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal

import msgspec
import requests
import urllib3

from ..sse import Decoder, Message
from .address import hub_url
from .backoff import MAX_REQUESTED, Backoff
from .connection import Connection
from .credentials import Key, credential
from .errors import AccessEnded, HubError, NotAHub, Refused, Unreachable
from .hub import Patterns, filter_query
from .results import Received
from .waker import Waker

_NOTICES = frozenset({"stream_opened", "heartbeat", "stream_closing"})
_HEARTBEAT = 15.0
"""Seconds between heartbeats if the hub does not say."""
_READ_SIZE = 64 << 10
_ACCESS_ENDED = frozenset({"token_expired", "access_revoked"})
"""Reasons of stream_closing after which the same credential is not accepted again."""

OnState = Callable[[str, str], object]


def subscribe(
    url: str | None = None,
    *,
    room: Patterns = (),
    type: Patterns = (),
    session: Patterns = (),
    last_event_id: str = "",
    since: str = "",
    replay: int | None = None,
    key: Key = None,
    notices: bool = False,
    reconnect: bool | Literal["always"] = True,
    on_state: OnState | None = None,
    silence: float | None = None,
    timeout: float = 10.0,
) -> Subscription:
    """Subscribe to a hub: an endless iterator over the matching events, each once, in order.

    `url`, `key`: default HUB_URL and HUB_KEY; `key` may be `@FILE`, or a function that returns the current key. `room`,
    `type`, `session`: one or more patterns; `*` matches anything.
    Starts after `last_event_id`, with the events `since` ("5m", "all", epoch seconds, an id), with the newest `replay`
    events, or now. `notices`: also yield stream_opened, heartbeat and stream_closing. `silence`: seconds without a byte
    after which a connection counts as broken; default: three heartbeats. `timeout`: seconds to wait for a connection.

    `reconnect`: True resumes whenever an open stream breaks; "always" also waits for a hub that is not up yet; with
    False the iterator ends with the stream (and raises `Unreachable` if it breaks).
    `on_state(state, detail)` is called, in the iterating thread, with "live", "reconnecting" (detail: the reason and the
    delay) and "gap" (detail: the reason and the number of events).

    Connects when the first event is requested. Raises ValueError for an invalid URL, key or id.

    >>> with subscribe(room="subscription.py", since="all") as events, Hub() as hub:
    ...     _ = hub.post({"type": "test", "room": "subscription.py", "n": 1})
    ...     next(events).event["n"]
    1
    """
    if not last_event_id.isascii() or not last_event_id.isprintable():
        raise ValueError("last_event_id must be an event id, such as 55203b0e-3.")
    query = filter_query(room, type, session)
    start = [("since", since)] if since else [("replay", str(replay))] if replay is not None else []
    return Subscription(
        Connection(hub_url(url), credential(key), timeout),
        query,
        start,
        last_event_id=last_event_id,
        notices=notices,
        reconnect=reconnect,
        on_state=on_state,
        silence=silence,
    )


class Subscription(Iterator[Received]):
    """The iterator that `subscribe` returns. Iterate in one thread; `close` may be called from any thread and from a
    signal handler.

    A gap that the history can fill (`too_slow`) is filled. Any other gap is yielded as an event of type `stream_gap`.

    Iterating raises `Refused` if retrying cannot help and, on the first connection, also `NotAHub` and `Unreachable`. When
    the credential expires or is revoked, it resumes with a newer one if `key` is a file or a function; otherwise it raises
    `AccessEnded`. After an error, the next call tries again.
    """

    def __init__(
        self,
        connection: Connection,
        query: list[tuple[str, str]],
        start: list[tuple[str, str]],
        *,
        last_event_id: str,
        notices: bool,
        reconnect: bool | Literal["always"],
        on_state: OnState | None,
        silence: float | None,
    ) -> None:
        self.last_event_id = last_event_id
        """The id to resume after: that of the last event yielded, or of a later heartbeat."""
        self._connection = connection
        self._query = query
        self._start = start
        self._notices = notices
        self._reconnect = reconnect
        self._on_state = on_state
        self._silence = silence
        self._response: requests.Response | None = None
        self._decoder = Decoder()
        self._pending: deque[Message] = deque()
        self._backoff = Backoff(0.5, 15.0)
        self._was_live = False
        self._opened = False
        self._access_ended = ""
        """Why the hub no longer accepts the stream's credential, if it said so."""
        self._ended = False
        self._closed = False
        self._reading = False
        self._waker = Waker()

    def __next__(self) -> Received:
        """Wait for the next event. Raises StopIteration after `close`."""
        while not (self._closed or self._ended):
            try:
                if self._access_ended:
                    self._go_on_with_newer_credential()
                elif self._pending:
                    received = self._process(self._pending.popleft())
                    if received is not None:
                        return received
                elif self._response is None:
                    self._open()
                else:
                    self._read(self._response)
            except HubError as error:
                self._disconnect()
                if self._closed:
                    break
                self._wait_to_reconnect(error)
            except BaseException:
                self._disconnect()
                raise
        self._disconnect()
        self._connection.close()
        raise StopIteration

    def close(self) -> None:
        """End the subscription: a waiting iteration returns at once with StopIteration. A connection attempt in progress
        ends at its timeout. Calling it twice is harmless."""
        self._closed = True
        self._waker.wake()
        response = self._response
        if response is None:
            return
        if self._reading:
            try:
                response.raw.shutdown()
            except (OSError, ValueError, RuntimeError):  # the connection has just ended
                pass
        else:
            response.close()
            self._connection.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- connection --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        silence = self._silence or 3 * self._heartbeat()
        start = [] if self.last_event_id else self._start
        self._decoder, self._opened = Decoder(), False
        self._response = self._connection.stream([*self._query, *start], self.last_event_id, silence)

    def _go_on_with_newer_credential(self) -> None:
        """The credential has expired or was revoked: reconnect if there is a newer one. Raises `AccessEnded`."""
        reason, self._access_ended = self._access_ended, ""
        self._disconnect()
        if not self._reconnect or not self._connection.has_newer_credential():
            raise AccessEnded(self._connection.url, reason, self._connection.credential.source)
        raise Unreachable(self._connection.url, f"the credential ended ({reason}); there is a newer one")

    def _heartbeat(self) -> float:
        """Seconds between the hub's heartbeats. Queried before each connection: a response within `timeout` also
        distinguishes an idle hub from one that hangs."""
        try:
            heartbeat = self._connection.get("/api/config", dict[str, Any]).get("heartbeat")
        except Refused:  # the stream's own error is more specific
            return _HEARTBEAT
        return float(heartbeat) if isinstance(heartbeat, int | float) and heartbeat > 0 else _HEARTBEAT

    def _read(self, response: requests.Response) -> None:
        self._reading = True
        try:
            if self._closed:  # `close` was called before it could see that this thread reads
                return
            data = response.raw.read1(_READ_SIZE, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # ValueError and AttributeError: `close` closed the response during the read.
            raise self._connection.unreachable(error) from error
        finally:
            self._reading = False
        if data:
            self._pending.extend(self._decoder.feed(data))
        elif not self._closed:
            self._disconnect()
            if self._reconnect:
                self._wait_to_reconnect(Unreachable(self._connection.url, "the stream ended"))
            else:
                self._ended = True

    def _disconnect(self) -> None:
        response, self._response = self._response, None
        self._pending.clear()
        if response is not None:
            response.close()

    def _wait_to_reconnect(self, error: HubError) -> None:
        """Wait before reconnecting, or raise `error` if reconnecting cannot help."""
        if not self._should_reconnect(error):
            raise error
        requested = self._decoder.retry if self._opened else None
        if requested is not None:
            self._backoff.reset()
            delay = min(requested / 1000, MAX_REQUESTED)
        else:
            delay = self._backoff.next(error.retry_after)
        self._decoder, self._opened = Decoder(), False
        reason = error.reason if isinstance(error, Unreachable) else str(error)
        self._notify("reconnecting", f"{reason}; retrying in {delay:.1f} s")
        self._waker.wait(delay)

    def _should_reconnect(self, error: HubError) -> bool:
        if not self._reconnect:
            return False
        if isinstance(error, AccessEnded):
            return False
        if isinstance(error, Refused):
            return error.retry or (error.again and (self._was_live or self._reconnect == "always"))
        if self._was_live:
            return True  # a hub answered before: this is a proxy, or a deployment in progress
        return self._reconnect == "always" and error.again

    # -- messages ----------------------------------------------------------------------------------------------------

    def _process(self, message: Message) -> Received | None:
        try:
            event = msgspec.json.decode(message.data, type=dict[str, Any])
            kind = event["type"]
        except (ValueError, KeyError, RecursionError):
            raise NotAHub(self._connection.url, 200, "text/event-stream", "its stream has no events") from None
        if not self._opened and kind != "stream_opened":
            raise NotAHub(
                self._connection.url, 200, "text/event-stream", "its stream does not start with stream_opened"
            )
        if kind == "stream_gap":
            detail = f"{event.get('reason')}, {event.get('missed') or 'an unknown number of'} events"
            if event.get("reason") == "too_slow" and event.get("from"):
                # Reconnecting with the id before the gap replays it from the history, and continues seamlessly.
                self._disconnect()
                self.last_event_id = str(event["from"])
                self._notify("gap", f"{detail}: filled from the history")
                return None
            self._notify("gap", detail)
        self.last_event_id = message.id or self.last_event_id
        if kind == "stream_opened":
            self._opened = self._was_live = True
            self._notify("live", self._connection.url)
        if kind == "stream_closing" and event.get("reason") in _ACCESS_ENDED:
            self._access_ended = str(event["reason"])
        if kind in _NOTICES and not self._notices:
            return None
        return Received(message.id, event, message.data)

    def _notify(self, state: str, detail: str) -> None:
        if self._on_state is not None:
            self._on_state(state, detail)
