"""Traffic on two hubs, or on the workers of one, and a check that none of it was lost, doubled or reordered."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from ..hubs import PATIENCE, HubProcess, Stream, until


class Publisher:
    """Publishes numbered events, each until it is acknowledged."""

    def __init__(self, hub: HubProcess, name: str) -> None:
        self.acknowledged: dict[str, str] = {}
        """event_id → id"""
        self.refused: list[int] = []
        """The status of each answer that was not 200."""
        self._hub, self._name = hub, name
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Publisher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        session = requests.Session()
        for n in itertools.count():
            event = {"type": "n", "n": n, "event_id": f"{self._name}-{n}"}
            while not self._done.is_set():
                try:
                    answer = session.post(f"{self._hub.url}/api/agent/data", json=event, timeout=PATIENCE)
                except requests.RequestException:
                    continue
                if answer.status_code == 200:
                    self.acknowledged[event["event_id"]] = answer.json()["id"]
                    break
                assert answer.json()["code"] in ("history_unavailable", "draining"), answer.text
                self.refused.append(answer.status_code)
                time.sleep(0.05)
            if self._done.is_set():
                return

    def wait_for(self, more: int) -> None:
        """Until that many further events are acknowledged."""
        target = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= target, f"{more} acknowledged events", 3 * PATIENCE)


class Subscriber:
    """Reads all events, and resumes with the id that it saw last whenever its stream ends."""

    def __init__(self, hub: HubProcess) -> None:
        self.seen: list[str] = []
        """The event_ids, in order."""
        self.gaps: list[dict[str, Any]] = []
        self.streams = 0
        self.degraded: list[bool] = []
        """What heartbeats said, changes only."""
        self._hub = hub
        self._last: str | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Subscriber:
        self._thread.start()
        until(lambda: self.streams, "the stream to open")
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                with self._hub.stream("", last_id=self._last) as stream:
                    if stream.status == 200:
                        self._read(stream)
            except (OSError, AssertionError, EOFError):
                pass
            time.sleep(0.05)

    def _read(self, stream: Stream) -> None:
        stream.socket.settimeout(0.2)
        while not self._done.is_set():
            while stream.pending:
                message = stream.pending.pop(0)
                self._take(message)
            try:
                if not stream.read():
                    return
            except TimeoutError:
                pass

    def _take(self, message: Any) -> None:
        event = json.loads(message.data)
        self._last = message.id or self._last
        if event["type"] == "stream_opened":
            self.streams += 1
        elif event["type"] == "stream_gap":
            self.gaps.append(event)
        elif event["type"] == "heartbeat":
            degraded = event.get("degraded", False)
            if not self.degraded or self.degraded[-1] != degraded:
                self.degraded.append(degraded)
        elif "event_id" in event:
            self.seen.append(event["event_id"])


def check(publishers: list[Publisher], subscribers: list[Subscriber]) -> None:
    """Every acknowledged event was seen once by every subscriber, all in one order, each publisher's in its own."""
    acknowledged = {id for publisher in publishers for id in publisher.acknowledged}
    for subscriber in subscribers:
        until(lambda seen=subscriber.seen: acknowledged <= set(seen), "every acknowledged event", 2 * PATIENCE)  # type: ignore[misc]
    for subscriber in subscribers:
        assert len(subscriber.seen) == len(set(subscriber.seen)), "an event came twice"
    first, second = subscribers
    count = min(len(first.seen), len(second.seen))
    assert first.seen[:count] == second.seen[:count]
    for name in "ab":
        numbers = [int(id.partition("-")[2]) for id in first.seen if id.startswith(f"{name}-")]
        assert numbers == sorted(numbers)


@contextmanager
def publishing(a: HubProcess, b: HubProcess, *subscribers: Subscriber) -> Iterator[tuple[Publisher, Publisher]]:
    """A publisher at each hub. At the end, each has 50 further events acknowledged, and the subscribers are checked."""
    with Publisher(a, "a") as one, Publisher(b, "b") as other:
        yield one, other
        for publisher in (one, other):
            publisher.wait_for(50)
        for publisher in (one, other):
            publisher.stop()
        check([one, other], list(subscribers))


@dataclass(frozen=True)
class Traffic:
    publishers: tuple[Publisher, Publisher]
    subscribers: tuple[Subscriber, Subscriber]

    def wait_for(self, more: int) -> None:
        """Until each publisher has that many further events acknowledged."""
        for publisher in self.publishers:
            publisher.wait_for(more)

    @property
    def streams(self) -> list[int]:
        """How many streams each subscriber has opened."""
        return [subscriber.streams for subscriber in self.subscribers]

    def refused(self) -> bool:
        """Whether both publishers have been refused."""
        return all(publisher.refused for publisher in self.publishers)

    def degraded(self, state: bool) -> bool:
        """Whether that is what both subscribers were told last."""
        return all(subscriber.degraded[-1:] == [state] for subscriber in self.subscribers)


@contextmanager
def traffic(a: HubProcess, b: HubProcess | None = None) -> Iterator[Traffic]:
    """A publisher and a subscriber at each hub (or two of each at one), checked at the end: no loss, and no gap."""
    b = b or a
    with Subscriber(a) as first, Subscriber(b) as second:
        with publishing(a, b, first, second) as publishers:
            yield Traffic(publishers, (first, second))
        assert first.gaps == second.gaps == []
