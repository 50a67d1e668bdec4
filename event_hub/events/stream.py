"""Events that only the hub itself sends, on a stream; a POST of one of these types is refused."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Text


class Heartbeat(Event):
    when: ClassVar[str] = (
        "nothing was sent to this subscriber for `HUB_HEARTBEAT` seconds; never stored, never replayed"
    )
    example: ClassVar[dict[str, Any]] = {"type": "heartbeat", "timestamp": 1695123456.789, "cursor": "3f9ac0d1-42"}
    type: Literal["heartbeat"]
    cursor: Text = Field(description="the latest cursor that this subscriber has reached")
    degraded: bool | None = Field(
        None,
        description="true: the history cannot be written at the moment, so publishers are refused and nothing new arrives; "
        "sent at once when that begins and when it ends",
    )


class StreamOpened(Event):
    when: ClassVar[str] = "first on every stream"
    example: ClassVar[dict[str, Any]] = {
        "type": "stream_opened",
        "timestamp": 1695123456.789,
        "cursor": "3f9ac0d1-42",
        "resumed": True,
        "replayed": 3,
    }
    type: Literal["stream_opened"]
    cursor: Text = Field(description="the events that follow come after this cursor")
    resumed: bool = Field(description="the stream resumes at the cursor that the subscriber sent")
    replayed: int | None = Field(
        description="stored events that are replayed before the live ones; null if counting them would take too long"
    )


class StreamGap(Event):
    when: ClassVar[str] = "this subscriber misses some events"
    example: ClassVar[dict[str, Any]] = {
        "type": "stream_gap",
        "timestamp": 1695123456.789,
        "missed": 120,
        "from": "3f9ac0d1-42",
        "to": "3f9ac0d1-162",
        "reason": "too_slow",
    }
    type: Literal["stream_gap"]
    missed: int | None = Field(ge=1, description="how many; null if unknown")
    from_: Text | None = Field(alias="from", description="the last cursor before the gap; null if there is none")
    to: Text = Field(description="the stream continues after this cursor")
    reason: Literal["too_slow", "retention", "unknown_epoch", "unknown_cursor", "future_cursor"] = Field(
        description="too_slow: the subscriber fell behind the ring; retention: the history no longer goes back that far; "
        "unknown_epoch: the cursor belongs to a history that was lost; unknown_cursor: it is not a hub's cursor; "
        "future_cursor: it lies after the hub's newest event"
    )


class StreamClosing(Event):
    when: ClassVar[str] = (
        "the hub is about to close this stream; a `retry:` with a delay for this subscriber precedes it"
    )
    example: ClassVar[dict[str, Any]] = {
        "type": "stream_closing",
        "timestamp": 1695123456.789,
        "cursor": "3f9ac0d1-162",
        "reason": "shutdown",
        "retry": 1250,
    }
    type: Literal["stream_closing"]
    cursor: Text = Field(description="the last cursor that this subscriber reached; resume after it")
    reason: Text = Field(
        description="shutdown; token_expired: its credential has expired; access_revoked: its key was removed"
    )
    retry: int = Field(
        ge=0,
        description="milliseconds to wait before reconnecting, as in the `retry:` before it; different for each subscriber",
    )


class EventErased(Event):
    when: ClassVar[str] = (
        "an event was here, and was erased: what remains is its id and its time; stored in its place, and replayed"
    )
    example: ClassVar[dict[str, Any]] = {"type": "event_erased", "timestamp": 1695123456.789, "by": "forget"}
    type: Literal["event_erased"]
    by: Text = Field(description="forget: on request; retention: the retention of its room was over")


class EventsErased(Event):
    when: ClassVar[str] = "events were erased on request; a page that shows them should load the history again"
    example: ClassVar[dict[str, Any]] = {
        "type": "events_erased",
        "timestamp": 1695123456.789,
        "count": 42,
        "selected": {"session": "AS_38a9aaf739ce"},
    }
    type: Literal["events_erased"]
    count: int = Field(ge=1, description="how many")
    selected: dict[str, Any] = Field(description="the `session` and `room` that they were selected by, if any")
