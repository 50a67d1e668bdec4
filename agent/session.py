"""The AgentSession of a real conversation. Its settings ask no service but the chosen providers."""

from __future__ import annotations

from typing import Any

from livekit.agents import AgentSession, TurnHandlingOptions

from .pipeline import Pipeline
from .settings import number

CLOSE_WAIT = 0.5
"""Seconds to wait for a last transcript when the session closes; LiveKit's default of 2 s only delays the end."""


def make_session(pipeline: Pipeline) -> AgentSession[Any]:
    """A session to attach and start. Without an STT it is a text chat."""
    if pipeline.realtime is not None:
        return AgentSession(llm=pipeline.realtime, session_close_transcript_timeout=CLOSE_WAIT)
    assert pipeline.llm is not None
    options: dict[str, Any] = {} if pipeline.tts is None else {"tts": pipeline.tts}
    if pipeline.stt is not None:
        options["stt"] = pipeline.stt
        options["turn_handling"] = turn_handling("vad" if pipeline.vad is not None else "stt")
    else:
        options["turn_handling"] = {"turn_detection": None}
    return AgentSession(
        llm=pipeline.llm,
        vad=pipeline.vad,
        aec_warmup_duration=None,  # LiveKit's 3 s would block interruptions at the start; browsers cancel echo themselves
        session_close_transcript_timeout=CLOSE_WAIT,
        **options,
    )


def turn_handling(detection: str) -> TurnHandlingOptions:
    """Turn detection and interruption by speech alone: LiveKit's defaults use models, some of them in its cloud.

    `detection`: `vad`, or `stt` where the STT itself reports the end of speech.
    """
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
            # Resuming pauses the agent for seconds on a mere suspicion, and needs a transcript to end the pause.
            "resume_false_interruption": False,
            "false_interruption_timeout": None,
        },
    }
