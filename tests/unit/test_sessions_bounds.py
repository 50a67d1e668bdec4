"""What a session takes, and what asking costs, is bounded, whatever was posted (D04, H32)."""

from __future__ import annotations

import json
import time

from event_hub.sessions import Condenser, Samples, Spoken, captions
from event_hub.sessions.bounded_list import SIZE
from event_hub.sessions.captions import KEPT
from event_hub.sessions.turns import UTTERANCES
from event_hub.sessions.utterance import REMEMBERED

from .streams import Talk, spoken, told


def test_a_monologue_takes_no_more_than_so_much() -> None:
    """A microphone that is never answered: one turn without end, in the summary and as a whole."""
    talk = Talk()
    for number in range(1000):
        talk.user(f"word{number}", utterance=f"u{number}", final=number % 2 == 0)
    session = told(talk.events).find("s")[0]
    newest = session.turns._now
    assert newest is not None
    assert len(newest.words) == REMEMBERED
    assert newest.heard
    (turn,) = talk.session().document()["turns"]
    assert turn["user"]["text"].split() == [f"word{number}" for number in range(1000 - UTTERANCES, 1000)]


def test_a_session_takes_no_more_than_so_many_characters() -> None:
    """Large outputs of tools, and large texts: the newest are kept, and how many are not is told."""
    talk = Talk()
    for number in range(300):
        talk("tool_call_finished", call_id=f"c{number}", output=[["x" * 50_000]])
        talk.user("y" * 50_000).agent("z" * 50_000)
    document = talk.session().document()
    for name, kept, total in (("items", "conversation", 900), ("turns", "turns", 300)):
        assert SIZE / 3 < len(json.dumps(document[kept])) < SIZE * 1.2
        assert document["forgotten"][name] == total - len(document[kept])
    assert document["conversation"][-1]["text"] == "z" * 50_000
    assert document["counts"]["turns"] == 300


def test_captions_take_the_newest() -> None:
    events = [{"type": "transcript", "text": f"w{number}", "timestamp": 5.0 + number} for number in range(KEPT + 10)]
    made = captions.cues(spoken(events))
    assert (len(made), made[0].text, made[0].end) == (KEPT, "w10", 10.0)
    large = [{"type": "transcript", "text": "x" * 60_000, "timestamp": 5.0 + number} for number in range(100)]
    assert 50 < len(captions.cues(spoken(large))) < 100


def test_captions_of_a_session_begin_with_what_names_it() -> None:
    """A webhook that came before names the room alone: `event-hub export --session` does not see it."""
    made = Spoken(named=True)
    for event in (
        {"type": "livekit_room_started", "room": "r", "timestamp": 5.0},
        {"type": "session_started", "room": "r", "session": "s", "timestamp": 10.0},
        {"type": "transcript", "text": "hi", "room": "r", "session": "s", "timestamp": 12.0},
    ):
        made.take(event)
    assert captions.cues(made.events())[0].end == 2.0


def test_the_samples_of_many_sessions_are_sorted_once() -> None:
    """One after the other, those of a room with 5,000 sessions took ten seconds, in which the hub did nothing else."""
    one = Samples()
    for value in (3.0, 1.0, 2.0, 5.0):
        one.add("e2e_latency", value)
    assert one.summary()["e2e_latency"] == {"count": 4, "min": 1.0, "median": 2.0, "p95": 5.0, "max": 5.0, "mean": 2.75}
    one.add("e2e_latency", 0.5)
    assert one.summary()["e2e_latency"]["min"] == 0.5
    total = Samples()
    began = time.process_time()
    for _ in range(10_000):
        total.add_all(one)
    assert total.summary()["e2e_latency"]["count"] == 50_000
    assert time.process_time() - began < 2


def test_a_past_in_which_much_is_said_and_much_begins() -> None:
    """Each beginning used to look at all that was said after it: three seconds for ten thousand."""
    condenser = Condenser()
    talk = Talk()
    for number in range(5000):
        talk("user_speech_started").user("x", utterance=f"u{number}")
    for _ in range(2000):
        talk("session_started")
    began = time.process_time()
    for offset in range(len(talk.events), 0, -1):
        condenser.take(offset, talk.events[offset - 1])
    assert time.process_time() - began < 1
    assert len(condenser.events()) == len(talk.events)
