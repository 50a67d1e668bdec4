"""The AgentSession of a real conversation, with settings under which nothing but the chosen providers is asked."""

from __future__ import annotations

from typing import Any

from livekit.agents import AgentSession, TurnHandlingOptions

from .parts import Parts
from .settings import number

CLOSE_WAIT = 0.5
"""Seconds to wait for a last transcript when the session closes; LiveKit's 2 s only delay the end."""


def make_session(parts: Parts) -> AgentSession[Any]:
    """Ready to be attached and started."""
    if parts.realtime is not None:
        return AgentSession(llm=parts.realtime, session_close_transcript_timeout=CLOSE_WAIT)
    assert parts.stt is not None
    assert parts.llm is not None
    options: dict[str, Any] = {} if parts.tts is None else {"tts": parts.tts}
    return AgentSession(
        stt=parts.stt,
        llm=parts.llm,
        vad=parts.vad,
        turn_handling=turn_handling("vad" if parts.vad is not None else "stt"),
        aec_warmup_duration=None,  # in LiveKit's first 3 s nobody could interrupt; browsers cancel echo themselves
        session_close_transcript_timeout=CLOSE_WAIT,
        **options,
    )


def turn_handling(detection: str) -> TurnHandlingOptions:
    """Turn detection and interruption by what is heard: LiveKit's defaults ask models, some of them in a cloud."""
    return {
        "turn_detection": "vad" if detection == "vad" else "stt",
        "endpointing": {
            "mode": "fixed",
            "min_delay": number("AGENT_MIN_ENDPOINTING"),
            "max_delay": number("AGENT_MAX_ENDPOINTING"),
        },
        "interruption": {
            "mode": "vad",
            "min_duration": 0.3,
            # One that is only suspected would pause the agent for seconds, and LiveKit's resuming needs the transcript.
            "resume_false_interruption": False,
            "false_interruption_timeout": None,
        },
    }
