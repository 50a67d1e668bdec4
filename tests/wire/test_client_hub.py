"""`Hub` against a real hub: posting, batches, the history."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from event_hub.client import Hub, InvalidEvent, Posted, Refused
from event_hub.events import Transcript

from ..hubs import HubProcess, until


@pytest.fixture
def room() -> str:
    return f"room-{uuid.uuid4().hex[:8]}"


def test_posted_events_are_read_back_unchanged(hub: HubProcess, room: str) -> None:
    """Integers of any size, text in any script, field order, nested values."""
    events: list[dict[str, Any]] = [
        {"type": "odd", "room": room, "z": 1, "n": 10**40, "m": -(2**63) - 1, "a": [1.5, None, {"b": False}]},
        {"type": "odd", "room": room, "text": "Grüße 👋 \u2028 \x00 日本語 \\ \" '", "ключ": "значение"},
    ]
    with Hub(hub.url) as client:
        posted = client.post(events)
        assert (posted.accepted, posted.duplicates, posted.clients_notified) == (2, 0, 0)
        read = list(client.events(room=room))
    assert [received.id for received in read] == [posted.first_id, posted.last_id]
    for given, received in zip(events, read, strict=True):
        assert received.event == {**given, **{k: received.event[k] for k in ("event_id", "timestamp")}}
        assert list(received.event)[: len(given)] == list(given)
        assert received.type == "odd"
    assert '"n":10000000000000000000000000000000000000000,' in read[0].raw
    assert "event_id" not in events[0]  # the caller's event is not modified


def test_a_single_event_a_model_and_an_empty_batch(hub: HubProcess, room: str) -> None:
    with Hub(hub.url) as client:
        assert client.post({"type": "one", "room": room}).accepted == 1
        assert client.post(Transcript(type="transcript", text="Hello", room=room)).accepted == 1
        assert client.post([]) == Posted(0, 0, 0, None, None)
        read = [received.event for received in client.newest(9, room=room)]
    assert set(read[1]) == {"type", "text", "room", "event_id", "timestamp"}  # no nulls for unset fields


def test_an_event_posted_twice_is_stored_once(hub: HubProcess, room: str) -> None:
    with Hub(hub.url) as client:
        event = {"type": "one", "room": room, "event_id": uuid.uuid4().hex}
        first = client.post(event)
        again = client.post([event, {"type": "two", "room": room}])
        assert (again.accepted, again.duplicates, again.first_id) == (1, 1, first.first_id)
        assert len(client.newest(9, room=room)) == 2


def test_a_refusal_names_event_and_field_and_nothing_is_stored(hub: HubProcess, room: str) -> None:
    with Hub(hub.url) as client:
        with pytest.raises(Refused) as caught:
            client.post([{"type": "one", "room": room}, {"type": "transcript", "text": 7, "room": room}])
        error = caught.value
        assert (error.status, error.code, error.index, error.field) == (422, "bad_event", 1, "text")
        assert (error.retry, error.retry_after) == (False, None)
        assert error.advice and error.advice in str(error) and "\n" not in str(error)
        for invalid in ("heartbeat", "two words"):
            with pytest.raises(Refused):
                client.post({"type": invalid})
        with pytest.raises(Refused, match="bad_cursor"):
            list(client.events(after="nonsense"))
        assert client.newest(9, room=room) == []


@pytest.mark.parametrize("event", [{"type": "x", "o": object()}, {"type": "x", "t": "\ud800"}, "text", 7, None])
def test_an_event_that_is_not_json_is_refused_before_sending(hub: HubProcess, event: Any) -> None:
    with Hub(hub.url) as client, pytest.raises(InvalidEvent):
        client.post([event])


def test_batches_fit_the_hub(hub_factory: Callable[..., HubProcess]) -> None:
    """The smaller of the hub's limits and ours apply; an oversized event is refused alone."""
    hub = hub_factory(HUB_MAX_EVENT="1KiB", HUB_MAX_BODY="8KiB").start()
    small = [{"type": "n", "n": n, "text": "x" * 300} for n in range(100)]
    events = [*small[:50], {"type": "n", "n": "large", "text": "x" * 1100}, *small[50:]]
    refused = []
    with Hub(hub.url) as client:
        for batch in client.batches(iter(events)):
            try:
                client.post(batch)
            except Refused as error:
                refused.append((error.code, len(batch)))
        read = [received.event["n"] for received in client.events()]
    assert refused == [("event_too_large", 1)]
    assert read == list(range(100))


def test_batches_have_at_most_500_events_and_are_never_empty(hub: HubProcess) -> None:
    with Hub(hub.url) as client:
        assert [len(batch) for batch in client.batches({"type": "n"} for _ in range(1100))] == [500, 500, 100]
        assert list(client.batches([])) == []


def test_the_whole_history_over_many_pages_while_others_publish(hub: HubProcess, room: str) -> None:
    """Yields each event stored at the start once and in order, and ends although more keep arriving."""
    done = threading.Event()
    total = 400

    def publish() -> None:
        nonlocal total
        with Hub(hub.url) as other:
            while not done.is_set():
                other.post([{"type": "tick", "room": room, "n": total + k} for k in range(10)])
                total += 10

    with Hub(hub.url) as client:
        client.post([{"type": "tick" if n % 2 else "tock", "room": room, "n": n} for n in range(400)])
        client.post([{"type": "tick", "room": f"{room}-other", "n": -1}] * 5)
        racing = threading.Thread(target=publish)
        racing.start()
        try:
            everything = [received.event["n"] for received in client.events(room=room, page=30)]
            ticks = list(client.events(room=[room, "unused"], type="tic*", page=30))
        finally:
            done.set()
            racing.join()
        assert everything == list(range(len(everything))) and len(everything) >= 400
        numbers = [received.event["n"] for received in ticks]
        assert numbers == sorted(set(numbers)) and numbers[:200] == list(range(1, 400, 2))
        assert {received.type for received in ticks} == {"tick"}
        part = list(client.events(room=room, after=ticks[9].id, before=ticks[13].id, page=2))
        assert [received.event["n"] for received in part] == list(range(20, 27))
        newest = client.newest(1500, room=room)
        assert [received.event["n"] for received in newest] == list(range(max(0, total - 1500), total))
        assert client.newest(3, room=room) == newest[-3:]
        assert client.newest(0) == []


def test_deleted_events_are_a_gap_only_when_resuming(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_RETENTION="1h,64KiB").start()
    with Hub(hub.url) as client:
        first = client.post({"type": "n", "n": 0}).first_id
        for n in range(1, 60):
            client.post({"type": "n", "n": n, "text": "x" * 5000})
        until(lambda: next(client.events()).event["n"] > 0, "the oldest to be gone")
        read = list(client.events())
        assert first
        assert {received.type for received in read} == {"n"}
        resumed = list(client.events(after=first, page=5))
        assert resumed[0].type == "stream_gap"
        assert resumed[0].event["reason"] == "retention" and resumed[0].event["from"] == first
        assert resumed[0].id == resumed[0].event["to"]
        assert [received.id for received in resumed[1:]] == [received.id for received in read]


def test_config_and_health(hub: HubProcess) -> None:
    with Hub(hub.url) as client:
        assert client.health()["status"] == "ok"
        assert client.config()["heartbeat"] == 1.0
