"""The past of a page: who waits for whom, and what an erasure leaves in the cache."""

from __future__ import annotations

import threading

from event_hub.server.condensed_history import CondensedReader
from event_hub.server.cooperate import TimeSlice, Turns
from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryReader, Retention
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.streaming.log import Log

from ..hubs import PATIENCE


def reader(events: int) -> tuple[MemoryHistory, CondensedReader]:
    history = MemoryHistory(Retention(None, None))
    data = b'{"type":"note","timestamp":1,"text":"secret"}'
    history.append([Draft("note", f"r{n % 2}", None, None, data) for n in range(events)], 1.0)
    log = Log(ring=10, ring_bytes=1 << 20, head=history.head)
    return history, CondensedReader(HistoryReader(history, log), Turns(size=0.0))


def test_a_reader_does_not_wait_for_the_whole_scan_of_another() -> None:
    """By order: the scan of a second reader ends while the first one's is in progress, whatever the machine does."""
    _, condensed = reader(500)
    begun, finished = threading.Event(), threading.Event()
    answers: list[bytes] = []

    def long(time_slice: TimeSlice) -> bytes:
        begun.set()
        slices = 0
        while not finished.is_set():
            slices += 1
            assert slices < 100_000
            time_slice.pause_if_due()
        return b"long"

    def short(time_slice: TimeSlice) -> bytes:
        return b"%d" % len(condensed.past(Filter.of(["r1"]), 500, 100, time_slice).records)

    def second() -> None:
        assert begun.wait(PATIENCE)
        answers.append(condensed.response("short", short))
        finished.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert condensed.response("long", long) == b"long"
    thread.join(PATIENCE)
    assert len(answers) == 1
    assert not condensed._making


def test_requests_for_the_same_response_share_it() -> None:
    _, condensed = reader(10)
    made: list[int] = []
    answers: list[bytes] = []

    def make(time_slice: TimeSlice) -> bytes:
        made.append(1)
        while condensed._making["key"].requests < 8:
            time_slice.pause_if_due()
        return b"x"

    def ask() -> None:
        answers.append(condensed.response("key", make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == [b"x"] * 8
    assert len(made) == 1


def test_what_was_read_before_an_erasure_is_not_cached_after_it() -> None:
    history, condensed = reader(10)

    def make(time_slice: TimeSlice) -> bytes:
        past = condensed.past(Filter(), 10, 100, time_slice)
        history.erase(dict.fromkeys(range(1, 11), b'{"type":"event_erased","timestamp":1}'))
        condensed.clear()  # while this response is being made
        return b"".join(record.data for record in past.records)

    assert b"secret" in condensed.response("key", make)
    again = lambda time_slice: b"".join(r.data for r in condensed.past(Filter(), 10, 100, time_slice).records)  # noqa: E731
    assert b"secret" not in condensed.response("key", again)
