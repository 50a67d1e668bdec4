"""Commit, then deliver: requests that arrive together share one append, and every hub delivers in the order of offsets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from event_hub.server.counters import Counters
from event_hub.server.errors import RequestError
from event_hub.server.filters import Filter
from event_hub.server.history import Appended, Draft, HistoryError, HistoryLost, Retention, Stored
from event_hub.server.history.health import HistoryHealth
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.streaming.broadcast import Broadcast
from event_hub.server.streaming.commit import MAX_GROUP, Committed, Committer
from event_hub.server.streaming.delivery import Delivery
from event_hub.server.streaming.log import Batch, Log
from event_hub.server.streaming.subscriber import Subscriber
from event_hub.sse import Decoder
from tests.hubs import until


class NetworkHistory(MemoryHistory):
    """A history that other processes append to, whose appends wait: what a history on a network does."""

    shared = grouped = True

    def __init__(self) -> None:
        super().__init__(Retention(None, None))
        self.open = threading.Event()
        self.open.set()
        self.waiting = 0
        self.appends: list[int] = []
        self.failure: HistoryError | None = None
        self.followed = True
        """Whether the followers get what has arrived."""
        self.arrived = threading.Condition()
        self.closed = False

    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        self.waiting += 1
        assert self.open.wait(30)
        self.waiting -= 1
        if self.failure:
            raise self.failure
        self.appends.append(len(drafts))
        appended = super().append(drafts, at)
        with self.arrived:
            self.arrived.notify_all()
        return appended

    def follow(self, delivered: Callable[[], int]) -> Iterator[Sequence[Stored]]:
        while not self.closed:
            with self.arrived:
                self.arrived.wait_for(lambda: self.closed or (self.followed and self.head > delivered()), 30)
            page = self.after(delivered(), self.head, Filter(), 100)
            if page.records:
                yield [(r.offset, Draft("n", None, None, None, r.data)) for r in page.records]

    def close(self) -> None:
        self.closed = True
        with self.arrived:
            self.arrived.notify_all()


class Collector(Subscriber):
    """A subscriber that collects the numbers of its events."""

    path = "test"

    def __init__(self) -> None:
        super().__init__(1, 0.0)
        self.numbers: list[int] = []

    def take(self, batch: Batch, now: float) -> None:
        self.numbers += [json.loads(message.data)["n"] for message in Decoder().feed(batch.joined())]
        self.position, self.offset, self.last = batch.position, batch.offset, now

    def write(self, frame: bytes, now: float) -> None: ...

    def finish(self, retry_ms: int) -> None: ...

    def expel(self, reason: str) -> None: ...

    def drop(self) -> None: ...

    def has_vanished(self, seconds: float) -> bool:
        return False

    def address(self) -> None: ...


class Parts:
    """Committer, delivery and log of one hub, as `EventHub` puts them together."""

    def __init__(self, history: MemoryHistory) -> None:
        self.history = history
        self.counters = Counters()
        self.health = HistoryHealth(self.counters)
        self.log = Log(ring=10_000, ring_bytes=1 << 26, head=history.head)
        self.broadcast = Broadcast(self.log, history.epochs, self.counters, heartbeat=15, stall=60)
        self.delivery = Delivery(self.broadcast, history, self.health)
        self.committer = Committer(history, self.delivery, self.counters, self.health)
        self.subscriber = Collector()
        with self.broadcast.lock:
            self.broadcast.attach(self.subscriber, self.log.watch(Filter()), 0)
        self.broadcast.start()
        self.delivery.start()

    def commit(self, *numbers: int) -> Committed:
        return self.committer.commit([draft(number) for number in numbers])

    def close(self) -> None:
        self.broadcast.stop()
        self.history.close()
        self.delivery.stop()


def draft(number: int, event_id: str | None = None) -> Draft:
    return Draft("n", None, None, event_id, json.dumps({"type": "n", "n": number}).encode())


@pytest.fixture
def make() -> Iterator[Callable[[MemoryHistory], Parts]]:
    made: list[Parts] = []

    def make(history: MemoryHistory) -> Parts:
        made.append(Parts(history))
        return made[-1]

    yield make
    for parts in made:
        parts.close()


def start(function: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def start_behind_an_append(parts: Parts, functions: Sequence[Callable[[], object]]) -> list[threading.Thread]:
    """Start the first, which commits, and the others once its append is in progress: they all wait for the next group."""
    assert isinstance(parts.history, NetworkHistory)
    first = start(functions[0])
    until(lambda: parts.history.waiting == 1, "the first append to be in progress")  # type: ignore[attr-defined]
    others = [start(function) for function in functions[1:]]
    until(lambda: len(parts.committer._waiting) == len(others), "the others to wait")
    return [first, *others]


def test_requests_that_arrive_during_an_append_share_the_next_one(make: Callable[[MemoryHistory], Parts]) -> None:
    history = NetworkHistory()
    parts = make(history)
    history.open.clear()
    results: dict[int, Committed] = {}
    threads = start_behind_an_append(
        parts, [lambda number=number: results.update({number: parts.commit(number)}) for number in range(20)]
    )
    history.open.set()
    for thread in threads:
        thread.join(30)
    assert sum(history.appends) == 20
    assert history.appends == [1, 19]
    offsets = sorted(result.appended[0].offset for result in results.values())
    assert offsets == list(range(1, 21))
    assert {result.notified for result in results.values()} == {1}
    until(lambda: len(parts.subscriber.numbers) == 20, "everything to be delivered")
    order = [number for number, _ in sorted(results.items(), key=lambda item: item[1].appended[0].offset)]
    assert parts.subscriber.numbers == order


def test_a_group_is_bounded_but_a_single_request_is_not(make: Callable[[MemoryHistory], Parts]) -> None:
    history = NetworkHistory()
    parts = make(history)
    assert len(parts.commit(*range(MAX_GROUP * 2)).appended) == MAX_GROUP * 2
    history.open.clear()
    threads = start_behind_an_append(parts, [lambda: parts.commit(*range(MAX_GROUP // 2))] * 6)
    history.open.set()
    for thread in threads:
        thread.join(30)
    assert history.appends[1:] == [MAX_GROUP // 2, MAX_GROUP, MAX_GROUP, MAX_GROUP // 2]


def test_a_failure_is_the_answer_of_every_request_in_the_group_and_nothing_is_delivered(
    make: Callable[[MemoryHistory], Parts],
) -> None:
    history = NetworkHistory()
    parts = make(history)
    history.open.clear()
    history.failure = HistoryError("the disk is full")
    codes: list[str] = []

    def fail(number: int) -> None:
        with pytest.raises(RequestError) as caught:
            parts.commit(number)
        codes.append(caught.value.kind.code)

    threads = start_behind_an_append(parts, [lambda number=number: fail(number) for number in range(8)])
    history.open.set()
    for thread in threads:
        thread.join(30)
    assert codes == ["history_unavailable"] * 8
    assert parts.log.head == 0
    assert parts.health.error == "the disk is full"
    history.failure = None
    assert parts.commit(1).appended == [Appended(1, False)]
    assert parts.health.error is None


def test_duplicates_within_a_group_are_found_and_not_delivered_again(make: Callable[[MemoryHistory], Parts]) -> None:
    history = NetworkHistory()
    parts = make(history)
    history.open.clear()
    results: list[Committed] = []
    threads = start_behind_an_append(parts, [lambda: results.append(parts.committer.commit([draft(7, "same")]))] * 5)
    history.open.set()
    for thread in threads:
        thread.join(30)
    assert sorted(result.appended[0] for result in results) == [(1, False), *[(1, True)] * 4]
    until(lambda: parts.subscriber.numbers == [7], "the event to be delivered once")


def test_after_close_nothing_is_committed_and_what_was_in_progress_is_stored(
    make: Callable[[MemoryHistory], Parts],
) -> None:
    history = NetworkHistory()
    parts = make(history)
    history.open.clear()
    results: list[Committed] = []
    committing = start(lambda: results.append(parts.commit(1)))
    until(lambda: history.waiting == 1, "the append to be in progress")
    closing = start(lambda: parts.committer.close(float("inf")))
    until(lambda: parts.committer.closed, "the committer to be closing")
    with pytest.raises(RequestError) as caught:
        parts.commit(2)
    assert caught.value.kind.code == "draining"
    assert closing.is_alive()
    history.open.set()
    closing.join(30)
    committing.join(30)
    assert results[0].appended == [Appended(1, False)]


def test_two_hubs_on_one_history_deliver_the_same_events_in_the_same_order(
    make: Callable[[MemoryHistory], Parts],
) -> None:
    """What each has appended itself and what it follows arrive in any order; each event is delivered once."""
    history = NetworkHistory()
    one, other = make(history), make(history)
    mutex = threading.Lock()
    append = history.append

    def serialised(drafts: Sequence[Draft], at: float) -> list[Appended]:
        with mutex:  # the server's job
            return append(drafts, at)

    history.append = serialised  # type: ignore[method-assign]
    threads = [
        start(lambda parts=parts, base=base: [parts.commit(base + n) for n in range(100)])
        for base, parts in ((0, one), (1000, one), (2000, other), (3000, other))
    ]
    for thread in threads:
        thread.join(60)
    for parts in (one, other):
        until(lambda parts=parts: len(parts.subscriber.numbers) >= 400, "everything to be delivered")
    assert one.subscriber.numbers == other.subscriber.numbers
    assert len(set(one.subscriber.numbers)) == 400
    assert one.log.head == other.log.head == 400


def test_a_hub_that_only_follows_delivers_what_others_publish(make: Callable[[MemoryHistory], Parts]) -> None:
    history = NetworkHistory()
    writer, reader = make(history), make(history)
    writer.commit(1, 2, 3)
    until(lambda: reader.subscriber.numbers == [1, 2, 3], "the other hub to deliver them")
    assert reader.commit(4).appended == [Appended(4, False)]
    until(lambda: writer.subscriber.numbers == [1, 2, 3, 4], "the first hub to follow")


def test_events_that_the_history_loses_while_they_wait_to_be_delivered_are_refused(
    make: Callable[[MemoryHistory], Parts],
) -> None:
    """Their offsets are taken by others in the next epoch, which every hub has to deliver instead."""
    history = NetworkHistory()
    history.followed = False
    parts = make(history)
    MemoryHistory.append(history, [draft(1)], 1.0)  # by another process
    outcomes: list[str] = []

    def commit() -> None:
        with pytest.raises(RequestError) as caught:
            parts.commit(2)
        outcomes.append(caught.value.kind.code)

    thread = start(commit)
    until(lambda: parts.delivery._waiting, "the commit to wait for its predecessor")
    history.head = 1
    del history._entries[1:]
    history.epochs.update([(history.epochs.current, 1), ("next", 2)])
    MemoryHistory.append(history, [draft(99)], 1.0)
    history.followed = True
    with history.arrived:
        history.arrived.notify_all()
    thread.join(30)
    assert outcomes == ["history_unavailable"]
    until(lambda: parts.subscriber.numbers == [1, 99], "what the history has to be delivered")


def test_a_delivery_that_failed_is_made_up_for_by_the_next(make: Callable[[MemoryHistory], Parts]) -> None:
    history = MemoryHistory(Retention(None, None))
    parts = make(history)
    publish = parts.broadcast.publish

    def fail(*_: object) -> None:
        parts.broadcast.publish = publish  # type: ignore[method-assign]
        raise MemoryError

    parts.broadcast.publish = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(RequestError) as caught:
        parts.commit(1)
    assert caught.value.kind.code == "internal"
    assert parts.commit(2).appended == [Appended(2, False)]
    until(lambda: parts.subscriber.numbers == [1, 2], "both to be delivered, in order")


def test_the_end_of_a_leader_is_not_the_end_of_its_group(make: Callable[[MemoryHistory], Parts]) -> None:
    history = NetworkHistory()
    parts = make(history)
    history.open.clear()
    outcomes: list[str] = []

    def commit(number: int) -> None:
        try:
            parts.commit(number)
            outcomes.append("stored")
        except RequestError as error:
            outcomes.append(error.kind.code)
        except SystemExit:
            outcomes.append("killed")

    threads = start_behind_an_append(parts, [lambda number=number: commit(number) for number in range(3)])
    append = history.append

    def exit_once(*arguments: object) -> list[Appended]:
        history.append = append  # type: ignore[method-assign]
        raise SystemExit  # as gevent's GreenletExit: not an Exception

    history.append = exit_once  # type: ignore[method-assign,assignment]
    history.open.set()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["internal", "killed", "stored"]  # the first; the leader of the others; the third
    assert len(parts.commit(3).appended) == 1


class LosingHistory(NetworkHistory):
    """Its server comes back empty."""

    lost = False

    def follow(self, delivered: Callable[[], int]) -> Iterator[Sequence[Stored]]:
        if self.lost and self.epochs.current != "after":
            self.epochs.update([("after", 1)])
            raise HistoryLost(0, "lost")
        if not self.lost:
            until(lambda: self.lost or self.closed, "the loss")
            return
        yield [(offset, draft(100 + offset)) for offset in range(delivered() + 1, 10)]
        until(lambda: self.closed, "the end")


def test_what_was_lost_before_it_was_delivered_is_not_acknowledged_as_another_event(
    make: Callable[[MemoryHistory], Parts],
) -> None:
    history = LosingHistory()
    parts = make(history)
    MemoryHistory.append(history, [draft(1), draft(2)], 1.0)  # by another hub; not delivered here yet
    errors: list[RequestError] = []

    def commit() -> None:
        try:
            parts.commit(3)
        except RequestError as error:
            errors.append(error)

    thread = start(commit)
    until(lambda: parts.delivery._waiting, "the commit to wait for those before it")
    history.lost = True
    thread.join(30)
    assert [error.kind.code for error in errors] == ["history_unavailable"]
    assert 3 not in parts.subscriber.numbers
