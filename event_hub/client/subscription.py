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
from .address import hub_key, hub_url
from .backoff import LONGEST_WISH, Backoff
from .connection import Connection
from .errors import HubError, NotAHub, Refused, Unreachable
from .hub import Patterns, filter_query
from .records import Received
from .waker import Waker

_NOTICES = frozenset({"stream_opened", "heartbeat", "stream_closing"})
_HEARTBEAT = 15.0
"""Seconds between two heartbeats, where the hub does not say."""
_READ = 64 << 10

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
    key: str | None = None,
    notices: bool = False,
    reconnect: bool | Literal["always"] = True,
    on_state: OnState | None = None,
    silence: float | None = None,
    timeout: float = 10.0,
) -> Subscription:
    """Subscribe to a hub: an iterator that yields every event that matches, once, in order, for ever.

    `url`, `key`: default HUB_URL and HUB_KEY. `room`, `type`, `session`: a pattern or several, `*` stands for anything.
    Begin after `last_event_id`, with what came `since` ("5m", "all", epoch seconds, an id), with the newest `replay`
    events, or now. `notices`: also yield stream_opened, heartbeat and stream_closing. `silence`: seconds without a byte
    after which a connection counts as dead; default: three heartbeats. `timeout`: seconds to wait for a connection.

    `reconnect`: True comes back whenever a stream that was open breaks; "always" also waits for a hub that is not up
    yet; False: the iterator ends with the stream (`Unreachable` where it breaks).
    `on_state(state, detail)` is called, in the iterating thread, with "live", "reconnecting" (detail: why, and in how
    many seconds) and "gap" (detail: why, and how many events).

    Connects when the first event is asked for. Raises ValueError for a URL, key or id that cannot be one.

    >>> with subscribe(room="subscription.py", since="all") as events, Hub() as hub:
    ...     _ = hub.post({"type": "test", "room": "subscription.py", "n": 1})
    ...     next(events).event["n"]
    1
    """
    if not last_event_id.isascii() or not last_event_id.isprintable():
        raise ValueError("last_event_id is the id of an event, such as 55203b0e-3.")
    query = filter_query(room, type, session)
    begin = [("since", since)] if since else [("replay", str(replay))] if replay is not None else []
    return Subscription(
        Connection(hub_url(url), hub_key(key), timeout),
        query,
        begin,
        last_event_id=last_event_id,
        notices=notices,
        reconnect=reconnect,
        on_state=on_state,
        silence=silence,
    )


class Subscription(Iterator[Received]):
    """What `subscribe` returns. Iterate in one thread; `close` may be called from any, and from a signal handler.

    A gap that the history can fill (`too_slow`) is filled before what follows. Any other is yielded, as an event of type
    `stream_gap`: what follows does not continue what was seen.

    Iterating raises `Refused` for what asking again does not help, on the first connection also `NotAHub` and
    `Unreachable`. After an error the next call tries again.
    """

    def __init__(
        self,
        connection: Connection,
        query: list[tuple[str, str]],
        begin: list[tuple[str, str]],
        *,
        last_event_id: str,
        notices: bool,
        reconnect: bool | Literal["always"],
        on_state: OnState | None,
        silence: float | None,
    ) -> None:
        self.last_event_id = last_event_id
        """The id to go on after: of the event that was yielded last, or of a later heartbeat."""
        self._connection = connection
        self._query = query
        self._begin = begin
        self._notices = notices
        self._reconnect = reconnect
        self._on_state = on_state
        self._silence = silence
        self._response: requests.Response | None = None
        self._decoder = Decoder()
        self._ready: deque[Message] = deque()
        self._backoff = Backoff(0.5, 15.0)
        self._was_live = False
        self._opened = False
        self._ended = False
        self._closed = False
        self._reading = False
        self._waker = Waker()

    def __next__(self) -> Received:
        """The next event; waits for it. StopIteration after `close`."""
        while not (self._closed or self._ended):
            try:
                if self._ready:
                    received = self._take(self._ready.popleft())
                    if received is not None:
                        return received
                elif self._response is None:
                    self._open()
                else:
                    self._read(self._response)
            except HubError as error:
                self._hang_up()
                if self._closed:
                    break
                self._come_back(error)
            except BaseException:
                self._hang_up()
                raise
        self._hang_up()
        self._connection.close()
        raise StopIteration

    def close(self) -> None:
        """End it: a wait at hand returns at once, and iterating ends with StopIteration. An attempt to connect that is
        under way ends with its time limit. A second call is harmless."""
        self._closed = True
        self._waker.wake()
        response = self._response
        if response is None:
            return
        if self._reading:
            try:
                response.raw.shutdown()
            except (OSError, ValueError, RuntimeError):  # the connection has ended just now
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

    # -- the connection ----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        silence = self._silence or 3 * self._heartbeat()
        begin = [] if self.last_event_id else self._begin
        self._decoder, self._opened = Decoder(), False
        self._response = self._connection.stream([*self._query, *begin], self.last_event_id, silence)

    def _heartbeat(self) -> float:
        """How often the hub gives a sign of life. Asked before each connection: that it answers at all within `timeout`
        also tells a hub that hangs from one that has nothing to say."""
        try:
            heartbeat = self._connection.get("/api/config", dict[str, Any]).get("heartbeat")
        except Refused:  # what is wrong, the stream says better
            return _HEARTBEAT
        return float(heartbeat) if isinstance(heartbeat, int | float) and heartbeat > 0 else _HEARTBEAT

    def _read(self, response: requests.Response) -> None:
        self._reading = True
        try:
            if self._closed:  # before `close` could see that we read
                return
            data = response.raw.read1(_READ, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # The last two: it was closed under our hands.
            raise self._connection.unreachable(error) from error
        finally:
            self._reading = False
        if data:
            self._ready.extend(self._decoder.feed(data))
        elif not self._closed:
            self._hang_up()
            if self._reconnect:
                self._come_back(Unreachable(self._connection.url, "the stream ended"))
            else:
                self._ended = True

    def _hang_up(self) -> None:
        response, self._response = self._response, None
        self._ready.clear()
        if response is not None:
            response.close()

    def _come_back(self, error: HubError) -> None:
        """Wait before the next try, or raise `error` where another try makes no sense."""
        if not self._may_come_back(error):
            raise error
        named = self._decoder.retry if self._opened else None
        if named is not None:
            self._backoff.reset()
            wait = min(named / 1000, LONGEST_WISH)
        else:
            wait = self._backoff.next(error.retry_after)
        self._decoder, self._opened = Decoder(), False
        reason = error.reason if isinstance(error, Unreachable) else str(error)
        self._say("reconnecting", f"{reason}; again in {wait:.1f} s")
        self._waker.wait(wait)

    def _may_come_back(self, error: HubError) -> bool:
        if not self._reconnect:
            return False
        if isinstance(error, Refused):
            return error.retry or (error.again and (self._was_live or self._reconnect == "always"))
        if self._was_live:
            return True  # it was a hub a moment ago: what answers now is a proxy or a deployment under way
        return self._reconnect == "always" and error.again

    # -- what comes --------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> Received | None:
        try:
            event = msgspec.json.decode(message.data, type=dict[str, Any])
            kind = event["type"]
        except (ValueError, KeyError, RecursionError):
            raise NotAHub(self._connection.url, 200, "text/event-stream", "its stream has no events") from None
        if not self._opened and kind != "stream_opened":
            raise NotAHub(self._connection.url, 200, "text/event-stream", "its stream does not begin as a hub's")
        if kind == "stream_gap":
            detail = f"{event.get('reason')}, {event.get('missed') or 'unknown how many'} events"
            if event.get("reason") == "too_slow" and event.get("from"):
                # Coming back with the id before the gap replays it from the history, and then what follows, without a seam.
                self._hang_up()
                self.last_event_id = str(event["from"])
                self._say("gap", f"{detail}: they come from the history")
                return None
            self._say("gap", detail)
        self.last_event_id = message.id or self.last_event_id
        if kind == "stream_opened":
            self._opened = self._was_live = True
            self._say("live", self._connection.url)
        if kind in _NOTICES and not self._notices:
            return None
        return Received(message.id, event, message.data)

    def _say(self, state: str, detail: str) -> None:
        if self._on_state is not None:
            self._on_state(state, detail)
