"""The session index: whatever comes, in however many steps, with restarts in between, it says what all events add up to."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryError, HistoryPage, HistoryReader, Retention
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.indexed_sessions import IndexedSessions
from event_hub.server.session_index import listing, problems
from event_hub.server.session_index.buckets import bucket, percentile, upper_bound
from event_hub.server.session_index.series import Series
from event_hub.server.streaming.log import Log
from event_hub.sessions import Sessions

from .streams import Event, streams


class Hub:
    """A history, and the index of its sessions in a file."""

    def __init__(self, path: Path | None, limit: int = 2) -> None:
        self.history = MemoryHistory(Retention(1_000_000.0, None))
        self.log = Log(ring=10, ring_bytes=1 << 20)
        self.path = path
        self.limit = limit
        self.reader = HistoryReader(self.history, self.log)
        self.open()

    def open(self) -> None:
        self.sessions = IndexedSessions(self.reader, path=self.path, limit=self.limit)

    def restart(self) -> None:
        self.sessions.close()
        self.open()

    def post(self, *events: Event) -> None:
        for event in events:
            data = msgspec.json.encode(event)
            draft = Draft(event["type"], _name(event, "room"), _name(event, "session"), None, data)
            self.history.append([draft], float(self.history.head + 1))
        self.log.head = self.history.head

    def trim(self, floor: int) -> None:
        """Retention removes the events up to an offset."""
        while self.history.trim(1_000_000.5 + floor):
            pass
        assert self.history.floor == floor

    def list(self, **wanted: Any) -> list[dict[str, Any]]:
        with self.sessions.querying() as (file, _):
            return [each.summary for each in listing.page(file.db, listing.Wanted(**wanted), 0.0).sessions]

    def ids(self, **wanted: Any) -> list[str]:
        return [summary["id"] for summary in self.list(**wanted)]

    def dump(self) -> dict[str, list[Any]]:
        """All that the index has, except for how SQLite stores it."""
        with self.sessions.querying() as (file, _):
            return dump(file.db)

    def rebuilt(self) -> dict[str, list[Any]]:
        """The same of an index that was built from the history at once."""
        fresh = IndexedSessions(self.reader, limit=10_000)
        with fresh.querying() as (file, _):
            return dump(file.db)


def dump(db: sqlite3.Connection) -> dict[str, list[Any]]:
    tables = ("sessions", "documents", "tags", "words", "errors", "tools", "buckets", "found")
    found = {table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}
    db.execute("INSERT INTO found (found) VALUES ('integrity-check')")
    return found


def _name(event: Event, field: str) -> str | None:
    value = event.get(field)
    return value if isinstance(value, str) and value else None


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "sessions")
    yield made
    made.sessions.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(events=streams(), data=st.data())
def test_steps_and_restarts_change_nothing(events: list[Event], data: Any) -> None:
    """The fewest sessions in memory, so that each is found again by its events; a restart at any place."""
    whole = Sessions()
    made = Hub(None, limit=data.draw(st.sampled_from([1, 2, 10_000])))
    for offset, event in enumerate(events, 1):
        whole.take(event, offset)
        made.post(event)
        if data.draw(st.booleans()):
            made.list()
    expected = {(s.room, s.session): msgspec.json.decode(msgspec.json.encode(s.summary())) for s in whole.newest()}
    assert {(s["room"], s["session"]): s for s in made.list(limit=1000)} == expected
    assert made.dump() == made.rebuilt()


@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(events=streams(), data=st.data())
def test_an_index_that_is_found_again_is_the_same(tmp_path_factory: Any, events: list[Event], data: Any) -> None:
    made = Hub(tmp_path_factory.mktemp("index") / "sessions")
    for event in events:
        made.post(event)
        if data.draw(st.integers(0, 4)) == 0:
            made.list()
            made.restart()
            assert made.sessions.behind == 0, "nothing is read again"
    assert made.dump() == made.rebuilt()
    made.sessions.close()


def call(n: int, *, text: str = "words", wait: float = 1.0, at: float = 1000.0, **more: Any) -> list[Event]:
    names = {"room": f"r{n}", "session": f"s{n}"}
    return [
        {"type": "session_started", "timestamp": at, "agent": "A", "version": "1", **names, **more},
        {"type": "user_speech_started", "timestamp": at, **names},
        {"type": "user_speech_finished", "timestamp": at + 1, **names},
        {"type": "transcript", "role": "user", "participant": "ada", "text": text, "timestamp": at + 1, "utterance": "u", **names},
        {"type": "agent_speech_started", "timestamp": at + 1 + wait, "utterance": "a", **names},
        {"type": "transcript", "role": "agent", "text": "yes", "timestamp": at + 2 + wait, "utterance": "a", **names},
        {"type": "session_ended", "timestamp": at + 3 + wait, **names},
    ]  # fmt: skip


def test_sessions_are_found_by_what_was_said(hub: Hub) -> None:
    hub.post(*call(1, text="I want a réfund, please"), *call(2, text="the weather"))
    assert hub.ids(words="refund") == ["s1"]
    assert hub.ids(words="REFUND pl") == ["s1"], "the last word may go on"
    assert hub.ids(words="ada weather") == ["s2"], "who says it counts as well"
    assert hub.ids(words="refund weather") == []
    assert hub.ids(words="r2") == ["s2"], "or the name of its room"
    (found,) = hub.list(words="refund")
    assert found["matches"] == [
        {"turn": 1, "at": 1001.0, "role": "user", "text": "I want a \ue000réfund\ue001, please"}
    ]
    for strange in ('"', "*", "' OR 1", "NEAR(a b)", "a:b", "\0", "-", "%"):
        hub.list(words=strange)


def test_a_transcript_that_is_revised_is_found_by_its_last_words(hub: Hub) -> None:
    hub.post(*call(1, text="the wether")[:4])
    assert hub.ids(words="wether") == ["s1"]
    hub.post({**call(1)[3], "text": "the weather"})
    assert hub.ids(words="wether") == []
    assert hub.ids(words="weather") == ["s1"]


def test_pages_in_every_order_have_each_session_once(hub: Hub) -> None:
    for n in range(25):
        hub.post(*call(n, wait=n % 3 + 0.5, at=1000.0 + n % 7))
    for sort in listing.SORTS:
        seen: list[str] = []
        places: list[float] = []
        before = None
        while True:
            with hub.sessions.querying() as (file, _):
                page = listing.page(file.db, listing.Wanted(sort=sort, before=before, limit=4), 0.0)
            seen += [each.summary["id"] for each in page.sessions]
            places += [each.place for each in page.sessions]
            if not page.more:
                break
            before = listing.place_of(listing.place_text(page.sessions[-1].place, page.sessions[-1].first))
        assert sorted(seen) == sorted(f"s{n}" for n in range(25)), sort
        assert places == sorted(places, reverse=True)


def test_filters(hub: Hub) -> None:
    hub.post(*call(1), *call(2, wait=3.0, version="2"), *call(3, agent="B")[:-1])
    hub.post({"type": "agent_error", "message": "x", "room": "r1", "session": "s1"})
    hub.post({"type": "annotation", "tag": "bad", "text": "look", "room": "r2", "session": "s2"})
    assert hub.ids(has=["error"]) == ["s1"]
    assert hub.ids(slow=2.0) == ["s2"]
    assert hub.ids(agents=["B"]) == ["s3"]
    assert hub.ids(versions=["2"]) == ["s2"]
    assert hub.ids(tags=["bad"]) == ["s2"] == hub.ids(has=["note"]) == hub.ids(words="look")
    assert hub.ids(rooms=["r[12]"]) == [], "only * is a wildcard"
    assert hub.ids(rooms=["r*"], status="live") == ["s3"]
    hub.post({"type": "annotation", "tag": "bad", "removed": True, "room": "r2", "session": "s2"})
    assert hub.ids(tags=["bad"]) == []


def test_what_retention_removes_is_not_found(hub: Hub) -> None:
    hub.post(*call(1, text="first"), *call(2, text="second"), *call(3, text="third"))
    assert len(hub.ids()) == 3
    hub.trim(9)  # the first session, and the beginning of the second
    assert hub.ids(words="first") == []
    assert sorted(hub.ids()) == ["s2", "s3"]
    assert hub.ids(words="second") == ["s2"]
    assert hub.dump() == hub.rebuilt()
    hub.trim(21)
    assert hub.ids() == []
    assert hub.dump()["buckets"] == []


def test_a_file_of_another_history_is_not_believed(tmp_path: Path) -> None:
    first, other = Hub(tmp_path / "sessions"), Hub(None)
    first.post(*call(1))
    assert first.ids() == ["s1"]
    first.sessions.close()
    other.post(*call(2), *call(3))
    other.path = tmp_path / "sessions"
    other.open()
    assert sorted(other.ids()) == ["s2", "s3"]
    other.sessions.close()


@pytest.mark.parametrize("damage", [b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_built_again(tmp_path: Path, damage: bytes) -> None:
    made = Hub(tmp_path / "sessions")
    made.post(*call(1))
    assert made.ids() == ["s1"]
    made.sessions.close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"sessions{suffix}").unlink(missing_ok=True)
    (tmp_path / "sessions").write_bytes(damage)
    made.open()
    assert made.ids() == ["s1"]
    made.sessions.close()


def test_on_a_full_disk_the_index_is_in_memory(tmp_path: Path) -> None:
    """In a process of its own, which may not write files of more than a page."""
    program = """
import resource, signal, sys
from pathlib import Path
from event_hub.server.session_index.file import IndexFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
file = IndexFile(Path(sys.argv[1]))
assert file.path is None, file.path
assert file.db.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
file.close()
"""
    command = [sys.executable, "-c", program, str(tmp_path / "sessions")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "is kept in memory" in done.stderr


def test_a_file_that_another_process_has_is_left_alone(tmp_path: Path) -> None:
    first = Hub(tmp_path / "sessions")
    second = IndexedSessions(first.reader, path=tmp_path / "sessions")
    assert second.index.file.path is None
    first.post(*call(1))
    with second.sessions() as (sessions, _):
        assert sessions.find("s1")
    second.close()
    assert first.ids() == ["s1"]
    first.sessions.close()


def test_an_index_whose_file_fails_is_built_again_and_then_kept_in_memory(hub: Hub) -> None:
    hub.post(*call(1))
    assert hub.ids() == ["s1"]
    for n, path in ((2, hub.path), (3, None)):
        hub.sessions.index.file.db.execute("DROP TABLE words")
        hub.post(*call(n))
        assert len(hub.ids()) == n
        assert hub.sessions.index.file.path == path
        assert hub.dump() == hub.rebuilt()


def test_more_sessions_than_fit_in_memory_are_all_found(hub: Hub) -> None:
    for n in range(50):
        hub.post(*call(n))
    assert len(hub.ids(limit=100)) == 50
    for n in range(50):
        with hub.sessions.sessions() as (sessions, _):
            assert sessions.find(f"s{n}")
    with hub.sessions.sessions() as (sessions, _):
        assert len(sessions) <= hub.limit, "what was found again is put away again"
        (oldest,) = sessions.find("s0")
        assert hub.sessions.whole(oldest)[0].document()["turns"][0]["user"]["text"] == "words"
        assert sessions.find("s0", "r1") == []
    hub.post({"type": "transcript", "role": "user", "text": "more", "session": "s0", "room": "r0", "timestamp": 2000.0})
    assert hub.ids(limit=1) == ["s0"]
    assert hub.dump() == hub.rebuilt()


def test_percentiles_over_time(hub: Hub) -> None:
    for n in range(40):
        hub.post(*call(n, wait=1.0 if n < 20 else 2.0, at=3_600.0 * (n % 2)))
    with hub.sessions.querying() as (file, _):
        wanted = listing.Wanted(started=(0.0, 7_200.0))
        groups, more = Series(file.db, wanted, "agent", 3_600, None).groups()
        by_room, many = Series(file.db, wanted, "room", 3_600, None).groups()
    (group,) = groups
    assert not more
    assert many
    assert [(point["at"], point["sessions"], point["latency"]["response_time"]["count"]) for point in group["points"]] == [(0, 20, 20), (3600, 20, 20)]  # fmt: skip
    assert group["total"]["turns"] == 40
    figures = group["total"]["latency"]["response_time"]
    assert 1.0 <= figures["median"] <= 1.07
    assert 2.0 <= figures["p95"] <= 2.14
    assert len(by_room) == 20
    assert by_room[0]["total"]["latency"]["response_time"]["count"] == 1


@given(st.lists(st.floats(0, 200), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_at_most_seven_percent_too_high(values: list[float], share: float) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    found = percentile(counts, share)
    assert found >= exact * (1 - 1e-9)
    assert found <= max(0.001, exact * 1.07 * (1 + 1e-9))
    assert upper_bound(bucket(exact)) == pytest.approx(found)


def test_errors_are_grouped_and_lead_to_their_turns(hub: Hub) -> None:
    for n in range(3):
        hub.post(*call(n)[:4])
        hub.post({"type": "agent_error", "source": "llm", "message": f"timeout after {n} s", "timestamp": 1005.0 + n, "room": f"r{n}", "session": f"s{n}"})  # fmt: skip
        names = {"call_id": "c", "name": "refund", "room": f"r{n}", "session": f"s{n}"}
        hub.post({"type": "tool_call_started", "timestamp": 1005.0, **names})
        hub.post({"type": "tool_call_finished", "is_error": n == 1, "output": "no", "duration": n + 1.0, "timestamp": 1006.0, **names})  # fmt: skip
    with hub.sessions.querying() as (file, _):
        (group,), more = problems.errors(file.db, listing.Wanted(), 0.0)
        (tool,) = problems.tools(file.db, listing.Wanted(), 0.0)
    assert not more
    assert (group["source"], group["message"], group["count"], group["sessions"]) == ("llm", "timeout after … s", 3, 3)
    assert (group["first"], group["last"], group["recoverable"]) == (1005.0, 1007.0, None)
    assert group["examples"][0] == {"id": "s2", "room": "r2", "turn": 1, "at": 1007.0, "message": "timeout after 2 s"}
    assert (tool["name"], tool["calls"], tool["errors"], tool["median"], tool["p95"]) == ("refund", 3, 1, 2.0, 3.0)
    assert [(example["id"], example["turn"], example["message"]) for example in tool["examples"]] == [("s1", 1, "no")]


def test_a_history_that_cannot_be_read_for_a_moment_leaves_no_trace(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(6):
        hub.post(*call(n))
    assert len(hub.ids()) == 6
    read = hub.history.after

    def fail(offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        if not filter.everything:
            raise HistoryError("the disk is away")
        return read(offset, until, filter, limit)

    monkeypatch.setattr(hub.history, "after", fail)
    hub.post({"type": "transcript", "role": "user", "text": "late", "session": "s0", "room": "r0", "timestamp": 2000.0})
    with pytest.raises(HistoryError):
        hub.ids()
    monkeypatch.undo()
    assert hub.ids(words="late") == ["s0"]
    assert len(hub.ids()) == 6
    assert hub.dump() == hub.rebuilt()
