"""The publisher's queue: bounded, in order, with markers in place of dropped events."""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from event_hub.client.queue import CLOSED, QUEUE_FULL, TOO_LARGE, DropMarker, Queue


def test_events_are_taken_in_order_and_within_the_limits_of_a_batch() -> None:
    queue = Queue(10, 100)
    for event in (b"a", b"bb", b"ccc", b"d" * 20):
        queue.put(event)
    assert queue.take(3, 3) == [b"a", b"bb"]
    assert queue.take(3, 3) == [b"ccc"]
    assert queue.take(3, 3) == [b"d" * 20]  # the first is taken whatever its size
    assert queue.take(3, 3) == []
    assert (queue.events, queue.bytes) == (4, 26)
    queue.settle(4, 26)
    assert (queue.events, queue.bytes) == (0, 0)


def test_the_oldest_are_dropped_and_a_single_marker_counts_them() -> None:
    queue = Queue(3, 100)
    for event in (b"1", b"2", b"3", b"4", b"5"):
        queue.put(event)
    assert queue.take(9, 99) == [DropMarker(2, QUEUE_FULL), b"3", b"4", b"5"]
    assert queue.dropped == {QUEUE_FULL: 2}


def test_events_being_sent_are_not_dropped() -> None:
    queue = Queue(3, 100)
    for event in (b"1", b"2", b"3"):
        queue.put(event)
    assert queue.take(2, 99) == [b"1", b"2"]
    queue.put(b"4")
    queue.put(b"5")
    assert queue.take(9, 99) == [DropMarker(2, QUEUE_FULL), b"5"]


def test_a_new_event_is_dropped_if_all_older_ones_are_being_sent() -> None:
    queue = Queue(1, 100)
    queue.put(b"1")
    queue.take(9, 99)
    queue.put(b"2")
    assert queue.take(9, 99) == [DropMarker(1, QUEUE_FULL)]


def test_an_event_larger_than_the_queue_drops_no_other() -> None:
    queue = Queue(9, 5)
    queue.put(b"1")
    queue.put(b"x" * 6)
    queue.put(b"x" * 6)
    queue.put(b"2")
    assert queue.take(9, 99) == [b"1", DropMarker(2, TOO_LARGE), b"2"]


def test_markers_of_the_same_reason_are_merged() -> None:
    queue = Queue(2, 5)
    for event in (b"1", b"x" * 6, b"2", b"3", b"x" * 6, b"4"):
        queue.put(event)
    assert queue.take(9, 99) == [
        DropMarker(2, QUEUE_FULL),
        DropMarker(1, TOO_LARGE),
        b"3",
        DropMarker(1, TOO_LARGE),
        b"4",
    ]


def test_abandoning_also_drops_events_being_sent() -> None:
    queue = Queue(9, 99)
    for event in (b"1", b"2", b"3"):
        queue.put(event)
    queue.take(1, 99)
    assert queue.abandon() == 3
    assert not queue
    assert (queue.events, queue.bytes, queue.dropped) == (0, 0, {CLOSED: 3})


class AgainstAModel(RuleBasedStateMachine):
    """Every event put is waiting, being sent, settled or counted in a marker, in the order in which it was put."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(4, 20)
        self.number = 0
        self.out: list[bytes | DropMarker] = []
        self.sending: deque[bytes] = deque()

    @rule(size=st.integers(2, 25))
    def put(self, size: int) -> None:
        self.queue.put(b"%d:" % self.number + b"x" * (size - len(str(self.number)) - 1))
        self.number += 1

    @rule(most=st.integers(1, 5), most_bytes=st.integers(1, 30))
    def take(self, most: int, most_bytes: int) -> None:
        had = bool(self.queue)
        taken = self.queue.take(most, most_bytes)
        assert bool(taken) == had
        assert len(taken) <= most
        events = [entry for entry in taken if isinstance(entry, bytes)]
        assert sum(map(len, events)) <= most_bytes or len(events) == 1
        self.out += taken
        self.sending += events

    @rule(count=st.integers(1, 4))
    def settle(self, count: int) -> None:
        done = [self.sending.popleft() for _ in range(min(count, len(self.sending)))]
        self.queue.settle(len(done), sum(map(len, done)))

    @invariant()
    def bounded(self) -> None:
        assert self.queue.events <= 4
        assert self.queue.bytes <= 20

    @invariant()
    def nothing_is_lost_silently(self) -> None:
        rest = Queue(4, 20)
        rest._entries = self.queue._entries.copy()
        expected = 0
        for entry in [*self.out, *rest.take(10**6, 10**6)]:
            if isinstance(entry, DropMarker):
                assert entry.count >= 1
                expected += entry.count
            else:
                assert int(entry.partition(b":")[0]) == expected
                expected += 1
        assert expected == self.number == self.queue.put_count
        marked = sum(entry.count for entry in [*self.out, *self.queue._entries] if isinstance(entry, DropMarker))
        assert marked == self.queue.dropped.total()


AgainstAModel.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestAgainstAModel = AgainstAModel.TestCase
