"""`Publisher` against a real hub."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from event_hub.client import Hub, InvalidEvent, Publisher
from event_hub.events import EventsDropped, Transcript, check

from ..hubs import PATIENCE, HubProcess, free_port, until


@pytest.fixture
def room() -> str:
    return f"room-{uuid.uuid4().hex[:8]}"


def history(hub: HubProcess, room: str) -> list[dict[str, Any]]:
    with Hub(hub.url) as client:
        return [received.event for received in client.events(room=room)]


def test_published_is_at_the_hub_in_order_and_once(hub: HubProcess, room: str) -> None:
    with Publisher(hub.url, defaults={"room": room, "session": "AS_1"}) as publisher:
        ids = [publisher.publish({"type": "n", "n": n}) for n in range(3000)]
        assert publisher.flush(PATIENCE)
        stats = publisher.stats
    events = history(hub, room)
    assert [event["n"] for event in events] == list(range(3000))
    assert [event["event_id"] for event in events] == ids
    assert (stats.sent, stats.queued, stats.queued_bytes, stats.dropped, stats.duplicates) == (3000, 0, 0, 0, 0)
    assert stats.connected and stats.last_error is None


def test_what_is_added_and_what_wins(hub: HubProcess, room: str) -> None:
    before = time.time()
    defaults = {"room": room, "participant": "agent", "session": None}
    with Publisher(hub.url, defaults=defaults) as publisher:
        event = {"type": "n", "n": 1, "participant": None}
        publisher.publish(event, n=2, event_id="mine-" + room)
        publisher.publish({"type": "n", "participant": "caller", "timestamp": 7.5, "big": 10**30, "t": "Grüße 👋"})
        publisher.publish(Transcript(type="transcript", text="Hi"), role="agent")
        event["n"] = 3  # too late: what counts is what it was
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


class Broken(Mapping[str, Any]):
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
        Broken(),
        "text",
        None,
        7,
    ],
    ids=lambda event: str(type(event).__name__),
)
def test_a_wrong_shape_is_told_at_once_and_nothing_is_queued(event: Any) -> None:
    with Publisher(f"http://127.0.0.1:{free_port()}") as publisher:
        if isinstance(event, dict) and "deep" in event:
            deep: list[Any] = []
            for _ in range(100_000):
                deep = [deep]
            event["deep"] = deep
        with pytest.raises(InvalidEvent):
            publisher.publish(event)
        assert publisher.stats.queued == 0
        assert publisher._thread is None


def test_wrong_defaults_are_told_when_it_is_made() -> None:
    for defaults in ({"room": ""}, {"role": "nobody"}, {"room": 7}, {"extra": object()}, {"event_id": "1"}):
        with pytest.raises(InvalidEvent):
            Publisher(defaults=defaults)
    with pytest.raises(ValueError):
        Publisher(max_events=0)


def test_when_the_queue_overflows_the_report_stands_in_the_place_of_what_is_missing(
    hub_factory: Callable[..., HubProcess], room: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The hub is away, the oldest give way; when it is up, subscribers see where events are missing, and how many."""
    hub = hub_factory()
    told: list[tuple[int, str]] = []
    publisher = Publisher(hub.url, max_events=50, defaults={"room": room}, on_dropped=lambda *drop: told.append(drop))
    with publisher:
        publisher.publish({"type": "n", "n": 0})
        until(lambda: publisher.stats.retries, "the first try")  # the first event is being sent: it stays
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
    assert sum(count for count, _ in told) == 150 and {reason for _, reason in told} == {"queue_full"}
    lines = [record.getMessage() for record in caplog.records]
    assert sum("Events wait" in line for line in lines) == 1
    assert sum("flow" in line for line in lines if "again" in line) <= 1
    assert "secret" not in caplog.text


def test_bytes_are_bounded_too(hub_factory: Callable[..., HubProcess], room: str) -> None:
    hub = hub_factory()
    defaults = {"room": room, "type": "n"}  # a default type is not the type of reports
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


def test_an_event_that_the_hub_refuses_does_not_take_its_batch_with_it(
    hub: HubProcess, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """422 with an index. The check in the caller's thread knows the same types as the hub, so it is left out here: as it
    would be with a newer hub. They wait for each other until the flush: one batch, however long it takes to fill."""
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


def test_an_event_that_is_too_large_for_the_hub(hub: HubProcess, room: str) -> None:
    with Publisher(hub.url, defaults={"room": room}) as publisher:
        for n, size in enumerate((10, 70_000, 10)):
            publisher.publish({"type": "n", "n": n, "text": "x" * size})
        publisher.flush(PATIENCE)
    assert [event.get("n", event.get("reason")) for event in history(hub, room)] == [0, "too_large", 2]


def test_a_batch_larger_than_the_hub_takes_is_halved(hub_factory: Callable[..., HubProcess], room: str) -> None:
    hub = hub_factory(HUB_MAX_BODY="8KiB", HUB_MAX_EVENT="4KiB").start()
    with Publisher(hub.url, defaults={"room": room}, linger=60) as publisher:
        for n in range(60):
            publisher.publish({"type": "n", "n": n, "text": "x" * 900})
        assert publisher.flush(PATIENCE)
    assert [event["n"] for event in history(hub, room)] == list(range(60))


def test_from_many_threads_and_an_event_loop(hub: HubProcess, room: str) -> None:
    """Each one's own order is kept; nobody's events are lost."""

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


def test_two_publishers_do_not_know_each_other(hub: HubProcess, room: str) -> None:
    away = Publisher(f"http://127.0.0.1:{free_port()}", defaults={"room": room})
    away.publish({"type": "n"})
    with Publisher(hub.url, defaults={"room": room}) as publisher:
        publisher.publish({"type": "n"})
        assert publisher.flush(PATIENCE)
        assert publisher.stats.sent == 1
    assert away.close(0) is False
    assert (away.stats.sent, away.stats.dropped) == (0, 1)


def test_close_sends_what_is_queued_and_never_started_is_closed_at_once(hub: HubProcess, room: str) -> None:
    publisher = Publisher(hub.url, defaults={"room": room}, linger=60)
    for n in range(10):
        publisher.publish({"type": "n", "n": n})
    assert publisher.close(PATIENCE) is True
    assert len(history(hub, room)) == 10
    assert publisher.flush(0) is True
    unused = Publisher(hub.url)
    assert unused.flush(0) is True
    assert unused.close(0) is True


def test_published_in_a_callback_and_in_the_middle_of_a_publish(hub: HubProcess, room: str) -> None:
    """`on_dropped` may publish; a mapping that publishes while it is read, as a finalizer might, does not lock up."""

    class Nested(dict[str, Any]):
        pass

    def on_dropped(count: int, reason: str) -> None:
        publisher.publish({"type": "note", "count": count})
        assert publisher.flush(10) is False

    publisher = Publisher(hub.url, defaults={"room": room}, on_dropped=on_dropped)
    publisher.publish(Nested(type="n", text="x" * 70_000))
    until(lambda: any(event["type"] == "note" for event in history(hub, room)), "what the callback published")
    with publisher._outbox.lock:
        publisher.publish({"type": "inner"})
    assert publisher.close(PATIENCE)
    assert [event["type"] for event in history(hub, room)] == ["events_dropped", "note", "inner"]
