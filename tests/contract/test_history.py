"""One contract for every history (`event_hub.server.history.base`); what SQLite adds to it is in `test_sqlite`."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_hub.server.filters import Filter, Scope
from event_hub.server.history import Draft, History, Retention, open_history
from event_hub.server.history.base import PAGE_BYTES, SCAN
from event_hub.sse import Cursor

FOREVER = Retention(None, None)
Opener = Callable[..., History]


def draft(
    n: int = 0,
    *,
    kind: str = "t",
    room: str | None = None,
    session: str | None = None,
    event_id: str | None = None,
    size: int = 0,
) -> Draft:
    event = {"type": kind, "room": room, "session": session, "n": n, "pad": "x" * size}
    data = json.dumps({name: value for name, value in event.items() if value is not None}).encode()
    return Draft(kind, room, session, event_id, data)


def numbers(history: History, filter: Filter = Filter(), after: int = 0) -> list[int]:
    """Everything that matches, page by page."""
    found: list[int] = []
    while after < history.head:
        page = history.after(after, history.head, filter, 7)
        assert page.through > after
        assert len(page.records) <= 7
        found += [json.loads(record.data)["n"] for record in page.records]
        after = page.through
    return found


@pytest.fixture(params=["memory", "sqlite", "valkey", "redis"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opened: list[History] = []
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/"}
    server = request.getfixturevalue(f"{request.param}_server") if request.param not in urls else None
    ours = os.urandom(8).hex()

    def open_one(retention: Retention = FOREVER, name: str = "hub.db") -> History:
        url = f"{server.unix_url}?prefix={ours}-" if server is not None else urls[request.param]
        opened.append(open_history(url if url == "memory:" else url + name, retention))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_offsets_are_1_2_3_without_holes(opener: Opener) -> None:
    history = opener()
    assert (history.head, history.floor) == (0, 0)
    assert [a.offset for a in history.append([draft(1)], 1.0)] == [1]
    assert [a.offset for a in history.append([draft(2), draft(3)], 2.0)] == [2, 3]
    assert history.append([], 3.0) == []
    assert history.head == 3
    assert numbers(history) == [1, 2, 3]
    assert [r.offset for r in history.after(1, 2, Filter(), 100).records] == [2]
    assert history.after(3, 3, Filter(), 100).records == []
    assert history.after(99, 200, Filter(), 100).records == []


def test_data_comes_back_byte_for_byte(opener: Opener) -> None:
    history = opener()
    data = '{"text":"Grüße \\u0000 👋 \u2028 \\" \\\\ 1e30"}'.encode()
    history.append([Draft("t", "räum", "s", "id-1", data)], 1.0)
    assert history.after(0, 1, Filter(), 1).records[0].data == data


def test_the_same_event_id_is_kept_once(opener: Opener) -> None:
    history = opener()
    history.append([draft(1, event_id="a")], 1.0)
    again = history.append([draft(2, event_id="b"), draft(3, event_id="a"), draft(4), draft(5, event_id="b")], 2.0)
    assert [(a.offset, a.duplicate) for a in again] == [(2, False), (1, True), (3, False), (2, True)]
    assert numbers(history) == [1, 2, 4]
    assert [a.duplicate for a in history.append([draft(6, event_id="b")], 3.0)] == [True]
    assert history.head == 3


@pytest.mark.parametrize("count", [2, 10, 11, 61, 99, 100, 101, 250])
def test_event_ids_of_a_batch_of_any_size_are_found_again(opener: Opener, count: int) -> None:
    history = opener()
    ids = [("\0" if n % 3 else "") + f"id {n} 'é\0?" for n in range(count)]
    assert history.append([draft(n, event_id=id) for n, id in enumerate(ids)], 1.0) == [
        (n + 1, False) for n in range(count)
    ]
    again = history.append([draft(), *(draft(event_id=id) for id in reversed(ids)), draft(event_id="new")], 2.0)
    assert again == [(count + 1, False), *((n, True) for n in range(count, 0, -1)), (count + 2, False)]
    assert history.head == count + 2
    assert numbers(history) == [*range(count), 0, 0]


def test_a_history_that_only_this_process_writes_has_nothing_to_follow(opener: Opener) -> None:
    history = opener()
    history.append([draft(1)], 1.0)
    if not history.shared:
        assert list(history.follow(lambda: 0)) == []


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([None, "r1", "r2"]), st.sampled_from([None, "s1"])),
        max_size=60,
    ),
    st.lists(st.sampled_from(["a", "b*", "*"]), max_size=2),
    st.lists(st.sampled_from(["r1", "r2", "r*"]), max_size=2),
    st.lists(st.sampled_from(["s1", "s*"]), max_size=1),
    st.integers(0, 60),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_pages_hold_exactly_what_matches(
    opener: Opener,
    events: list[tuple[str, str | None, str | None]],
    types: list[str],
    rooms: list[str],
    sessions: list[str],
    after: int,
) -> None:
    history = opener(name=f"{os.urandom(8).hex()}.db")
    history.append([draft(n, kind=k, room=r, session=s) for n, (k, r, s) in enumerate(events, 1)], 1.0)
    filter = Filter.of(rooms, types, sessions)
    expected = [n for n, event in enumerate(events, 1) if filter.matches(*event)]
    assert numbers(history, filter, after) == [n for n in expected if n > after]
    backwards: list[int] = []
    offset = history.head
    while offset > 0:
        page = history.before(offset, filter, 7)
        backwards += [record.offset for record in page.records]
        assert page.through < offset
        offset = page.through
    assert backwards == expected[::-1]


def test_one_call_looks_at_a_bounded_number_of_events(opener: Opener) -> None:
    history = opener()
    history.append([draft(n) for n in range(SCAN + 500)], 1.0)
    page = history.after(0, history.head, Filter.of(types=["rare*"]), 10)
    assert (page.records, page.through) == ([], SCAN)
    assert history.before(history.head, Filter.of(types=["rare*"]), 10).through == 500


def test_pages_are_bounded_in_bytes(opener: Opener) -> None:
    history = opener()
    history.append([draft(n, size=PAGE_BYTES // 4) for n in range(20)], 1.0)
    assert len(history.after(0, 20, Filter(), 500).records) <= 5
    assert numbers(history) == list(range(20))


def test_offset_at(opener: Opener) -> None:
    history = opener()
    for n in range(1, 101):
        history.append([draft(n)], float(n // 2))
    assert history.offset_at(0) == 0
    assert history.offset_at(10.0) == 19  # events 20 and 21 came at 10
    assert history.offset_at(10.5) == 21
    assert history.offset_at(1e12) == 100
    history.append([draft(101)], 3.0)  # the clock went back
    assert history.offset_at(50.0) == 99
    assert history.offset_at(51.0) == 101


def test_retention_by_age(opener: Opener) -> None:
    history = opener(Retention(10.0, None))
    history.append([draft(n, event_id=f"e{n}") for n in range(1, 2501)], 100.0)
    history.append([draft(n) for n in range(2501, 2601)], 105.0)
    assert history.trim(109.0) is False
    assert history.floor == 0
    while history.trim(112.0):
        pass
    assert history.floor == 2500
    assert numbers(history) == list(range(2501, 2601))
    assert history.after(0, history.head, Filter(), 1).records[0].offset == 2501
    assert history.before(history.head, Filter(), 5000).through == 2500
    assert history.offset_at(0) == 2500
    # What is given up is no duplicate any more, and offsets are not used again.
    assert history.append([draft(1, event_id="e1")], 120.0) == [(2601, False)]
    while history.trim(1000.0):
        pass
    assert history.floor == history.head == 2601
    assert history.append([draft(2)], 1001.0) == [(2602, False)]


def test_retention_by_size(opener: Opener) -> None:
    history = opener(Retention(None, 600_000))
    for n in range(40):
        history.append([draft(n * 100 + k, size=500) for k in range(100)], 1.0)
    while history.trim(1.0):
        pass
    assert 0 < history.size() <= 600_000
    kept = numbers(history)
    assert 300 < len(kept) < 1500
    assert kept == list(range(4000 - len(kept), 4000))


def test_epochs_name_offsets(opener: Opener) -> None:
    history = opener()
    history.append([draft(n) for n in range(5)], 1.0)
    cursor = history.epochs.cursor(3)
    assert history.epochs.survived(cursor) == (3, True)
    assert history.epochs.survived(Cursor("zz", 3)) is None
    other = opener(name="other.db")
    assert other.epochs.current != history.epochs.current


def test_a_filter_in_two_dimensions_is_bounded_too(opener: Opener) -> None:
    history = opener()
    history.append([draft(n, room="r") for n in range(SCAN + 500)], 1.0)
    both = Filter.of(rooms=["r"], types=["rare"])
    assert history.after(0, history.head, both, 10) == ([], SCAN)
    assert history.before(history.head, both, 10) == ([], 500)


def test_readers_and_retention_in_threads(opener: Opener) -> None:
    """Servers with real threads: what is read under an offset is that offset's event."""
    history = opener(Retention(None, 200_000))
    done = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not done.is_set():
            for page in (
                history.after(history.floor, history.head, Filter(), 20),
                history.before(history.head, Filter(), 20),
            ):
                wrong.extend(r for r in page.records if json.loads(r.data)["n"] != r.offset)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    try:
        for n in range(1, 4001):
            history.append([draft(n, size=200)], 1.0)
            if n % 50 == 0:
                history.trim(1.0)
    finally:
        done.set()
        for thread in readers:
            thread.join()
    assert wrong == []
    assert history.floor > 0


# -- erasing ---------------------------------------------------------------------------------------------------------------


def test_an_erased_event_keeps_its_offset_and_its_id_and_nothing_else(opener: Opener) -> None:
    history = opener()
    history.append([draft(n, room="r", session="s", event_id=f"e{n}") for n in range(5)], 1.0)
    history.erase({2: b'{"n":-2}', 4: b'{"n":-4}', 99: b"{}", 0: b"{}"})
    assert numbers(history) == [0, -2, 2, -4, 4]
    assert numbers(history, Filter(rooms=("r",))) == numbers(history, Filter(sessions=("s",))) == [0, 2, 4]
    assert numbers(history, Filter(types=("event_erased",))) == [-2, -4]
    assert [record.offset for record in history.before(history.head, Filter(), 9).records] == [5, 4, 3, 2, 1]
    (again,) = history.append([draft(1, event_id="e1")], 2.0)
    assert again == (2, True), "a repeated delivery does not bring it back"
    history.scrub()
    assert history.offset_at(1.5) == 5
    assert (history.head, history.floor) == (5, 0)


def test_retention_removes_erased_events_like_others(opener: Opener) -> None:
    history = opener(Retention(10, None))
    history.append([draft(n, size=500, event_id=f"e{n}") for n in range(3)], 1.0)
    history.erase({1: b'{"n":-1}', 2: b'{"n":-1}'})
    history.append([draft(3)], 100.0)
    while history.trim(105.0):
        pass
    assert (history.floor, numbers(history, after=history.floor)) == (3, [3])


def test_the_events_of_a_room_are_found_after_retention_and_erasure(opener: Opener) -> None:
    """Forwards and backwards, page by page; rooms of which nothing is left too."""
    history = opener(Retention(10, None))
    rooms = ["a", "b", None, "a", "c", "gone", "a*"]
    history.append([draft(n, room=rooms[n % 7]) for n in range(70)], 1.0)
    history.append([draft(n, room=rooms[n % 7]) for n in range(70, 140) if n % 7 != 5], 100.0)
    history.erase(dict.fromkeys(range(60, 90), b'{"n":-1}'))
    while history.trim(105.0):
        pass
    everything = history.after(0, history.head, Filter(), 1000).records
    for room in ("a", "b", "c", "gone", "never", "a*"):
        exact = Filter.of([room]) if "*" not in room else Filter().narrowed(Scope((room,)))
        expected = [r for r in everything if (n := json.loads(r.data)["n"]) >= 0 and rooms[n % 7] == room]
        forwards, after = [], history.floor
        while after < history.head:
            page = history.after(after, history.head, exact, 3)
            assert page.through > after
            forwards += page.records
            after = page.through
        backwards, before = [], history.head
        while before > history.floor:
            page = history.before(before, exact, 3)
            assert page.through < before
            backwards += page.records
            before = page.through
        assert forwards == backwards[::-1] == expected
