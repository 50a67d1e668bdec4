"""The contract of a subscriber: one open stream, and how the broadcast writes to it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from ..access.limits import FREE_SEAT, Seat
from ..access.principal import LOCAL, Principal
from .log import Batch, View


class Subscriber(ABC):
    """One open stream: a position in a view. `sockets` and `generator` are the two ways of writing to it."""

    __slots__ = (
        "active",
        "blocked",
        "closed",
        "finishing",
        "id",
        "index",
        "last",
        "offset",
        "opened",
        "position",
        "principal",
        "seat",
        "view",
    )
    path: str
    """How it is written to: `socket` or `generator`."""

    def __init__(self, id: int, now: float, principal: Principal = LOCAL, seat: Seat = FREE_SEAT) -> None:
        self.id = id
        self.principal = principal
        self.seat = seat
        """To be released once the stream is over, in whatever way; without effect if repeated."""
        self.opened = now
        """Epoch seconds."""
        self.last = self.active = time.monotonic()
        """When something was last sent to it, and when it last took something."""
        self.view: View | None = None
        self.position = 0
        """How many of the view's frames it has taken."""
        self.offset = 0
        """The offset that it has reached."""
        self.index = -1
        """Its index in the view's list of subscribers."""
        self.blocked = False
        """It cannot be written to at the moment: the flush loop skips it."""
        self.closed = False
        self.finishing: int | None = None
        """It is being closed, and is to reconnect after this many milliseconds."""

    @abstractmethod
    def take(self, batch: Batch, now: float) -> None:
        """Send `batch`, which begins at its position, or remember how much of it could not be sent."""

    @abstractmethod
    def write(self, frame: bytes, now: float) -> None:
        """Send a frame that is not an event (a heartbeat, a gap); its position stays. Only while not blocked."""

    @abstractmethod
    def finish(self, retry_ms: int) -> None:
        """Send what is left, then `stream_closing`, then close."""

    @abstractmethod
    def expel(self, reason: str) -> None:
        """Its principal has ended: send no more events, only `stream_closing` with this reason, then close."""

    @abstractmethod
    def drop(self) -> None:
        """Close the connection at once."""

    def stalled(self, now: float, stall: float) -> bool:
        """Whether it is blocked and has taken nothing for `stall` seconds."""
        return now - self.active > stall

    @abstractmethod
    def has_vanished(self, seconds: float) -> bool:
        """Whether its peer has acknowledged nothing for `seconds`, although something is in flight."""

    @abstractmethod
    def address(self) -> str | None:
        """The peer's address; None once it has gone."""
