"""Replay: from a place in the history to the live events, whatever retention does meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from event_hub.server.counters import Counters
from event_hub.server.errors import RequestError
from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryPage, HistoryReader, Retention
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.streaming.broadcast import Broadcast
from event_hub.server.streaming.log import Batch, Log
from event_hub.server.streaming.replay import Replay
from event_hub.server.streaming.replay_pages import ReplayPages
from event_hub.server.streaming.start import PAGE, Start, StartRequest, find_start
from event_hub.server.streaming.subscriber import Subscriber
from event_hub.sse import Cursor, Decoder, frame


class Reader(Subscriber):
    """A subscriber that only collects."""

    path = "test"

    def __init__(self, fails: bool = False) -> None:
        super().__init__(1, 0.0)
        self.fails = fails
        self.got: list[bytes] = []

    def take(self, batch: Batch, now: float) -> None:
        if self.fails:
            raise MemoryError
        self.got.append(batch.joined())
        self.position, self.offset, self.last = batch.position, batch.offset, now

    def write(self, frame: bytes, now: float) -> None:
        self.got.append(frame)
        self.last = now

    def finish(self, retry_ms: int) -> None: ...

    def expel(self, reason: str) -> None: ...

    def drop(self) -> None: ...

    def has_vanished(self, seconds: float) -> bool:
        return False

    def address(self) -> None: ...


class House:
    """History, log and broadcast, as the hub puts them together, without its loops."""

    def __init__(self) -> None:
        self.history = MemoryHistory(Retention(None, None))
        self.log = Log(ring=100, ring_bytes=1 << 20)
        self.reader = HistoryReader(self.history, self.log)
        self.counters = Counters()
        self.broadcast = Broadcast(self.log, self.history.epochs, self.counters, heartbeat=15, stall=60)

    def publish(self, count: int, room: str | None = None) -> None:
        for _ in range(count):
            data = json.dumps({"type": "n", "n": self.history.head + 1}).encode()
            self.history.append([Draft("n", room, None, None, data)], float(self.history.head))
            offset = self.history.head
            with self.broadcast.lock:
                self.broadcast.publish(offset, frame(self.history.epochs.current, offset, data), "n", room, None)
            self.broadcast.wake()

    def give_up(self, through: int) -> None:
        """Retention, to the event."""
        self.history._retention = Retention(0.5, None)
        self.history.trim(float(through))
        assert self.history.floor == through

    def replay(self, start: Start, filter: Filter = Filter()) -> Replay:
        return Replay(self.reader, self.broadcast, filter, start, lambda: 1.0, ReplayPages(self.reader))


def numbers(data: bytes) -> list[int | str]:
    return [e.get("n", e["type"]) for e in (json.loads(m.data) for m in Decoder().feed(data))]


def test_retention_that_overtakes_a_replay_is_told_each_time() -> None:
    house = House()
    house.publish(100)
    pages = house.replay(Start(0)).pages(Reader())
    house.give_up(20)
    first = next(pages)
    assert json.loads(next(iter(Decoder().feed(first))).data)["missed"] == 20
    house.give_up(50)  # while the gap was being sent
    second = next(pages)
    gap = json.loads(next(iter(Decoder().feed(second))).data)
    assert (gap["type"], gap["missed"]) == ("stream_gap", 30)
    assert numbers(b"".join(pages)) == list(range(51, 101))


def test_retention_during_a_read_is_reported() -> None:
    """The floor moves after the replay has checked it, and before the history reads."""
    house = House()
    house.publish(100)
    after = house.history.after

    def overtaken(*arguments: Any) -> HistoryPage:
        house.history.after = after  # type: ignore[method-assign]
        house.give_up(40)
        return after(*arguments)

    house.history.after = overtaken  # type: ignore[method-assign]
    got = numbers(b"".join(house.replay(Start(0)).pages(Reader())))
    assert got == ["stream_gap", *range(41, 101)]


def test_pages_then_live_without_a_hole() -> None:
    house = House()
    house.publish(PAGE + 50)
    reader = Reader()
    pages = house.replay(Start(0)).pages(reader)
    got = numbers(next(pages))
    house.publish(30)
    got += numbers(b"".join(pages))
    assert reader.view is not None
    house.publish(5)
    house.broadcast.flush()
    assert got == list(range(1, PAGE + 81))
    assert reader.position == reader.view.head
    assert len(reader.got) == 1


def test_one_that_resumes_does_not_silence_the_heartbeats_of_others() -> None:
    """A blocked newcomer behind the head must not leave its view waiting for a flush that never comes."""
    house = House()
    other = Reader()
    assert house.replay(Start(0)).attach_now(other)
    house.publish(3)
    house.broadcast.flush()
    newcomer = Reader()
    newcomer.blocked = True
    assert house.replay(Start(1)).attach_now(newcomer)
    other.last = -1000.0
    before = len(other.got)
    house.broadcast.sweep()
    assert len(other.got) == before + 1


def test_one_that_raises_does_not_starve_the_other_views() -> None:
    house = House()
    good, bad = Reader(), Reader(fails=True)
    assert house.replay(Start(0), Filter.of(rooms=["*"])).attach_now(bad)
    assert house.replay(Start(0)).attach_now(good)
    for n in range(1, 4):
        house.publish(1, room="r")
        house.broadcast.flush()
        assert len(good.got) == n
    assert house.log.settled == house.log.head


@pytest.mark.parametrize(
    ("request_", "offset"),
    [
        (StartRequest(), 10),
        (StartRequest(since="all"), 2),
        (StartRequest(replay=3), 7),
        (StartRequest(replay=99), 2),
        (StartRequest(since="4s"), 6),
        (StartRequest(since="1000000005"), 10),
        (StartRequest(last_id="{epoch}-5", since="all", replay=1), 5),
        (StartRequest(since="{epoch}-5", replay=1), 5),
    ],
)
def test_where_a_stream_begins(request_: StartRequest, offset: int) -> None:
    house = House()
    house.publish(10)
    house.give_up(2)
    epoch = house.history.epochs.current
    asked = StartRequest(request_.last_id.format(epoch=epoch), request_.since.format(epoch=epoch), request_.replay)
    assert find_start(asked, Filter(), house.reader, lambda: 10.0).offset == offset


@pytest.mark.parametrize("since", ["x", "5", "-5m", "5 minutes", "2026-01-01", "a-b", "all ", "\0"])
def test_since_nonsense(since: str) -> None:
    if since == "5":
        return  # five seconds
    with pytest.raises(RequestError) as caught:
        StartRequest(since=since).check()
    assert caught.value.kind.code == "bad_cursor"


class SharedHistory(MemoryHistory):
    """After a loss, another process has started an epoch; this hub learns of it while a client resumes."""

    shared = True
    learn: Callable[[], None]

    def newest(self) -> Cursor:
        self.learn()
        return super().newest()


@pytest.mark.parametrize(
    ("cursor", "offset", "gap"), [("old-8", 5, "unknown_epoch"), ("old-5", 5, None), ("new-7", 7, None)]
)
def test_a_hub_that_learns_of_a_loss_while_a_client_resumes(cursor: str, offset: int, gap: str | None) -> None:
    """Events 6 and 7 of the old epoch, which the client has seen at another hub, are not those of the new one."""
    house = House()
    house.history = history = SharedHistory(Retention(None, None))
    house.reader = HistoryReader(history, house.log)
    house.publish(5)
    history.epochs.update([("old", 1)])

    def learn() -> None:
        history.epochs.update([("old", 1), ("new", 6)])
        house.publish(5)
        history.learn = lambda: None

    history.learn = learn
    start = find_start(StartRequest(last_id=cursor), Filter(), house.reader, lambda: 10.0)
    assert (start.offset, start.gap.reason if start.gap else None) == (offset, gap)
    assert start.resumed is (gap is None)
