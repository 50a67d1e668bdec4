"""Short calls for the views with figures: what they measured is what a test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Event = dict[str, Any]
LENGTH = 10.0
"""Seconds from one turn to the next."""


def call(
    session: str,
    began: float,
    waits: Sequence[float],
    *,
    room: str = "support",
    agent: str = "assistant",
    version: str | None = None,
    errors: Sequence[tuple[int, str, str]] = (),
    tools: Sequence[tuple[int, str, bool]] = (),
) -> Iterator[Event]:
    """The events of a call that began at `began`, epoch seconds, with a turn for each of `waits`, in seconds. `errors`: turn,
    source and message; `tools`: turn, name and whether the call failed."""

    def event(type: str, at: float, **fields: Any) -> Event:
        return {"type": type, "timestamp": round(at, 3), "room": room, "session": session, **fields}

    named = {} if version is None else {"version": version}
    yield event("session_started", began, mode="room", agent=agent, **named)
    for number, wait in enumerate(waits, 1):
        at = began + LENGTH * number
        user = {"role": "user", "participant": "caller", "utterance": f"{session}.u{number}"}
        reply = {"role": "agent", "utterance": f"{session}.a{number}"}
        yield event("user_speech_started", at - 2, role="user", participant="caller")
        yield event("user_speech_finished", at, role="user", participant="caller")
        yield event("transcript", at + 0.01, text=f"question {number} of {session}", final=True, **user)
        yield event("turn_metrics", at + 0.02, end_of_turn_delay=0.02, transcription_delay=0.01, **user)
        for turn, name, failed in tools:
            if turn == number:
                about = {"call_id": f"{session}.{number}", "name": name}
                yield event("tool_call_started", at + 0.03, arguments={}, **about)
                yield event("tool_call_finished", at + 0.04, output="late", is_error=failed, duration=0.01, **about)
        for turn, source, message in errors:
            if turn == number:
                yield event("agent_error", at + 0.05, source=source, message=message, recoverable=True)
        yield event("agent_speech_started", at + wait, **reply)
        yield event("transcript", at + wait + 2, text=f"answer {number}", final=True, interrupted=False, **reply)
        yield event("agent_speech_finished", at + wait + 2, interrupted=False, position=2.0, **reply)
        yield event(
            "turn_metrics", at + wait + 2.1, e2e_latency=wait, llm_node_ttft=wait / 2, tts_node_ttfb=0.05, **reply
        )
    yield event("session_ended", began + LENGTH * (len(waits) + 1), reason="user_initiated")
