"""Events as lines of JSON, redacted, in the publisher's process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from .event_ids import new_id
from .redacting import Redacting

encode = msgspec.json.Encoder().encode


class Encoding:
    """Redacts and encodes a publisher's events, in the order in which they are published. `redacting`: None for nothing."""

    def __init__(self, redacting: Redacting | None) -> None:
        self.redacting = redacting

    def redacted(self, event: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """The events to publish instead of `event`."""
        return (event,) if self.redacting is None else self.redacting.apply(event)

    def lines(self, event: dict[str, Any]) -> list[bytes]:
        """The events to publish instead of `event`, as JSON, with surrogates replaced. Writes `timestamp` and `event_id`
        into `event` if missing. Raises TypeError, ValueError or RecursionError if it cannot be encoded."""
        if "timestamp" not in event:
            event["timestamp"] = time.time()
        if "event_id" not in event:
            event["event_id"] = new_id()
        return [_encoded(each) for each in self.redacted(event)]


def _encoded(event: dict[str, Any]) -> bytes:
    try:
        return encode(event)
    except UnicodeEncodeError:
        return encode(_replace_surrogates(event))


def _replace_surrogates(value: Any) -> Any:
    """`value` with all text valid for UTF-8: surrogate pairs joined, lone surrogates replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_replace_surrogates(name): _replace_surrogates(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    return value
