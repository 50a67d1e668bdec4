"""The log against a model: whatever happens, each subscriber has its events in order, once each, or one counted gap."""

from __future__ import annotations

import gc
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from event_hub.server.filters import Filter
from event_hub.server.streaming.log import Log, View

RING = 10
RING_BYTES = 400
FILTERS = [
    Filter(),
    Filter.of(rooms=["a"]),
    Filter.of(rooms=["a", "b"]),
    Filter.of(types=["x"]),
    Filter.of(rooms=["b"], types=["y"]),
    Filter.of(sessions=["s"]),
    Filter.of(rooms=["*"]),
    Filter.of(types=["x*"], sessions=["*s"]),
]


def bracketed(frame: bytes) -> bytes:
    """A framing of a transport's own."""
    return b"<%s>" % frame


class Reader:
    """A subscriber as the model sees it: the offsets it should have had since it came."""

    def __init__(self, view: View, position: int, since: int) -> None:
        self.view = view
        self.position = position
        self.wanted_after = since
        self.taken: list[int] = []
        self.missed = 0


class LogMachine(RuleBasedStateMachine):
    """Publish, read, be torn in the middle, overrun, come and go, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log(ring=RING, ring_bytes=RING_BYTES)
        self.published: list[tuple[int, str, str | None, str | None, int]] = []
        self.readers: list[Reader] = []

    def frame(self, offset: int, size: int) -> bytes:
        return b"%d:%s;" % (offset, b"." * size)

    @rule(
        kind=st.sampled_from(["x", "xx", "y"]),
        room=st.sampled_from([None, "a", "b", "c"]),
        session=st.sampled_from([None, "s", "ts"]),
        size=st.integers(0, 120),
        runs=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    )
    def publish(self, kind: str, room: str | None, session: str | None, size: int, runs: list[int]) -> None:
        for count in runs:
            offsets = range(self.log.head + 1, self.log.head + 1 + count)
            frames = [self.frame(offset, size) for offset in offsets]
            if count == 1:
                views = self.log.append(offsets[0], frames[0], kind, room, session)
            else:
                views = self.log.extend(offsets, frames, kind, room, session)
            self.published += [(offset, kind, room, session, size) for offset in offsets]
            assert {id(v) for v in views} == {id(v) for v in self.log.views if v.filter.matches(kind, room, session)}
            assert len(views) == len({id(v) for v in views})

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        self.log.settle(data.draw(st.integers(self.log.settled, self.log.head)))

    @rule(filter=st.sampled_from(FILTERS))
    def subscribe(self, filter: Filter) -> None:
        view = self.log.watch(filter)
        reader = Reader(view, view.head, self.log.head)
        self.readers.append(reader)
        view.subscribers.append(reader)

    @rule(data=st.data(), filter=st.sampled_from(FILTERS))
    def resume(self, data: st.DataObject, filter: Filter) -> None:
        """Come back with an old cursor: only if the run reaches back to it."""
        view = self.log.find(filter)
        offset = data.draw(st.integers(0, self.log.head))
        position = view.position_after(offset) if view else None
        if view is not None and position is not None:
            reader = Reader(view, position, offset)
            self.readers.append(reader)
            view.subscribers.append(reader)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.readers:
            reader = self.readers.pop(data.draw(st.integers(0, len(self.readers) - 1)))
            reader.view.subscribers.remove(reader)
            if not reader.view.subscribers:
                self.log.forget(reader.view)

    @rule(data=st.data(), limit=st.integers(1, 500))
    def read(self, data: st.DataObject, limit: int) -> None:
        if not self.readers:
            return
        reader = self.readers[data.draw(st.integers(0, len(self.readers) - 1))]
        view = reader.view
        overrun = view.overrun(reader.position)
        if overrun:
            before = reader.taken[-1] if reader.taken else reader.wanted_after
            skipped = [o for o in self.wanted(reader) if before < o <= overrun.through]
            assert overrun.missed == len(skipped)
            assert skipped[-1] == overrun.through
            reader.taken += skipped
            reader.missed += overrun.missed
            reader.position = view.first
        if reader.position >= view.head:
            assert reader.position == view.head
            return
        batch = view.read(reader.position, limit)
        assert batch.start == reader.position
        assert batch.size <= limit or batch.position == reader.position + 1
        assert batch.offset == view.offset_at(batch.position)
        chunk = batch.joined(bracketed)
        assert batch.joined() == chunk.replace(b"<", b"").replace(b">", b"")
        sent = data.draw(st.integers(0, len(chunk)))
        count, rest = batch.split(sent, bracketed)
        position = reader.position + count
        whole = chunk[:sent] + rest
        assert chunk.startswith(whole)
        got = [int(piece.split(b":")[0].lstrip(b"<")) for piece in whole.split(b">")[:-1]]
        assert len(got) == position - reader.position
        assert whole.endswith(b">") or not whole
        reader.taken += got
        reader.position = position
        if got:
            assert view.offset_at(position) == got[-1]

    def wanted(self, reader: Reader) -> list[int]:
        matches = reader.view.filter.matches
        return [
            o
            for o, kind, room, session, _ in self.published
            if o > reader.wanted_after and matches(kind, room, session)
        ]

    @invariant()
    def in_order_once_each_or_counted(self) -> None:
        for reader in self.readers:
            assert reader.taken == self.wanted(reader)[: len(reader.taken)]
            assert reader.position - reader.view.head == len(reader.taken) - len(self.wanted(reader))

    @invariant()
    def bounded_by_the_ring(self) -> None:
        unsettled = self.log.head - self.log.settled
        assert len(self.log) <= max(RING, unsettled)
        held = [entry[1] for entry in self.log._entries]
        assert self.log.bytes == sum(held)
        assert self.log.bytes <= RING_BYTES or all(e[0] > self.log.settled for e in self.log._entries)

    @invariant()
    def nothing_is_lost_before_it_was_offered(self) -> None:
        for reader in self.readers:
            overrun = reader.view.overrun(reader.position)
            assert overrun is None or overrun.through <= self.log.settled


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=100, stateful_step_count=50)


@given(st.lists(st.integers(0, len(FILTERS) - 1)))
def test_the_index_is_empty_when_everybody_has_left(which: list[int]) -> None:
    log = Log(ring=RING, ring_bytes=RING_BYTES)
    views = {log.watch(FILTERS[n]) for n in which}
    for view in views:
        log.forget(view)
        log.forget(view)
    assert log.views == []
    assert not any(log._index.values())
    assert log.append(1, b"x", "x", "a", "s") == ()


def calls(function: Any) -> int:
    """How many Python and C calls `function` makes: a cost that no noisy neighbour changes."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # Hypothesis has it call something
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def test_an_event_for_one_of_10_000_watched_rooms_costs_what_one_watched_room_costs() -> None:
    """The issue's bound is 2 ×; in calls it is 1 ×. Time is measured in bench/."""

    def cost(rooms: int) -> int:
        log = Log(ring=10_000, ring_bytes=1 << 26)
        for n in range(rooms):
            log.watch(Filter.of(rooms=[f"room-{n}"]))
        assert len(log.append(1, b"frame", "transcript", "room-0", None)) == 1
        return calls(lambda: log.append(2, b"frame", "transcript", "room-0", None))

    assert cost(10_000) <= cost(1)


def test_memory_of_runs_is_given_back() -> None:
    log = Log(ring=100, ring_bytes=1 << 20)
    view = log.watch(Filter())
    for offset in range(1, 10_001):
        log.append(offset, b"x" * 50, "t", None, None)
        log.settle(offset)
    assert view.head - view.first == 100
    assert len(view._frames) < 100 + 600
    assert sum(frame is not None for frame in view._frames) == 100


@given(
    st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=40),
    st.sets(st.integers(1, 40)),
    st.integers(1, 40),
)
def test_erased_frames_are_replaced_and_no_others(rooms: list[str], erased: set[int], ring: int) -> None:
    log = Log(ring=ring, ring_bytes=RING_BYTES)
    everything, room = log.watch(Filter()), log.watch(Filter.of(rooms=["a"]))
    for offset, name in enumerate(rooms, 1):
        log.append(offset, b"%d" % offset, "t", name, None)
        log.settle(offset)
    log.erase({offset: b"erased %d" % offset for offset in erased})
    first = max(1, len(rooms) - ring + 1)
    kept = range(first, len(rooms) + 1)
    assert everything.read(everything.first, 1 << 20).frames == [
        b"erased %d" % offset if offset in erased else b"%d" % offset for offset in kept
    ]
    in_room = [offset for offset in kept if rooms[offset - 1] == "a"]
    if in_room:
        assert room.read(room.first, 1 << 20).frames == [
            b": erased\n\n" if offset in erased else b"%d" % offset for offset in in_room
        ]


class Looked(list[int]):
    """Counts what is looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def test_erasing_a_few_of_many_frames_does_not_look_at_all_of_them() -> None:
    """A session of 25,000 events is erased in a hundred steps; each looked at every frame of the ring, under the lock."""
    log = Log(ring=100_000, ring_bytes=1 << 30)
    view = log.watch(Filter())
    for offset in range(1, 50_001):
        log.append(offset, b"x", "t", None, None)
    looked = view._offsets = Looked(view._offsets)
    log.erase(dict.fromkeys(range(1, 50_000, 200), b"erased"))
    assert view.read(0, 1 << 20).frames.count(b"erased") == 250
    assert looked.looks < 250 * 25

    looked.looks = 0
    log.erase({60_000 + n: b"erased" for n in range(250)})
    assert looked.looks < 50
