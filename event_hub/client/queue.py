"""The publisher's bounded queue, in order, with markers in place of dropped events. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

QUEUE_FULL = "queue_full"
TOO_LARGE = "too_large"
REFUSED = "refused"
CLOSED = "closed"
INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class DropMarker:
    """Stands in place of dropped events: how many, and why."""

    count: int
    reason: str


class Queue:
    """Events (as JSON) in publishing order, at most `max_events` and `max_bytes`, including those being sent. When the
    queue is full, the oldest event that is not being sent is dropped, and a `DropMarker` takes its place.

    An event is put, then taken (being sent), then settled (at the hub, or dropped).
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.put_count = 0
        """Events put so far."""
        self.events = 0
        """Events put and not yet settled."""
        self.bytes = 0
        """The total size of those events."""
        self.dropped: Counter[str] = Counter()
        """Events dropped so far, by reason."""
        self._entries: deque[bytes | DropMarker] = deque()
        self._waiting = 0

    def __bool__(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._entries)

    def put(self, event: bytes) -> None:
        """Append an event; this may drop older ones."""
        if len(event) > self.max_bytes:
            self.refuse(TOO_LARGE)
            return
        self.put_count += 1
        self._entries.append(event)
        self._waiting += 1
        self.events += 1
        self.bytes += len(event)
        while (self.events > self.max_events or self.bytes > self.max_bytes) and self._waiting:
            self._drop_oldest()

    def refuse(self, reason: str) -> None:
        """Count an event that cannot be put, and mark its place."""
        self.put_count += 1
        self._mark_end(reason)

    def take(self, limit: int, limit_bytes: int) -> list[bytes | DropMarker]:
        """Take the next entries for sending: at most `limit`, and at most `limit_bytes` unless the first entry alone is
        larger."""
        taken: list[bytes | DropMarker] = []
        size = 0
        while self._entries and len(taken) < limit:
            entry = self._entries[0]
            if not isinstance(entry, DropMarker):
                if size and size + len(entry) > limit_bytes:
                    break
                size += len(entry)
                self._waiting -= 1
            taken.append(self._entries.popleft())
        return taken

    def settle(self, events: int, size: int) -> None:
        """Settle taken events, `size` bytes in total: they are at the hub, or dropped."""
        self.events -= events
        self.bytes -= size

    def abandon(self) -> int:
        """Drop everything that is not settled. Returns the number of events."""
        count = self.events
        self._entries.clear()
        self._waiting = self.events = self.bytes = 0
        self.dropped[CLOSED] += count
        return count

    def _mark_end(self, reason: str) -> None:
        self.dropped[reason] += 1
        last = self._entries[-1] if self._entries else None
        if isinstance(last, DropMarker) and last.reason == reason:
            self._entries[-1] = DropMarker(last.count + 1, reason)
        else:
            self._entries.append(DropMarker(1, reason))

    def _drop_oldest(self) -> None:
        """Drop the oldest waiting event, and merge the markers around it into one for each reason."""
        counts: dict[str, int] = {}
        while self._entries:
            entry = self._entries.popleft()
            if isinstance(entry, DropMarker):
                counts[entry.reason] = counts.get(entry.reason, 0) + entry.count
                continue
            counts[QUEUE_FULL] = counts.get(QUEUE_FULL, 0) + 1
            self._waiting -= 1
            self.settle(1, len(entry))
            break
        while self._entries and isinstance(entry := self._entries[0], DropMarker):
            counts[entry.reason] = counts.get(entry.reason, 0) + entry.count
            self._entries.popleft()
        self._entries.extendleft(DropMarker(count, reason) for reason, count in reversed(counts.items()))
        self.dropped[QUEUE_FULL] += 1
