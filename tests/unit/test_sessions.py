"""What a stream adds up to, whatever it consists of (D04, H32): sessions, turns, latencies."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from event_hub.sessions import Sessions, belongs, captions
from event_hub.sessions.latency import breakdown, union
from event_hub.sessions.transcripts import entries, markdown

from .streams import Event, Talk, spoken, streams, told, whole


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    if isinstance(value, list):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@given(streams())
def test_whatever_comes_gives_sensible_sessions(events: list[Event]) -> None:
    for session in told(events).newest():
        made = whole(events, session)
        document = made.document()
        assert {key: document[key] for key in session.summary()} == session.summary()
        summary = session.summary()
        assert summary["duration"] is None or summary["duration"] >= 0
        assert all(number >= 0 for number in numbers([summary["counts"], summary["speech"], summary["latency"]]))
        assert len(document["turns"]) == summary["counts"]["turns"]
        assert "".join(markdown(document))
        assert all(entry["text"] for entry in entries(document))
        own = [event for offset, event in enumerate(events, 1) if belongs(event, offset, session)]
        assert len(own) == summary["counts"]["events"]
        assert len(captions.cues(spoken(own))) == len(captions.cues(own))
        json.dumps(document, allow_nan=False)


@given(streams())
def test_every_event_belongs_to_one_session_or_to_none(events: list[Event]) -> None:
    sessions = Sessions()
    of = [sessions.take(event, offset) for offset, event in enumerate(events, 1)]
    everybody = list(sessions.newest())
    for offset, (event, session) in enumerate(zip(events, of, strict=True), 1):
        assert [one for one in everybody if belongs(event, offset, one)] == ([session] if session else [])
    for session in everybody:
        assert session in sessions.find(session.id)
        assert sessions.find(session.id, session.room)[0].room == session.room


@given(streams())
def test_latencies_add_up_and_none_is_invented(events: list[Event]) -> None:
    posted = {number for event in events for number in numbers(event)}
    stamps = sorted({event["timestamp"] for event in events if event["timestamp"] < 1e12})
    gaps = {late - early for early in stamps for late in stamps if late >= early}
    for session in told(events).newest():
        for turn in whole(events, session).document()["turns"]:
            latency = turn.get("latency")
            if latency is None:
                continue
            parts = {part["name"]: part["seconds"] for part in latency["parts"]}
            assert all(seconds >= 0 for seconds in parts.values())
            assert {seconds for name, seconds in parts.items() if name != "tools"} <= posted
            if "total" not in latency:
                assert latency["parts"]
                assert not {"unaccounted", "overlap", "measured"} & latency.keys()
                continue
            assert latency["total"] in (posted if latency["measured"] == "e2e_latency" else gaps)
            left = [latency[name] for name in ("unaccounted", "overlap") if name in latency]
            assert len(left) == 1
            assert left[0] >= 0
            added = math.fsum(parts.values()) + latency.get("unaccounted", 0) - latency.get("overlap", 0)
            assert math.isclose(added, latency["total"], rel_tol=1e-9, abs_tol=1e-9)


@given(streams(rooms=("r1", None), sessions=("s1",)), streams(rooms=("r2",), sessions=("s2", None)), st.randoms())
@settings(max_examples=60)
def test_publishers_do_not_disturb_each_other(one: list[Event], other: list[Event], random: Any) -> None:
    """Whatever the order in which two publishers' events arrive, as long as each one's own is kept."""
    for event in other:  # each of another agent's process
        event.update({name: "ag_other" for name in ("agent", "agent_id") if event.get(name) == "ag_1"})
    ways = [0] * len(one) + [1] * len(other)
    random.shuffle(ways)
    sources = [iter(one), iter(other)]
    mixed = [next(sources[way]) for way in ways]

    def documents(events: list[Event]) -> dict[str, str]:
        return {session.id: json.dumps(whole(events, session).document()) for session in told(events).newest()}

    apart = {**documents(one), **documents(other)}
    assert documents(mixed) == apart


@given(streams(), st.integers(1, 3))
def test_only_so_many_sessions_are_known(events: list[Event], limit: int) -> None:
    sessions = Sessions(limit)
    for offset, event in enumerate(events, 1):
        sessions.take(event, offset)
        assert len(sessions) <= limit
    assert len(list(sessions.newest())) == len(sessions)


@given(streams(), st.data())
def test_sessions_without_events_are_forgotten(events: list[Event], data: Any) -> None:
    floor = data.draw(st.integers(0, len(events)))
    sessions = told(events)
    sessions.forget_before(floor)
    assert {one.id for one in sessions.newest()} >= {
        one.id for one in told([*[{"type": "x"}] * floor, *events[floor:]]).newest() if one.session and one.room
    }
    assert all(one.last > floor for one in sessions.newest())


def test_a_name_that_is_null_is_none() -> None:
    """What names only the room belongs to the newest session, and is to be looked for there."""
    talk = Talk().user("one").user("two", session=None).user("three", room=None)
    session = told(talk.events).find("s")[0]
    assert (session.nameless, session.roomless) == (True, True)
    assert session.summary()["counts"]["events"] == 3


def test_what_came_of_a_room_before_its_session_is_that_sessions() -> None:
    """Of the first that is known there, and of no other that comes to the room later."""
    before = {"type": "agent_ready", "room": "r"}
    named = {"type": "user_speech_started", "session": "s1"}
    there = {**named, "room": "r"}
    later = {"type": "session_started", "room": "r", "session": "s2"}
    (one,) = told([before, there]).newest()
    assert (one.id, one.counts["events"]) == ("s1", 2)
    s2, s1, of_room = told([before, named, there, later, before]).newest()
    assert [(one.id, one.counts["events"]) for one in (s2, s1, of_room)] == [("s2", 2), ("s1", 2), ("room:r", 1)]


def test_the_ends_of_a_room_cost_what_happened_in_it() -> None:
    """Each used to look at all sessions that the room ever had: nine million looks, seconds on the loop."""
    events = [{"type": "user_speech_started", "room": "r", "session": f"s{n}", "timestamp": 5.0} for n in range(3000)]
    events += [{"type": "livekit_room_finished", "room": "r", "timestamp": 6.0}] * 3000
    events += [{"type": "transcript", "role": "user", "text": "?", "room": "r", "session": "s7", "timestamp": 7.0}]
    events += [{"type": "livekit_room_finished", "room": "r", "timestamp": 8.0}]
    began = time.process_time()
    sessions = told(events)
    assert time.process_time() - began < 2
    assert all(session.ended for session in sessions.newest())
    assert sessions.find("s7")[0].touched == len(events)


# -- turns -----------------------------------------------------------------------------------------------------------


def test_a_turn_is_what_the_user_says_and_what_the_agent_answers() -> None:
    talk = Talk().agent("Hello").user("What").user("time is it?").agent("Noon.").user("Thanks").agent("Bye")
    assert talk.turns() == [(None, "Hello"), ("What time is it?", "Noon."), ("Thanks", "Bye")]


def test_words_that_come_late_belong_to_the_answer_that_they_had() -> None:
    """A realtime model hears for itself: its transcript of the user comes when it answers already."""
    talk = Talk().agent("Hello", utterance="a0")
    for number, (asked, answer) in enumerate([("One?", "Two."), ("Three?", "Four.")]):
        talk("user_speech_started")("user_speech_finished")(
            "agent_text_delta", delta=answer, offset=0, utterance=f"a{number + 1}"
        )
        talk.user(asked, utterance=f"u{number}").agent(answer, utterance=f"a{number + 1}")
    assert talk.turns() == [(None, "Hello"), ("One?", "Two."), ("Three?", "Four.")]


def test_an_interruption_begins_a_turn_and_what_was_cut_off_stays_where_it_was() -> None:
    talk = Talk()("user_speech_started").user("How?", utterance="u1")("user_speech_finished")
    talk("agent_speech_started", utterance="a1")("user_speech_started")
    talk.user("Wait", utterance="u2", final=False)(
        "agent_speech_finished", utterance="a1", interrupted=True, position=0.1
    )
    talk.user("Wait!", utterance="u2").agent("First", utterance="a1", interrupted=True)("user_speech_finished")
    talk("turn_metrics", role="agent", utterance="a1", e2e_latency=0.1).agent("Yes?", utterance="a2")
    assert talk.turns() == [("How?", "First"), ("Wait!", "Yes?")]
    first, second = talk.session().document()["turns"]
    assert first["agent"]["interrupted"] is True
    assert first["latency"]["total"] == 0.1
    assert "latency" not in second
    assert talk.session().summary()["counts"]["interruptions"] == 1


def test_a_noise_is_no_turn() -> None:
    talk = Talk()("agent_speech_started", utterance="a1")("user_speech_started")("user_speech_finished")
    talk("agent_false_interruption", resumed=True, utterance="a1")(
        "agent_speech_finished", utterance="a1", position=2.0
    )
    talk.agent("All of it", utterance="a1").agent("and more", utterance="a2").user("Ah", utterance="u1")
    assert talk.turns() == [(None, "All of it and more"), ("Ah", None)]
    assert talk.session().summary()["counts"]["interruptions"] == 0


def test_the_time_of_a_turn_with_a_tool() -> None:
    talk = Talk()("user_speech_started").user("Weather?", utterance="u1")("user_speech_finished", timestamp=1000.0)
    talk("turn_metrics", role="user", utterance="u1", end_of_turn_delay=0.5, transcription_delay=0.2)
    talk("tool_call_started", call_id="c1", name="look", timestamp=1000.8)
    talk("tool_call_started", call_id="c2", name="look", timestamp=1000.9)
    talk("tool_call_finished", call_id="c1", duration=0.3, timestamp=1001.1)
    talk("tool_call_finished", call_id="c2", duration=0.3, timestamp=1001.2)
    talk("agent_speech_started", utterance="a1", timestamp=1002.0)
    talk("turn_metrics", role="agent", utterance="a1", e2e_latency=2.0, llm_node_ttft=0.25, tts_node_ttfb=0.25)
    (turn,) = talk.session().document()["turns"]
    latency = turn["latency"]
    assert [part["name"] for part in latency["parts"]] == [
        "end_of_turn_delay",
        "tools",
        "llm_node_ttft",
        "tts_node_ttfb",
    ]
    assert math.isclose(latency["parts"][1]["seconds"], 0.4)
    assert math.isclose(latency["unaccounted"], 0.6)
    assert talk.session().summary()["latency"]["response_time"]["max"] == 2.0


def test_without_figures_the_events_tell_how_long_it_took() -> None:
    talk = Talk()("user_speech_started").user("?", utterance="u")("user_speech_finished")("agent_speech_started")
    (turn,) = talk.session().document()["turns"]
    assert turn["latency"]["measured"] == "events"
    assert math.isclose(turn["latency"]["total"], 0.1)
    backwards = Talk()("user_speech_started").user("?")("user_speech_finished", timestamp=2000.0)(
        "agent_speech_started"
    )
    (turn,) = backwards.session().document()["turns"]
    assert "latency" not in turn


def test_of_two_who_speak_at_once_the_last_to_end_is_answered() -> None:
    """Each speaker ends for themselves: only the last end begins the wait."""
    for last in ("ada", "bob"):
        first = {"ada": "bob", "bob": "ada"}[last]
        talk = Talk()("user_speech_started", participant="ada", timestamp=1000.0)
        talk("user_speech_started", participant="bob", timestamp=1001.0).user("One", participant=first)
        talk("user_speech_finished", participant=first, timestamp=1002.0).user("Two", participant=last)
        talk("user_speech_finished", participant=last, timestamp=1005.0)("agent_speech_started", timestamp=1005.5)
        (turn,) = talk.session().document()["turns"]
        assert turn["latency"]["total"] == 0.5
        assert turn["user"]["stopped"] == 1005.0
        ends = {first: 1002, last: 1005}
        assert talk.session().summary()["speech"]["user"] == (ends["ada"] - 1000) + (ends["bob"] - 1001)


def test_a_tool_counts_from_when_the_user_had_spoken() -> None:
    """It has been running since before: what the user did not wait for is no part of the wait."""
    talk = Talk()("tool_call_started", call_id="c", name="slow", timestamp=1000.0)
    talk("user_speech_started").user("Well?")("user_speech_finished", timestamp=1040.0)
    talk("tool_call_finished", call_id="c", duration=60.0, timestamp=1060.0)
    talk("agent_speech_started", utterance="a1", timestamp=1061.0)
    (turn,) = talk.session().document()["turns"]
    assert turn["latency"] == {
        "total": 21.0, "measured": "events", "parts": [{"name": "tools", "seconds": 20.0}], "unaccounted": 1.0
    }  # fmt: skip


def test_who_tells_only_who_speaks_when_has_turns_all_the_same() -> None:
    """No transcripts, and no names of utterances."""
    talk = Talk()
    for _ in range(3):
        talk("user_speech_started")("user_speech_finished")("agent_speech_started")("agent_speech_finished")
    turns = talk.session().document()["turns"]
    assert len(turns) == 3
    assert all(math.isclose(turn["latency"]["total"], 0.1) for turn in turns)
    assert math.isclose(talk.session().summary()["speech"]["agent"], 0.3)


def test_parts_that_ran_side_by_side_overlap() -> None:
    result = breakdown(1.0, "e2e_latency", {"end_of_turn_delay": 0.6, "llm_node_ttft": 0.6, "tools": None})
    assert result is not None
    assert math.isclose(result["overlap"], 0.2)
    assert "unaccounted" not in result
    assert breakdown(None, "events", {}) is None
    assert breakdown(None, "events", {"llm_node_ttft": -1}) is None
    assert breakdown(0.5, "events", {}) == {"total": 0.5, "measured": "events", "parts": [], "unaccounted": 0.5}
    assert union([(0, 1), (0.5, 2), (3, 4), (3.2, 3.4)]) == 3


# -- the conversation --------------------------------------------------------------------------------------------------


def test_what_is_going_on_right_now() -> None:
    """D04: who comes late sees what is being said, and what runs."""
    talk = Talk().user("What is", final=False, utterance="u1")
    talk("agent_text_delta", delta="It is", offset=0, utterance="a1")("agent_speech_started", utterance="a1")
    talk("tool_call_started", call_id="c1", name="look", arguments={"x": 1})
    said, reply, tool = talk.session().document()["conversation"]
    assert (said["text"], said["final"]) == ("What is", False)
    assert (reply["text"], reply["generating"], reply["speaking"], reply["final"]) == ("It is", True, True, False)
    assert (tool["status"], tool["arguments"]) == ("running", {"x": 1})
    talk("session_ended", reason="room_deleted")
    said, reply, tool, ended = talk.session().document()["conversation"]
    assert "generating" not in reply
    assert "speaking" not in reply
    assert tool["status"] == "unknown"
    assert ended["event"]["reason"] == "room_deleted"


def test_a_lost_piece_of_text_shows() -> None:
    talk = Talk()("agent_text_delta", delta="It ", offset=0, utterance="a1")
    talk("agent_text_delta", delta="sunny", offset=6, utterance="a1")(
        "agent_text_delta", delta=".", offset=11, utterance="a1"
    )
    (reply,) = talk.session().document()["conversation"]
    assert (reply["text"], reply["lost"]) == ("It …sunny.", 3)
    talk("agent_text_complete", text="It is sunny.", utterance="a1")
    (reply,) = talk.session().document()["conversation"]
    assert reply["text"] == "It is sunny."
    assert "lost" not in reply


def test_a_room_that_livekit_closes_ends_all_its_sessions() -> None:
    talk = Talk()("user_speech_started")("session_started", session="t")("livekit_room_finished", session="t")
    first, second = (told(talk.events).find(name)[0].summary() for name in ("s", "t"))
    assert (first["status"], first["reason"], first["state"]["user_speaking"]) == ("ended", "room_finished", False)
    assert second["status"] == "ended"
    assert talk.session().summary() == first


def test_markdown_is_not_broken_by_what_was_said() -> None:
    talk = Talk().user("# not a heading\n\n* <b>[x](y)</b> `code` \u202e\0", participant="a*b")
    talk("tool_call_finished", call_id="c", name="look", is_error=True)
    text = "".join(markdown(talk.session().document()))
    assert "**a\\*b:** \\# not a heading \\* \\<b\\>\\[x\\](y)\\</b\\> \\`code\\`" in text
    assert text.count("\n# ") == 0
    assert "\u202e" not in text
    assert "failed: " in text


def test_an_agents_process_that_is_gone_ends_what_it_had_begun() -> None:
    talk = Talk()("session_started")("agent_ready", agent_id="ag_1")("agent_speech_started", utterance="a")
    talk("agent_ready", agent_id="ag_2", session="t")
    talk.events.append({"type": "agent_process_exited", "agent": "ag_1", "code": -9, "timestamp": 1001.0})
    for summary in (told(talk.events).find("s")[0].summary(), talk.session().summary()):
        assert (summary["status"], summary["reason"], summary["ended"]) == ("ended", "agent_process_exited", 1001.0)
        assert summary["state"]["agent_speaking"] is False
    assert told(talk.events).find("t")[0].summary()["status"] == "live"
