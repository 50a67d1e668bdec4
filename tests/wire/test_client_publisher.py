"""`Publisher` against a real hub."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from event_hub.client import Hub, InvalidEvent, Publisher
from event_hub.client.publisher import _running
from event_hub.events import EventsDropped, Transcript, check

from ..hubs import PATIENCE, HubProcess, free_port, until


@pytest.fixture
def room() -> str:
    return f"room-{uuid.uuid4().hex[:8]}"


def history(hub: HubProcess, room: str) -> list[dict[str, Any]]:
    with Hub(hub.url) as client:
        return [received.event for received in client.events(room=room)]


def test_events_arrive_in_order_and_once(hub: HubProcess, room: str) -> None:
    with Publisher(hub.url, defaults={"room": room, "session": "AS_1"}) as publisher:
        ids = [publisher.publish({"type": "n", "n": n}) for n in range(3000)]
        assert publisher.flush(PATIENCE)
        stats = publisher.stats
    events = history(hub, room)
    assert [event["n"] for event in events] == list(range(3000))
    assert [event["event_id"] for event in events] == ids
    assert (stats.sent, stats.queued, stats.queued_bytes, stats.dropped, stats.duplicates) == (3000, 0, 0, 0, 0)
    assert stats.connected and stats.last_error is None


def test_defaults_and_overrides(hub: HubProcess, room: str) -> None:
    before = time.time()
    defaults = {"room": room, "participant": "agent", "session": None}
    with Publisher(hub.url, defaults=defaults) as publisher:
        event = {"type": "n", "n": 1, "participant": None}
        publisher.publish(event, n=2, event_id="mine-" + room)
        publisher.publish({"type": "n", "participant": "caller", "timestamp": 7.5, "big": 10**30, "t": "Grüße 👋"})
        publisher.publish(Transcript(type="transcript", text="Hi"), role="agent")
        event["n"] = 3  # too late: `publish` copied it
        assert publisher.flush(PATIENCE)
    assert event == {"type": "n", "n": 3, "participant": None}
    first, second, third = history(hub, room)
    assert (first["n"], first["event_id"], first["participant"], "session" in first) == (
        2,
        "mine-" + room,
        "agent",
        False,
    )
    assert before <= first["timestamp"] <= time.time()
    assert (second["participant"], second["timestamp"], second["big"], second["t"]) == (
        "caller",
        7.5,
        10**30,
        "Grüße 👋",
    )
    assert (third["text"], third["role"], third["room"]) == ("Hi", "agent", room)


class Unreadable(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise OSError("the disk is on fire")

    def __iter__(self) -> Iterator[str]:
        return iter(["type"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "two words"},
        {"type": "heartbeat"},
        {"type": "transcript"},
        {"type": "transcript", "text": 7},
        {"type": "x", "event_id": ""},
        {"type": "x", "timestamp": float("nan")},
        {"type": "x", "o": object()},
        {"type": "x", "t": "\ud800"},
        {"type": "x", "deep": True},
        Unreadable(),
        "text",
        None,
        7,
    ],
    ids=lambda event: str(type(event).__name__),
)
def test_an_invalid_event_raises_and_is_not_queued(event: Any) -> None:
    with Publisher(f"http://127.0.0.1:{free_port()}") as publisher:
        if isinstance(event, dict) and "deep" in event:
            deep: list[Any] = []
            for _ in range(100_000):
                deep = [deep]
            event["deep"] = deep
        with pytest.raises(InvalidEvent):
            publisher.publish(event)
        assert publisher.stats.queued == 0
        assert publisher._outbox.queue.put_count == 0


def test_invalid_defaults_raise_at_construction() -> None:
    for defaults in ({"room": ""}, {"role": "caller"}, {"room": 7}, {"extra": object()}, {"event_id": "1"}):
        with pytest.raises(InvalidEvent):
            Publisher(defaults=defaults)
    with pytest.raises(ValueError):
        Publisher(max_events=0)


def test_when_the_queue_overflows_a_report_takes_the_place_of_dropped_events(
    hub_factory: Callable[..., HubProcess], room: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While the hub is away, the oldest events are dropped; subscribers later see where, and how many."""
    hub = hub_factory()
    reported: list[tuple[int, str]] = []
    publisher = Publisher(
        hub.url, max_events=50, defaults={"room": room}, on_dropped=lambda *drop: reported.append(drop)
    )
    with publisher:
        publisher.publish({"type": "n", "n": 0})
        until(lambda: publisher.stats.retries, "the first try")  # the first event is being sent, so it is not dropped
        for n in range(1, 200):
            publisher.publish({"type": "n", "n": n, "text": "a secret"})
        assert (publisher.stats.queued, publisher.stats.dropped, publisher.stats.connected) == (50, 150, False)
        hub.start()
        assert publisher.flush(PATIENCE)
        publisher.publish({"type": "n", "n": 200})
        assert publisher.flush(PATIENCE)
    events = history(hub, room)
    assert [event.get("n") for event in events] == [0, None, *range(151, 201)]
    report = events[1]
    check(report)
    assert EventsDropped.model_validate(report).count == 150
    assert (report["type"], report["reason"], report["room"]) == ("events_dropped", "queue_full", room)
    assert sum(count for count, _ in reported) == 150 and {reason for _, reason in reported} == {"queue_full"}
    lines = [record.getMessage() for record in caplog.records]
    assert sum("Events are queued" in line for line in lines) == 1
    assert sum("are sent to" in line for line in lines if "again" in line) <= 1
    assert "secret" not in caplog.text


def test_the_queue_is_bounded_in_bytes(hub_factory: Callable[..., HubProcess], room: str) -> None:
    hub = hub_factory()
    defaults = {"room": room, "type": "n"}  # does not replace the type of reports
    with Publisher(hub.url, max_bytes=10_000, defaults=defaults) as publisher:
        for n in range(30):
            publisher.publish({"type": "n", "n": n, "text": "x" * 900})
            assert publisher.stats.queued_bytes <= 10_000
        publisher.publish({"type": "n", "n": 30, "text": "x" * 20_000})
        publisher.publish({"n": 31})
        hub.start()
        publisher.flush(PATIENCE)
    events = history(hub, room)
    reasons = [event["reason"] for event in events if event["type"] == "events_dropped"]
    assert reasons == ["queue_full", "too_large"]
    assert events[-1]["n"] == 31 and events[-2]["reason"] == "too_large"
    assert sum(event.get("count", 1) for event in events) == 32


def test_a_refused_event_does_not_affect_the_rest_of_its_batch(
    hub: HubProcess, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """422 with an index. The publisher's own check is disabled, as if the hub were newer and stricter. `linger` keeps the
    events together in one batch until the flush."""
    monkeypatch.setattr("event_hub.client.publisher.check", lambda event: None)
    with Publisher(hub.url, defaults={"room": room}, linger=60) as publisher:
        for n in range(6):
            publisher.publish({"type": "transcript", "n": n, "text": 7 if n in (2, 3, 5) else "good"})
        assert publisher.flush(PATIENCE) is False
        assert (publisher.stats.refused, publisher.stats.dropped, publisher.stats.sent) == (3, 3, 3)
    events = history(hub, room)
    assert [event.get("n", (event["type"], event.get("count"))) for event in events] == [
        0,
        1,
        ("events_dropped", 2),
        4,
        ("events_dropped", 1),
    ]
    assert {event["reason"] for event in events if "reason" in event} == {"refused"}


def test_an_oversized_event(hub: HubProcess, room: str) -> None:
    with Publisher(hub.url, defaults={"room": room}) as publisher:
        for n, size in enumerate((10, 70_000, 10)):
            publisher.publish({"type": "n", "n": n, "text": "x" * size})
        publisher.flush(PATIENCE)
    assert [event.get("n", event.get("reason")) for event in history(hub, room)] == [0, "too_large", 2]


def test_an_oversized_batch_is_split(hub_factory: Callable[..., HubProcess], room: str) -> None:
    hub = hub_factory(HUB_MAX_BODY="8KiB", HUB_MAX_EVENT="4KiB").start()
    with Publisher(hub.url, defaults={"room": room}, linger=60) as publisher:
        for n in range(60):
            publisher.publish({"type": "n", "n": n, "text": "x" * 900})
        assert publisher.flush(PATIENCE)
    assert [event["n"] for event in history(hub, room)] == list(range(60))


def test_from_many_threads_and_an_event_loop(hub: HubProcess, room: str) -> None:
    """The order of each thread is kept, and no event is lost."""

    async def loop(publisher: Publisher) -> None:
        for n in range(500):
            publisher.publish({"type": "n", "who": "loop", "n": n})
            await asyncio.sleep(0)

    def many(publisher: Publisher, who: int) -> None:
        for n in range(500):
            publisher.publish({"type": "n", "who": who, "n": n})

    with Publisher(hub.url, defaults={"room": room}) as publisher:
        threads = [threading.Thread(target=many, args=(publisher, who)) for who in range(8)]
        for thread in threads:
            thread.start()
        asyncio.run(loop(publisher))
        for thread in threads:
            thread.join()
        assert publisher.flush(PATIENCE)
    events = history(hub, room)
    assert len(events) == 4500
    for who in (*range(8), "loop"):
        assert [event["n"] for event in events if event["who"] == who] == list(range(500))


def test_publishers_are_independent(hub: HubProcess, room: str) -> None:
    away = Publisher(f"http://127.0.0.1:{free_port()}", defaults={"room": room})
    away.publish({"type": "n"})
    with Publisher(hub.url, defaults={"room": room}) as publisher:
        publisher.publish({"type": "n"})
        assert publisher.flush(PATIENCE)
        assert publisher.stats.sent == 1
    assert away.close(0) is False
    assert (away.stats.sent, away.stats.dropped) == (0, 1)


def test_close_sends_queued_events_and_returns_at_once_if_unused(hub: HubProcess, room: str) -> None:
    publisher = Publisher(hub.url, defaults={"room": room}, linger=60)
    for n in range(10):
        publisher.publish({"type": "n", "n": n})
    assert publisher.close(PATIENCE) is True
    assert len(history(hub, room)) == 10
    assert publisher.flush(0) is True
    unused = Publisher(hub.url)
    assert unused.flush(0) is True
    assert unused.close(0) is True


def test_the_thread_starts_with_the_publisher_and_ends_with_it(hub: HubProcess, room: str) -> None:
    """Starting a thread takes milliseconds, too long for a first event published on an event loop."""
    publisher = Publisher(hub.url, defaults={"room": room}, linger=60)
    thread = publisher._thread
    assert thread is not None and thread.is_alive()
    publisher.start()
    publisher.publish({"type": "n"})
    assert publisher._thread is thread
    assert publisher.flush(PATIENCE)  # a flush does not linger, even right after the first event
    del publisher
    gc.collect()
    assert thread.is_alive()  # its events are sent although nothing else refers to it
    unused = Publisher(hub.url)
    thread = unused._thread
    assert thread is not None
    del unused
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    next(p for p in list(_running) if p._defaults.get("room") == room).close(0)


def test_publishing_in_a_callback_and_during_a_publish(hub: HubProcess, room: str) -> None:
    """`on_dropped` may publish, and publishing while the lock is held, as a finalizer might, does not deadlock."""

    class Nested(dict[str, Any]):
        pass

    def on_dropped(count: int, reason: str) -> None:
        publisher.publish({"type": "note", "count": count})
        assert publisher.flush(10) is False

    publisher = Publisher(hub.url, defaults={"room": room}, on_dropped=on_dropped)
    publisher.publish(Nested(type="n", text="x" * 70_000))
    until(lambda: any(event["type"] == "note" for event in history(hub, room)), "the event of the callback")
    with publisher._outbox.lock:
        publisher.publish({"type": "inner"})
    assert publisher.close(PATIENCE)
    assert [event["type"] for event in history(hub, room)] == ["events_dropped", "note", "inner"]
