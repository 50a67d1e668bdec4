"""The publisher's inbox: items are encoded later, in order and within a bound, and every loss is counted."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from event_hub.client.encoding import Encoding
from event_hub.client.inbox import INBOX, Inbox
from event_hub.client.outbox import Outbox
from event_hub.client.queue import CLOSED, INVALID, DropMarker
from event_hub.client.redacting import Redacting

from ..hubs import until


class Maker:
    """Makes as many events as asked for, or fails."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.threads: set[int] = set()

    def complete(self, what: Any, about: Any) -> list[dict[str, Any]]:
        self.threads.add(threading.get_ident())
        if isinstance(what, Exception):
            raise what
        return [{"type": "n", "n": n, "about": about} for n in what]

    def failed(self, where: str, error: Exception) -> None:
        self.failures.append(f"{where} {type(error).__name__}")


def taken(outbox: Outbox) -> list[Any]:
    found = outbox.take(100_000, 1 << 30, 0)
    return [entry if isinstance(entry, DropMarker) else json.loads(entry)["n"] for entry in found or []]


def test_an_event_that_is_put_directly_stays_behind_those_that_wait() -> None:
    outbox, maker = Outbox(100, 1 << 20), Maker()
    outbox.inbox.items.append(((1, 2), maker, None))
    outbox.put(b'{"n":3}')
    outbox.inbox.items.append(((4,), maker, None))
    outbox.put(b'{"n":5,"pad":"' + b"x" * 20_000 + b'"}')  # too long for a place where no bytes are counted
    assert outbox.queue.events == 5
    outbox.put(b'{"n":6}')
    assert taken(outbox) == [1, 2, 3, 4, 5, 6]


def test_failures_are_counted_and_marked_in_their_place() -> None:
    outbox, maker = Outbox(100, 1 << 20), Maker()
    for what in ((1,), OSError(), (), (2,), RecursionError()):
        outbox.inbox.items.append((what, maker, None))
    outbox.inbox.items.append(((3,), maker, object()))  # no JSON
    outbox.inbox.items.append(({"type": "n", "n": 4}, None, None))
    assert not outbox.wait_settled(0)
    assert taken(outbox) == [1, DropMarker(1, INVALID), 2, DropMarker(2, INVALID), 4]
    assert outbox.queue.dropped == {INVALID: 3}
    assert maker.failures == ["encode OSError", "encode RecursionError", "encode TypeError"]


def test_a_report_of_a_failure_that_fails_itself_stops_nothing() -> None:
    class Worse(Maker):
        def failed(self, where: str, error: Exception) -> None:
            raise RuntimeError("no")

    outbox = Outbox(100, 1 << 20)
    outbox.inbox.items.append((OSError(), Worse(), None))
    outbox.inbox.items.append(((1,), Worse(), None))
    assert taken(outbox) == [DropMarker(1, INVALID), 1]


def test_it_stays_short_while_nothing_is_taken() -> None:
    """As during a POST that is never answered."""
    outbox, maker = Outbox(5_000, 1 << 20), Maker()
    for number in range(3 * INBOX):
        outbox.inbox.items.append(((number,), maker, None))
        if outbox.urgent or len(outbox.inbox.items) > INBOX:
            outbox.appended()
    assert len(outbox.inbox.items) <= INBOX
    assert taken(outbox) == list(range(3 * INBOX))


def test_what_is_appended_after_the_end_is_counted() -> None:
    outbox, maker = Outbox(100, 1 << 20), Maker()
    outbox.inbox.items.append(((1,), maker, None))
    outbox.close()
    outbox.inbox.items.append(((2, 3), maker, None))
    assert outbox.urgent  # so that a publisher calls:
    outbox.appended()
    assert taken(outbox) == [1]
    assert outbox.queue.dropped == {CLOSED: 2}
    outbox.inbox.items.append(((4,), maker, None))
    outbox.abandon()
    assert outbox.queue.dropped == {CLOSED: 4}
    assert outbox.take(9, 9, 0) is None


def test_a_thread_that_waits_is_woken() -> None:
    outbox, maker = Outbox(100, 1 << 20), Maker()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(outbox.take(9, 1 << 20, 0.001) or []))
    thread.start()
    until(lambda: outbox.urgent, "the thread to wait")
    outbox.inbox.items.append(((1,), maker, None))
    outbox.appended()
    thread.join(30)
    assert not thread.is_alive()
    assert len(found) == 1
    assert maker.threads == {thread.ident}


def test_a_signal_handler_does_not_wait_for_a_thread_that_encodes() -> None:
    outbox, entered, leave = Outbox(100, 1 << 20), threading.Event(), threading.Event()

    class Slow(Maker):
        def complete(self, what: Any, about: Any) -> list[dict[str, Any]]:
            entered.set()
            leave.wait(30)
            return super().complete(what, about)

    outbox.inbox.items.append(((1,), Slow(), None))
    thread = threading.Thread(target=outbox.inbox.drain)
    thread.start()
    assert entered.wait(30)
    outbox.inbox.encode(5, wait=False)
    outbox.put(b'{"n":2}')
    assert outbox.inbox.pending() == 2
    leave.set()
    thread.join(30)
    assert taken(outbox) == [1, 2]


@pytest.mark.parametrize("cut", range(1, 19))
def test_a_secret_that_is_cut_anywhere_is_redacted(cut: int) -> None:
    card = "4111 1111 1111 1111"
    lines: list[bytes] = []
    inbox = Inbox(Encoding(Redacting("card")), lines.append, lambda reason: None)
    about = {"type": "agent_text_delta", "role": "agent", "utterance": "u", "source": "llm"}
    inbox.items.append(({**about, "delta": f"It is {card[:cut]}", "offset": 0}, None, None))
    inbox.items.append(({**about, "delta": f"{card[cut:]}.", "offset": 6 + cut}, None, None))
    inbox.items.append(({**about, "type": "agent_text_complete", "text": f"It is {card}."}, None, None))
    inbox.drain()
    events = [json.loads(line) for line in lines]
    assert "".join(event.get("delta", "") for event in events) == "It is [card]."
    assert events[-1]["text"] == "It is [card]."
