"""Sessions by scope: as many scopes as there are rooms, each from the events of its room. Work is counted, not timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from event_hub.server.cooperate import Turns
from event_hub.server.filters import Filter, Scope
from event_hub.server.history import Draft, HistoryPage, HistoryReader, Retention
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.scoped_sessions import BUDGET, ScopedSessions
from event_hub.server.streaming.log import Log


class Counted(MemoryHistory):
    """Counts what is read of it."""

    reads = looks = 0

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        self.reads += 1
        return super().after(offset, until, filter, limit)

    def _at(self, offset: int) -> Any:
        self.looks += 1
        return super()._at(offset)


class Hub:
    """A history of `rooms` rooms with a session each, and `events` events in turn."""

    def __init__(self, rooms: int, events: int, budget: int = BUDGET) -> None:
        self.history = Counted(Retention(None, None))
        self.log = Log(ring=10, ring_bytes=1 << 20)
        self.scoped = ScopedSessions(HistoryReader(self.history, self.log), Turns(), budget)
        for n in range(events):
            self.post({"text": f"words {n}"}, f"r{n % rooms}")
        self.history.reads = self.history.looks = 0

    def post(self, fields: Mapping[str, Any], room: str | None, session: str | None = "s") -> None:
        names = {"room": room, "session": session}
        event = {"type": "transcript", "role": "user", "timestamp": 1.0, **fields, **names}
        data = msgspec.json.encode({name: value for name, value in event.items() if value is not None})
        self.history.append([Draft("transcript", room, session, None, data)], 1.0)
        self.log.head = self.history.head

    def texts(self, scope: Scope | None) -> dict[str, list[str]]:
        """What is said in each room."""
        reader = self.scoped.of(scope)
        with reader.sessions() as (sessions, _):
            return {
                str(session.room): [item["text"] for item in reader.whole(session)[0].document()["conversation"]]
                for session in list(sessions.newest())
            }


def only(*rooms: str) -> Scope:
    return Scope(rooms)


def test_thousands_of_rooms_with_a_token_each_are_all_kept() -> None:
    hub = Hub(rooms=2000, events=4000)
    for n in range(2000):
        assert hub.texts(only(f"r{n}")) == {f"r{n}": [f"words {n}", f"words {n + 2000}"]}
    assert len(hub.scoped) == 2000
    reads = hub.history.reads
    for n in range(2000):
        hub.texts(only(f"r{n}"))
    assert hub.history.reads == reads, "nothing is read again"
    hub.post({"text": "more"}, "r7")
    assert hub.texts(only("r7"))["r7"][-1] == "more"
    assert hub.history.reads <= reads + 2


def test_one_room_is_read_without_looking_at_the_events_of_others() -> None:
    hub = Hub(rooms=100, events=20_000)
    assert len(hub.texts(only("r5"))["r5"]) == 200
    assert hub.history.looks <= 2 * 200 + 10


def test_a_few_rooms_are_read_room_by_room_and_in_order() -> None:
    hub = Hub(rooms=100, events=20_000)
    hub.post({"text": "moved"}, None, "s")  # has no room
    assert {room: len(texts) for room, texts in hub.texts(only("r5", "r6", "r99")).items()} == {
        "r5": 200,
        "r6": 200,
        "r99": 200,
    }
    assert hub.history.looks <= 2 * 600 + 20
    many = only(*(f"r{n}" for n in range(50)))
    assert len(hub.texts(many)) == 50


@pytest.mark.parametrize(
    "scope", [only("r1", "r2", "r3"), only("r1"), Scope(globs=("r*",)), Scope(("r1",), ("r[2]*",))]
)
def test_a_scope_shows_what_all_of_its_events_add_up_to(scope: Scope) -> None:
    hub = Hub(rooms=5, events=2000)
    everything = hub.texts(None)
    assert hub.texts(scope) == {room: texts for room, texts in everything.items() if scope.contains(room, "s")}


def test_a_link_to_a_session_without_a_room_finds_it() -> None:
    hub = Hub(rooms=5, events=100)
    hub.post({"text": "alone"}, None, "text-chat")
    assert hub.texts(Scope(session="text-chat")) == {"None": ["alone"]}


def test_memory_is_bounded_by_what_the_sessions_take() -> None:
    hub = Hub(rooms=200, events=2000, budget=1 << 20)
    for n in range(200):
        hub.texts(only(f"r{n}"))
        assert hub.scoped.cost <= 1 << 20
    assert 10 < len(hub.scoped) < 200
    reads = hub.history.reads
    hub.texts(only("r199"))
    assert hub.history.reads == reads, "the newest is there"
    hub.texts(Scope(globs=("*",)))  # larger than the budget, but it is in use
    assert len(hub.scoped) == 1
    hub.scoped.clear()
    assert (len(hub.scoped), hub.scoped.cost) == (0, 0)


def test_a_scope_that_was_forgotten_while_it_is_read_still_answers() -> None:
    hub = Hub(rooms=2, events=100, budget=0)
    reader = hub.scoped.of(only("r0"))
    with reader.sessions() as (sessions, _):
        hub.texts(only("r1"))
        (session,) = sessions.newest()
        assert len(reader.whole(session)[0].document()["conversation"]) == 50
    assert hub.scoped.of(only("r1")) is not reader
    assert len(hub.scoped) == 1
