"""A follower of the history on its way to one target."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from event_hub.server.forward.checkpoint import Checkpoint, FileState
from event_hub.server.forward.follower import Follower
from event_hub.server.forward.sink import Batch
from event_hub.server.forward.targets import parse
from event_hub.server.history import Draft, HistoryReader, Retention
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.streaming.log import Log
from tests.hubs import until


class Notes:
    """A checkpoint, and a sink whose receiver keeps what it gets."""

    def __init__(self) -> None:
        self.cursor = ""
        self.got: list[int | str] = []

    def acquire(self) -> bool:
        return True

    def load(self) -> Checkpoint | None:
        return Checkpoint("x", self.cursor) if self.cursor else None

    def save(self, cursor: str, file: FileState | None) -> None:
        self.cursor = cursor

    def limits(self) -> tuple[int, int]:
        return 100, 1 << 20

    def send(self, batch: Batch) -> None:
        for item in batch.items:
            event = json.loads(item.data)
            self.got.append(event.get("n", event.get("reason")))

    def close(self) -> None: ...


class Parts:
    def __init__(self) -> None:
        self.history = MemoryHistory(Retention(None, None))
        self.history.epochs.update([("old", 1)])
        self.log = Log(ring=100, ring_bytes=1 << 20)
        self.notes = Notes()
        reader = HistoryReader(self.history, self.log)
        (target,) = parse("file:///dev/null#since=all")
        self.follower = Follower(target, reader, self.notes, lambda _state, _save: self.notes, threading.Lock())
        self.follower.open()
        self.follower.start()

    def publish(self, *numbers: int) -> None:
        for n in numbers:
            self.history.append([Draft("n", None, None, None, json.dumps({"type": "n", "n": n}).encode())], 1.0)
        self.log.head = self.history.head
        self.follower.wake()


@pytest.fixture
def parts() -> Iterator[Parts]:
    parts = Parts()
    yield parts
    parts.follower.stop()
    assert parts.follower.done.wait(30)


def test_after_a_loss_what_is_at_the_same_offsets_is_forwarded_too(parts: Parts) -> None:
    """Even if the history has grown past where the target was before the follower looks."""
    parts.publish(1, 2, 3, 4, 5)
    until(lambda: parts.notes.got == [1, 2, 3, 4, 5] and parts.notes.cursor == "old-5", "the events to be forwarded")
    parts.history.head = 3
    del parts.history._entries[3:]
    parts.history.epochs.update([("old", 1), ("new", 4)])
    parts.log.restart(3)
    parts.follower.restarted()
    parts.publish(14, 15, 16)
    until(lambda: len(parts.notes.got) == 9, "the gap and the events after it")
    assert parts.notes.got[5:] == ["unknown_epoch", 14, 15, 16]
    until(lambda: parts.notes.cursor == "new-6", "the checkpoint")
