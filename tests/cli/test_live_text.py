"""Interims and streamed text until they are complete."""

from __future__ import annotations

from typing import Any

from event_hub.cli.live_text import MOST, LiveText


def delta(text: str, offset: int | None = None, utterance: str = "a") -> dict[str, Any]:
    return {
        "type": "agent_text_delta",
        "delta": text,
        "utterance": utterance,
        **({} if offset is None else {"offset": offset}),
    }


def test_deltas_are_joined_and_a_lost_one_shows() -> None:
    live = LiveText()
    for event in (delta("It", 0), delta(" is", 2), delta(" is", 2), delta(" sunny", 9)):
        assert live.take(event, 0.0) == (True, [])
    assert live.newest
    assert live.newest.text == "It is… sunny"
    assert live.take({"type": "agent_text_complete", "text": "…", "utterance": "a"}, 0.0) == (False, [])
    assert live.newest is None


def test_stale_text_is_given_up() -> None:
    live = LiveText()
    live.take(delta("old", utterance="old"), 0.0)
    live.take({"type": "transcript", "text": "new", "final": False, "participant": "ann"}, 40.0)
    assert [utterance.whole()["delta"] for utterance in live.stale(41.0, 30.0)] == ["old"]
    for n in range(MOST + 5):
        _, given_up = live.take(delta("x", utterance=str(n)), 42.0)
        assert len(live.open) <= MOST
        assert len(given_up) == (n >= MOST - 1)
    assert live.take({"type": "session_ended"}, 43.0)[1]
    assert live.all() == []
