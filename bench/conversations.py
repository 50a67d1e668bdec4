"""Conversations of any length, as attach() reports them, for benchmarks and for tests of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]

_QUESTION = "Could you tell me what the weather is going to be like in Oslo on the weekend please"
_ANSWER = (
    "It is going to be windy but dry, with nine degrees in the afternoon and less in the evening, so take a jacket. "
)


def conversation(room: str, session: str, turns: int, begin: float = 1_700_000_000.0) -> Iterator[Event]:
    """The events of a session with this number of turns: about 50 per turn, with interims, text deltas and latencies."""
    at = begin
    common = {"room": room, "session": session}

    def event(type: str, after: float = 0.0, **fields: Any) -> Event:
        nonlocal at
        at += after
        return {"type": type, "timestamp": round(at, 3), **common, **fields}

    user = {"role": "user", "participant": "caller"}
    yield event("session_started", mode="room", agent="Weather")
    yield event("agent_state_changed", 0.1, role="agent", old_state="initializing", new_state="listening")
    for turn in range(turns):
        asked, answered = f"{session}.u{turn}", f"{session}.a{turn}"
        yield event("user_state_changed", 1.0, old_state="listening", new_state="speaking", **user)
        yield event("user_speech_started", **user)
        words = _QUESTION.split()
        for count in range(1, len(words)):
            yield event("transcript", 0.2, text=" ".join(words[:count]), final=False, utterance=asked, **user)
        yield event("transcript", 0.2, text=f"{_QUESTION}?", final=True, utterance=asked, **user)
        yield event("user_speech_finished", **user)
        yield event("turn_metrics", 0.5, utterance=asked, transcription_delay=0.2, end_of_turn_delay=0.5, **user)
        yield event("agent_state_changed", role="agent", old_state="listening", new_state="thinking")
        agent = {"role": "agent", "utterance": answered}
        pieces = [f"{word} " for word in _ANSWER.split()]
        offset = 0
        for number, piece in enumerate(pieces):
            yield event("agent_text_delta", 0.3 if number == 0 else 0.02, delta=piece, offset=offset, **agent)
            offset += len(piece)
            if number == 3:
                yield event("agent_speech_started", 0.1, **agent)
        yield event("agent_text_complete", text=_ANSWER, **agent)
        yield event("agent_speech_finished", 6.0, interrupted=False, position=6.2, **agent)
        yield event("transcript", text=_ANSWER.strip(), final=True, interrupted=False, **agent)
        yield event("turn_metrics", e2e_latency=1.0, llm_node_ttft=0.3, tts_node_ttfb=0.1, **agent)
        yield event("agent_state_changed", role="agent", old_state="speaking", new_state="listening")
