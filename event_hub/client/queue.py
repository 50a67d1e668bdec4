"""What waits to be sent: bounded, in order, and it knows what it had to give up. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

QUEUE_FULL = "queue_full"
TOO_LARGE = "too_large"
REFUSED = "refused"
CLOSED = "closed"
INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Dropped:
    """In the place of events that were given up: how many, and why."""

    count: int
    reason: str


class Queue:
    """Events (as JSON) in the order in which they were put, at most `max_events` and `max_bytes` of them, those that
    are being sent included. When it is full the oldest that is not being sent gives way, and a `Dropped` takes its place.

    An event is put, taken (it is being sent), and settled (it is at the hub, or given up).
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.put_count = 0
        """Events that were ever put."""
        self.events = 0
        """Events that are put and not settled."""
        self.bytes = 0
        """Their size."""
        self.dropped: Counter[str] = Counter()
        """Events that were ever given up, by reason."""
        self._entries: deque[bytes | Dropped] = deque()
        self._waiting = 0

    def __bool__(self) -> bool:
        """Something can be taken."""
        return bool(self._entries)

    def put(self, event: bytes) -> None:
        """Add one event at the end; older ones may give way."""
        if len(event) > self.max_bytes:
            self.refuse(TOO_LARGE)
            return
        self.put_count += 1
        self._entries.append(event)
        self._waiting += 1
        self.events += 1
        self.bytes += len(event)
        while (self.events > self.max_events or self.bytes > self.max_bytes) and self._waiting:
            self._give_way()

    def refuse(self, reason: str) -> None:
        """An event that cannot be put: it is counted, and its place is marked."""
        self.put_count += 1
        self._mark_last(reason)

    def take(self, most: int, most_bytes: int) -> list[bytes | Dropped]:
        """The next entries: at most `most`, and `most_bytes` unless the first alone has more. They are being sent from
        now on."""
        taken: list[bytes | Dropped] = []
        size = 0
        while self._entries and len(taken) < most:
            entry = self._entries[0]
            if not isinstance(entry, Dropped):
                if size and size + len(entry) > most_bytes:
                    break
                size += len(entry)
                self._waiting -= 1
            taken.append(self._entries.popleft())
        return taken

    def settle(self, events: int, size: int) -> None:
        """So many of the events that are being sent, of `size` bytes together, are at the hub or given up."""
        self.events -= events
        self.bytes -= size

    def abandon(self) -> int:
        """Give up everything that is not settled; how many events that is."""
        count = self.events
        self._entries.clear()
        self._waiting = self.events = self.bytes = 0
        self.dropped[CLOSED] += count
        return count

    def _mark_last(self, reason: str) -> None:
        self.dropped[reason] += 1
        last = self._entries[-1] if self._entries else None
        if isinstance(last, Dropped) and last.reason == reason:
            self._entries[-1] = Dropped(last.count + 1, reason)
        else:
            self._entries.append(Dropped(1, reason))

    def _give_way(self) -> None:
        """Drop the oldest event that waits. What was dropped before and after it becomes one mark for each reason."""
        marks: dict[str, int] = {}
        while self._entries:
            entry = self._entries.popleft()
            if isinstance(entry, Dropped):
                marks[entry.reason] = marks.get(entry.reason, 0) + entry.count
                continue
            marks[QUEUE_FULL] = marks.get(QUEUE_FULL, 0) + 1
            self._waiting -= 1
            self.settle(1, len(entry))
            break
        while self._entries and isinstance(entry := self._entries[0], Dropped):
            marks[entry.reason] = marks.get(entry.reason, 0) + entry.count
            self._entries.popleft()
        self._entries.extendleft(Dropped(count, reason) for reason, count in reversed(marks.items()))
        self.dropped[QUEUE_FULL] += 1
