"""What is forwarded, and the contract of what takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from ...sse import Cursor
from .place import Mark

MOST_BYTES = 256 << 10
"""Bytes of events in one batch, unless one event alone has more."""


class Item(NamedTuple):
    """One event, byte for byte as the hub has broadcast it, or the report of a gap that ends at `cursor`."""

    cursor: Cursor
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out together: some events in order. It stays as it is until it is taken, whatever comes meanwhile."""

    items: tuple[Item, ...]
    through: Cursor
    """Where the target is when it has taken them: events up to there are among these, or not wanted."""
    at: float
    """When it was put together, in epoch seconds."""
    gap: bool = False
    """Its first item reports a gap."""
    missed: int = 0
    """Events in that gap, where they could be counted."""

    @property
    def id(self) -> str:
        """The same for every try, and no other batch's."""
        return f"msg_{'gap_' if self.gap else ''}{self.items[0].cursor}_{self.items[-1].cursor}"

    def half(self) -> Batch:
        """The first half of it; what is left comes again from the history."""
        items = self.items[: len(self.items) // 2]
        return replace(self, items=items, through=items[-1].cursor)


class Failed(Exception):
    """A batch was not taken, all of it. The text says why, in half a sentence without secrets.

    `wait`: seconds that the other side asks to wait. `too_large`: less may be taken. `gone`: never try again.
    """

    def __init__(self, reason: str, *, wait: float | None = None, too_large: bool = False, gone: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.too_large = too_large
        self.gone = gone


class Sink(Protocol):
    """Takes batches, one after the other, from one thread."""

    def limits(self) -> tuple[int, int]:
        """Events and bytes that the next batch should have at the most; one event may always have more bytes."""

    def send(self, batch: Batch) -> Mark | None:
        """Take all of `batch`, or raise `Failed`. What is returned is kept with the place."""

    def close(self) -> None:
        """Let go of everything."""
