"""Batches of events, and the contract of the sinks that accept them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from ...sse import Cursor
from .checkpoint import FileState

MOST_BYTES = 256 << 10
"""Maximum size of the events in one batch; a single larger event is a batch by itself."""

EndedBy = Callable[[Mapping[str, Any], int], Iterable[Mapping[str, Any]]]
"""(event, its offset) → the sessions that ended with it, as `/api/sessions/<id>` has them."""


class Item(NamedTuple):
    """One event, byte for byte as the stream contains it, or the report of a gap that ends at `cursor`."""

    cursor: Cursor
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are delivered together, in order. It does not change between retries."""

    items: tuple[Item, ...]
    through: Cursor
    """The target's cursor after this batch: events up to here are in it or do not match the filter."""
    at: float
    """When the batch was made, in epoch seconds."""
    gap: bool = False
    """Whether the first item reports a gap."""
    missed: int = 0
    """Number of events in that gap, if it is known."""

    @property
    def id(self) -> str:
        """Unique per batch, and the same for each retry."""
        return f"msg_{'gap_' if self.gap else ''}{self.items[0].cursor}_{self.items[-1].cursor}"

    def half(self) -> Batch:
        """Its first half; the rest is read from the history again."""
        items = self.items[: len(self.items) // 2]
        return replace(self, items=items, through=items[-1].cursor)


class DeliveryFailed(Exception):
    """A batch was not accepted in full. The text is the reason: half a sentence, without secrets.

    `wait`: seconds that the receiver asks to wait. `too_large`: a smaller batch may succeed. `gone`: do not retry.
    """

    def __init__(self, reason: str, *, wait: float | None = None, too_large: bool = False, gone: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.too_large = too_large
        self.gone = gone


class Sink(Protocol):
    """Accepts batches one after another, from one thread."""

    def limits(self) -> tuple[int, int]:
        """Maximum number of events and of bytes in the next batch; a single event may be larger."""

    def send(self, batch: Batch) -> FileState | None:
        """Deliver all of `batch` or raise `DeliveryFailed`. Returns what the checkpoint stores about a file."""

    def close(self) -> None:
        """Release all resources."""
