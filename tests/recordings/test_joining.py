"""The join of uploads and sessions, with a clock of the test: when a session is told, and when not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from event_hub.events import check
from event_hub.server.recordings import otlp, report
from event_hub.server.recordings.jobs import Audio
from event_hub.server.recordings.joining import LOST, WAIT, Found, Joining
from event_hub.server.recordings.store import Store
from event_hub.sessions import Sessions

from ..unit.streams import whole
from .uploads import CALL, JOB, REQUESTS

CHAT = report.chat_items((CALL / "chat_history.json").read_bytes())
HEADER = report.parse((CALL / "header.binpb").read_bytes())


class Hub:
    """What a join needs of a hub: a history, sessions and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = 1795649520.0
        self.events: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.sessions = Sessions()
        self.failing = False
        self.store = Store(folder, lambda: self.now)
        self.joining = self.join()

    def join(self) -> Joining:
        return Joining(self.store, self.publish, self.session_of, lambda: self.now)

    def publish(self, events: list[dict[str, Any]]) -> None:
        if self.failing:
            raise OSError("the history is away")
        for event in events:
            check(event)
            if event["event_id"] not in self.ids:
                self.ids.add(event["event_id"])
                self.events.append(event)
                self.sessions.take(event, len(self.events))

    def session_of(self, job: str) -> Found | None:
        session = self.sessions.of_job(job)
        return None if session is None else Found(session.room, session.session, session.id)

    def step(self, seconds: float = 0.0) -> list[str]:
        """A step after so many seconds; returns the types of the events that it published."""
        self.now += seconds
        before = len(self.events)
        self.joining.step()
        return [event["type"] for event in self.events[before:]]

    def take_spans(self, requests: slice = slice(None)) -> None:
        for request in REQUESTS[requests]:
            if "traces" in request["path"]:
                self.store.add_spans(otlp.spans((CALL / request["file"]).read_bytes(), otlp.PROTOBUF, content=False))

    def take_recording(self, audio: bool = True) -> bool:
        found = Audio(23.5, 2, 1000, "digest", HEADER.started) if audio else None
        return self.store.add_recording(HEADER.ids, HEADER.room, HEADER.report, CHAT, found)

    def attach(self) -> None:
        event = {"type": "session_started", "session": "AS_1", "room": "call-1", "job": JOB, "event_id": "started"}
        self.publish([event])


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


def test_nothing_is_opened_before_something_was_uploaded(hub: Hub, tmp_path: Path) -> None:
    assert hub.step() == []
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_no_event_told_of_is_told_after_a_while(hub: Hub) -> None:
    hub.take_spans()
    hub.take_recording()
    assert hub.step(WAIT - 1) == []
    told = hub.step(1)
    assert (told[0], told[-3:]) == ("session_started", ["session_ended", "recording_available", "trace_available"])
    assert told.count("transcript") == 8
    assert hub.step(1) == []
    assert hub.step(LOST) == []


def test_the_told_session_adds_up(hub: Hub) -> None:
    """Its events are in order, and fold into one ended session without anything left open."""
    hub.take_spans()
    hub.take_recording()
    hub.step(WAIT)
    session = hub.sessions.of_job(JOB)
    assert session is not None
    summary = session.summary()
    assert summary["status"] == "ended"
    assert summary["counts"]["tool_calls"] == 1
    assert not summary["state"]["agent_speaking"]
    assert summary["duration"] == pytest.approx(23.69, abs=0.05)
    between = [event["timestamp"] for event in hub.events if event.get("told")]
    assert between == sorted(between)


def test_the_requests_of_a_told_session_belong_to_its_turns(hub: Hub) -> None:
    """Speech recognition listens all the time, and belongs to none."""
    hub.take_spans()
    hub.take_recording()
    hub.step(WAIT)
    session = hub.sessions.of_job(JOB)
    assert session is not None
    document = whole(hub.events, session).document()
    models = [{used["type"]: used for used in turn.get("usage", ())} for turn in document["turns"]]
    tokens = [
        (llm.get("input_tokens"), llm.get("output_tokens")) for llm in (turn.get("llm_usage", {}) for turn in models)
    ]
    assert tokens == [(None, None), (80, 12), (70, 79), (90, 4)]
    assert [turn["tts_usage"]["characters_count"] for turn in models] == [32, 63, 385, 18]
    (unassigned,) = document["unassigned"]["usage"]
    assert (unassigned["type"], unassigned["audio_duration"]) == ("stt_usage", pytest.approx(5.984, abs=0.001))


def test_without_a_recording_the_requests_belong_to_turns_too(hub: Hub) -> None:
    hub.take_spans()
    hub.step(LOST)
    session = hub.sessions.of_job(JOB)
    assert session is not None
    document = whole(hub.events, session).document()
    assert sum(used.get("input_tokens", 0) for turn in document["turns"] for used in turn.get("usage", ())) == 240
    assert document["unassigned"] == {"usage": []}


def test_a_session_of_attach_is_joined_at_once_and_not_told(hub: Hub) -> None:
    hub.attach()
    hub.take_spans(slice(5))
    assert hub.step() == ["trace_available"]
    hub.take_spans()
    hub.take_recording()
    assert hub.step() == ["recording_available", "trace_available"]
    assert [event["complete"] for event in hub.events if event["type"] == "trace_available"] == [False, True]
    assert hub.step(LOST) == []


def test_attach_may_come_late(hub: Hub) -> None:
    """Cut off from the hub, it delivers within the wait."""
    hub.take_recording()
    assert hub.step(WAIT - 1) == []
    hub.attach()
    assert hub.step(WAIT) == ["recording_available"]


def test_a_job_whose_process_was_killed_is_told_without_words(hub: Hub) -> None:
    """Issue 18: only some of its spans came: no chat history, no end, orphans."""
    hub.take_spans(slice(8))
    assert hub.step(LOST - 1) == []
    told = hub.step(1)
    assert "turn_metrics" in told
    assert "transcript" not in told
    assert hub.events[-2]["reason"] == "lost"
    session = hub.sessions.of_job(JOB)
    assert session is not None
    assert session.ended


def test_what_could_not_be_published_is_published_later(hub: Hub) -> None:
    hub.take_spans()
    hub.take_recording()
    hub.failing = True
    with pytest.raises(OSError):
        hub.step(WAIT)
    hub.failing = False
    assert "recording_available" in hub.step(1)
    starts = [event for event in hub.events if event["type"] == "session_started"]
    assert len(starts) == 1


def test_a_killed_join_is_repeated_without_repeating_events(hub: Hub) -> None:
    """Killed between publishing and remembering it: the events have the same ids."""
    hub.take_spans()
    hub.take_recording()
    hub.step(WAIT)
    before = len(hub.events)
    hub.store.mark(JOB, told=0, pending=1)
    assert hub.step(WAIT) == []
    assert len(hub.events) == before


def test_erased_sessions_are_not_told_again(hub: Hub) -> None:
    hub.take_recording()
    hub.step(WAIT)
    hub.sessions = Sessions()
    hub.take_spans()
    assert hub.step(LOST) == []


def test_one_process_joins_until_it_ends(hub: Hub) -> None:
    hub.take_recording()
    hub.step()
    other = hub.join()
    hub.now += WAIT
    other.step()
    assert hub.events == []
    hub.joining.close()
    other.step()
    assert hub.events
    other.close()


def test_a_second_recording_of_a_job_changes_nothing(hub: Hub) -> None:
    assert hub.take_recording()
    assert not hub.take_recording()
    assert not hub.take_recording(audio=False)


def test_a_recording_without_its_audio_can_be_completed(hub: Hub) -> None:
    assert hub.take_recording(audio=False)
    assert hub.take_recording()
    job = hub.store.job(JOB)
    assert job is not None
    assert job.audio is not None


def test_the_chat_history_of_log_records_does_without_the_recording(hub: Hub) -> None:
    """The same items, in protobuf's JSON; they tell the same session."""
    from event_hub.server.recordings import chat_log

    items = []
    for request in REQUESTS:
        if "logs" in request["path"]:
            for record, _ in otlp.logs((CALL / request["file"]).read_bytes(), otlp.PROTOBUF):
                if (item := chat_log.item_of(record.attributes.get("chat.item"))) is not None:
                    items.append(item)
    hub.take_spans()
    hub.store.add_chat_items(JOB, items)
    hub.step(WAIT)
    from_logs = [
        (e["type"], e.get("text"), e.get("e2e_latency")) for e in hub.events if "text" in e or "e2e_latency" in e
    ]
    other = Hub(hub.store.folder / "other")
    other.take_spans()
    other.take_recording()
    other.step(WAIT)
    expected = [
        (e["type"], e.get("text"), e.get("e2e_latency")) for e in other.events if "text" in e or "e2e_latency" in e
    ]
    assert from_logs == expected
