"""`subscribe` against a real hub."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from event_hub.client import Hub, Received, Refused, Subscription, subscribe

from ..hubs import PATIENCE, HubProcess, until


@pytest.fixture
def room() -> str:
    return f"room-{uuid.uuid4().hex[:8]}"


class Reader(threading.Thread):
    """Iterates over a subscription in a thread."""

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(daemon=True)
        self.subscription = subscription
        self.got: list[Received] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for received in self.subscription:
                self.got.append(received)
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        self.subscription.close()
        self.join(PATIENCE)
        assert not self.is_alive()
        assert self.error is None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def test_live_events_are_filtered_and_unchanged(hub: HubProcess, room: str) -> None:
    live = threading.Event()
    states: list[tuple[str, str]] = []

    def on_state(state: str, detail: str) -> None:
        states.append((state, detail))
        live.set()

    with Reader(subscribe(hub.url, room=room, type=["a*", "b"], on_state=on_state, silence=PATIENCE)) as reader:
        assert live.wait(PATIENCE)
        ids = [
            hub.publish({"type": type, "room": where, "n": 2**70, "t": "Grüße 👋"})["id"]
            for type, where in (("a1", room), ("a1", "other"), ("c", room), ("b", room))
        ]
        until(lambda: len(reader.got) == 2, "two events")
    assert [received.id for received in reader.got] == [ids[0], ids[3]]
    assert reader.got[0].event["n"] == 2**70
    assert '"t":"Grüße 👋"' in reader.got[0].raw
    assert states == [("live", hub.url)]


def test_starting_points(hub: HubProcess, room: str) -> None:
    with Hub(hub.url) as client:
        client.post([{"type": "n", "room": room, "n": n} for n in range(5)])
        ids = [received.id for received in client.events(room=room)]
    for start, expected in (
        ({"since": "all"}, [0, 1, 2, 3, 4]),
        ({"since": "1h"}, [0, 1, 2, 3, 4]),
        ({"replay": 2}, [3, 4]),
        ({"last_event_id": ids[1]}, [2, 3, 4]),
        ({"last_event_id": ids[1], "since": "all"}, [2, 3, 4]),
    ):
        with subscribe(hub.url, room=room, **start) as events:  # type: ignore[arg-type]
            assert [next(events).event["n"] for _ in expected] == expected
            assert events.last_event_id == ids[-1]


def test_notices_are_optional_and_advance_the_id(hub: HubProcess, room: str) -> None:
    with Reader(subscribe(hub.url, room=room, notices=True, silence=PATIENCE)) as reader:
        until(lambda: len(reader.got) >= 2, "a heartbeat")
        assert [received.type for received in reader.got[:2]] == ["stream_opened", "heartbeat"]
        elsewhere = hub.publish({"type": "n"})["id"]
        until(lambda: reader.subscription.last_event_id == elsewhere, "the heartbeat with the head's id")


def test_invalid_arguments_raise_at_once(hub: HubProcess) -> None:
    for arguments, code in (({"since": "yesterday"}, "bad_cursor"), ({"room": "*" * 20}, "bad_filter")):
        events = subscribe(hub.url, reconnect="always", **arguments)  # type: ignore[arg-type]
        with pytest.raises(Refused, match=code):
            next(events)
        events.close()


def test_close_from_another_thread(hub: HubProcess, room: str) -> None:
    before = hub.subscribers()
    reader = Reader(subscribe(hub.url, room=room))
    subscriber = hub.newcomer(before)
    reader.end()
    hub.wait_gone(subscriber)
    with pytest.raises(StopIteration):
        next(reader.subscription)
    reader.subscription.close()


def test_close_from_a_signal_handler(hub: HubProcess, room: str) -> None:
    """Close it in the waiting thread itself, as a Ctrl-C handler would."""
    before = hub.subscribers()
    events = subscribe(hub.url, room=room)
    old = signal.signal(signal.SIGUSR1, lambda *_: events.close())

    def interrupt() -> None:
        hub.newcomer(before)
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert list(events) == []
    finally:
        thread.join(PATIENCE)
        signal.signal(signal.SIGUSR1, old)
    until(lambda: hub.subscribers() <= before, "the hub to have noticed")


def test_close_between_two_events(hub: HubProcess, room: str) -> None:
    hub.publish({"type": "n", "room": room})
    events = subscribe(hub.url, room=room, since="all")
    next(events)
    events.close()
    assert list(events) == []


def test_a_gap_is_filled_from_the_history(hub_factory: Callable[..., HubProcess]) -> None:
    """A subscriber that falls behind the ring still gets every event once and in order."""
    hub = hub_factory(HUB_RING="20", HUB_HISTORY=f"sqlite:///{hub_factory().folder / 'hub.db'}").start()
    states: list[tuple[str, str]] = []
    total = 400

    def on_state(state: str, detail: str) -> None:
        states.append((state, detail))

    with Hub(hub.url) as client, subscribe(hub.url, type="n", since="all", on_state=on_state) as events:
        client.post({"type": "n", "n": 0})
        got = [next(events).event["n"]]
        for n in range(1, total, 21):
            client.post([{"type": "n", "n": k, "text": "x" * 60_000} for k in range(n, n + 21)])
        got += [next(events).event["n"] for _ in range(total - 1)]
    assert got == list(range(total))
    gaps = [detail for state, detail in states if state == "gap"]
    assert gaps and all("too_slow" in detail and "history" in detail for detail in gaps)


def test_a_permanent_gap_is_an_event(hub_factory: Callable[..., HubProcess]) -> None:
    """A history in memory does not survive its hub."""
    hub = hub_factory(HUB_HEARTBEAT="1s").start()
    states: list[str] = []
    hub.publish({"type": "n", "n": 1})
    with Reader(subscribe(hub.url, since="all", on_state=lambda state, _: states.append(state))) as reader:
        until(lambda: len(reader.got) == 1, "the event")
        hub.kill()
        hub.start()
        hub.publish({"type": "n", "n": 2})
        until(lambda: len(reader.got) == 3, "the gap and the event after it")
    gap = reader.got[1]
    assert (gap.type, gap.event["reason"], gap.event["from"]) == ("stream_gap", "unknown_epoch", reader.got[0].id)
    assert reader.got[2].event["n"] == 2
    assert states[0] == "live" and "reconnecting" in states and states[-2:] == ["live", "gap"]


def test_an_orderly_restart(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{hub_factory().folder / 'hub.db'}").start()
    details: list[str] = []
    with Reader(subscribe(hub.url, on_state=lambda _, detail: details.append(detail))) as reader:
        hub.wait_count(1)
        hub.publish({"type": "n", "n": 1})
        until(lambda: len(reader.got) == 1, "an event")
        hub.terminate()
        hub.start()
        hub.publish({"type": "n", "n": 2})
        until(lambda: len(reader.got) == 2, "the second event")
    assert [received.event["n"] for received in reader.got] == [1, 2]
    assert any("retrying in" in detail for detail in details)


def test_a_frozen_hub_is_noticed(hub_factory: Callable[..., HubProcess]) -> None:
    """After SIGSTOP the connection stays open without a byte; after three heartbeats it counts as broken."""
    hub = hub_factory(HUB_HEARTBEAT="1s").start()
    states: list[tuple[str, float]] = []
    with Reader(subscribe(hub.url, on_state=lambda s, _: states.append((s, time.monotonic())))) as reader:
        until(lambda: states, "the stream")
        worker = hub.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        try:
            until(lambda: len(states) >= 2, "the silence to be noticed")
        finally:
            os.kill(worker, signal.SIGCONT)
        assert states[1][0] == "reconnecting"
        assert states[1][1] - states[0][1] >= 2.9
        until(lambda: states[-1][0] == "live", "the stream again")
        sent: Any = hub.publish({"type": "n"})
        until(lambda: [received.id for received in reader.got] == [sent["id"]], "the event")
