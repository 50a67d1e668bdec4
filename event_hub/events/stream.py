"""What only the hub itself says, on a stream: a POST of one of these types is refused."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Text


class Heartbeat(Event):
    when: ClassVar[str] = "a subscriber has had nothing for a while (`HUB_HEARTBEAT`); never stored, never replayed"
    example: ClassVar[dict[str, Any]] = {"type": "heartbeat", "timestamp": 1695123456.789, "cursor": "3f9ac0d1-42"}
    type: Literal["heartbeat"]
    cursor: Text = Field(description="the head that this subscriber has reached")


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
    cursor: Text = Field(description="what follows comes after this place in the history")
    resumed: bool = Field(description="the stream goes on where the subscriber said it had left off")
    replayed: int | None = Field(
        description="stored events that come before the live ones; null where counting them would take long"
    )


class StreamGap(Event):
    when: ClassVar[str] = "events that this subscriber should have had are not coming"
    example: ClassVar[dict[str, Any]] = {
        "type": "stream_gap",
        "timestamp": 1695123456.789,
        "missed": 120,
        "from": "3f9ac0d1-42",
        "to": "3f9ac0d1-162",
        "reason": "too_slow",
    }
    type: Literal["stream_gap"]
    missed: int | None = Field(ge=1, description="how many; null where it cannot be known")
    from_: Text | None = Field(alias="from", description="the last cursor before the gap; null where it means nothing")
    to: Text = Field(description="the stream goes on after this cursor")
    reason: Literal["too_slow", "retention", "unknown_epoch", "unknown_cursor", "future_cursor"] = Field(
        description="too_slow: the ring has passed the subscriber by; retention: the history no longer reaches back so "
        "far; unknown_epoch: the cursor belongs to a history that is lost; unknown_cursor: it is no cursor of a hub; "
        "future_cursor: it lies after everything the hub has"
    )


class StreamClosing(Event):
    when: ClassVar[str] = (
        "the hub is about to close this stream; a `retry:` with a delay of this subscriber's own precedes it"
    )
    example: ClassVar[dict[str, Any]] = {
        "type": "stream_closing",
        "timestamp": 1695123456.789,
        "cursor": "3f9ac0d1-162",
        "reason": "shutdown",
        "retry": 1250,
    }
    type: Literal["stream_closing"]
    cursor: Text = Field(description="the last place that this subscriber has reached: resume after it")
    reason: Text = Field(description="shutdown")
    retry: int = Field(
        ge=0,
        description="milliseconds to wait before coming back, as in the `retry:` that precedes it: a share of one's own",
    )
