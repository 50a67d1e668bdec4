"""Which utterance an event belongs to: the table that the page's twin is tested on as well (tests/page)."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from event_hub.sessions.utterance import REMEMBERED, Settled, UserUtterance
from event_hub.sessions.utterances import Utterances

from .streams import Event, streams

CASES = json.loads((Path(__file__).parents[1] / "utterances.json").read_text())


def fates(settled: list[Settled] | tuple[Settled, ...]) -> list[str]:
    return [f"({utterance.number} {fate})" for utterance, fate in settled]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_table(case: dict[str, Any]) -> None:
    utterances, seen, steps = Utterances(), {}, []
    for event in case["events"]:
        resolved = utterances.take(event)
        if resolved is None:
            steps.append(None)
            continue
        utterance = seen[resolved.utterance.number] = resolved.utterance
        flags = [flag for flag in ("opens", "closes", "drops") if getattr(resolved, flag)]
        steps.append(" ".join([str(utterance.number), utterance.role, *flags, *fates(resolved.settled)]))
    assert steps == case["steps"]
    assert fates(utterances.settle()) == case["settled"]
    assert [{"number": number, "began": one.began, "heard": one.heard} for number, one in sorted(seen.items())] == case[
        "utterances"
    ]


@given(streams(rooms=("r",), sessions=("s",)))
def test_nothing_stays_open_at_the_end(events: list[Event]) -> None:
    utterances, seen = Utterances(), {}
    for event in events:
        resolved = utterances.take(event)
        if resolved is not None:
            seen[resolved.utterance.number] = resolved.utterance
    utterances.settle()
    assert not any(isinstance(one, UserUtterance) and one.open for one in seen.values())
    assert utterances.settle() == []


def test_memory_is_bounded() -> None:
    """However many utterances of either side begin and never end."""
    utterances, times = Utterances(), count()
    for number in range(500):
        for event in (
            {"type": "user_speech_started", "participant": f"p{number}"},
            {"type": "transcript", "role": "user", "text": "x", "final": False, "utterance": f"u{number}"},
            {"type": "transcript", "role": "user", "text": "x", "final": False, "participant": f"p{number}"},
            {"type": "agent_speech_started", "utterance": f"s{number}"},
            {"type": "agent_text_delta", "delta": "x", "offset": 0, "utterance": f"a{number}"},
        ):
            utterances.take({**event, "timestamp": float(next(times))})
    kept = [value for value in vars(utterances).values() if isinstance(value, dict)]
    assert max(map(len, kept)) <= REMEMBERED
    assert len(utterances.settle()) == 2 * REMEMBERED
